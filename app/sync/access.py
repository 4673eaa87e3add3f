"""The API keys of one process, in memory: who may come in, and how often.

Keys are read again every poll interval, so a key that is revoked elsewhere opens nothing a moment
later, and requests are let in while PostgreSQL is away. What was used of limits is added to
PostgreSQL at the same rhythm: it survives a restart, and several processes count together.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from math import ceil
from time import monotonic
from typing import Final

import structlog

from app.errors import TooMany, Unauthenticated
from app.limits import Bucket, Rate
from app.store import keys
from app.store.database import Database
from app.store.errors import DatabaseUnavailable
from app.store.keys import ApiKey

log = structlog.get_logger()

_REQUESTS: Final = "requests"
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_LOOK_AGAIN_SECONDS: Final = 0.2

Name = tuple[str, str]
"""A bucket: the key's id, and what is counted."""


class RateLimited(TooMany):
    """The key has used up its requests."""

    code = "rate_limited"


class ConcurrencyLimited(TooMany):
    """The key has as many requests under way as it may."""

    code = "concurrency_limited"


class VerifyLimited(TooMany):
    """Too many refused comparisons with one person: somebody may be trying pictures."""

    code = "verify_limited"


class Access:
    """`pepper` is the secret of the keys' HMAC; `verify_failures` an hour and person, 0 for any."""

    def __init__(
        self, database: Database, pepper: bytes, *, poll_interval: float, verify_failures: int
    ) -> None:
        self._database = database
        self._pepper = pepper
        self._poll_interval = poll_interval
        self._verify_failures = verify_failures
        self._keys: Mapping[str, ApiKey] = {}
        self._under_way: Counter[str] = Counter()
        self._used: dict[str, datetime] = {}
        self._buckets: dict[Name, Bucket] = {}
        self._elsewhere: Mapping[Name, float] = {}
        self._look_again_at = 0.0
        self._turn = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the keys once, then follow. Raises DatabaseUnavailable."""
        await self.refresh()
        self._loop = asyncio.create_task(self._follow(), name="access")

    async def stop(self) -> None:
        """Stop following, and leave what was counted to the next process."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        with contextlib.suppress(DatabaseUnavailable):
            await self.refresh()

    def __len__(self) -> int:
        return len(self._keys)

    async def find(self, token: str) -> ApiKey:
        """The key that `token` opens. Raises Unauthenticated, whatever is wrong with it.

        One that opens nothing may have been made or rotated elsewhere a moment ago, so the keys
        are read once more, not too often for those who guess.
        """
        key = await self._found(lambda: self._opened_by(token))
        self._used[key.id] = keys.utc_now()
        return key

    async def require_known(self, key_id: str) -> None:
        """Raises Unauthenticated unless a key of that id is in use: for callers who prove only
        with their body that it is theirs."""
        await self._found(lambda: self._alive(key_id))

    async def find_signer(self, key_id: str, proves: Callable[[str], bool]) -> ApiKey:
        """The key of that id, where `proves` is true of one of its signing secrets.

        Raises Unauthenticated as `find` does.
        """
        key = await self._found(lambda: self._signing(key_id, proves))
        self._used[key.id] = keys.utc_now()
        return key

    async def _found(self, look: Callable[[], ApiKey | None]) -> ApiKey:
        key = look()
        if key is None and monotonic() >= self._look_again_at:
            self._look_again_at = monotonic() + _LOOK_AGAIN_SECONDS
            with contextlib.suppress(DatabaseUnavailable):
                await self.refresh()
            key = look()
        if key is None:
            raise Unauthenticated(
                "This API key opens nothing here: it is unknown, revoked or expired. Ask whoever "
                "runs the service for another."
            )
        return key

    def _alive(self, key_id: str) -> ApiKey | None:
        key = self._keys.get(key_id)
        return key if key is not None and key.alive(keys.utc_now()) else None

    def _signing(self, key_id: str, proves: Callable[[str], bool]) -> ApiKey | None:
        key = self._keys.get(key_id)
        if key is None:
            return None
        # All are tried, whatever the others came to.
        tried = [proves(each) for each in key.signing_secrets(self._pepper, keys.utc_now())]
        return key if any(tried) else None

    def _opened_by(self, token: str) -> ApiKey | None:
        parts = keys.parse(token)
        key = None if parts is None else self._keys.get(parts[0])
        if parts is None or key is None:
            return None
        proof = keys.proof(self._pepper, *parts)
        return key if key.opens(proof, keys.utc_now()) else None

    @contextlib.contextmanager
    def admit(self, key: ApiKey) -> Iterator[None]:
        """Let one request of `key` in, for as long as the block lasts.

        Raises RateLimited, ConcurrencyLimited.
        """
        if key.concurrency is not None and self._under_way[key.id] >= key.concurrency:
            raise ConcurrencyLimited(
                f"This key may have {key.concurrency} requests under way at a time. Wait for one "
                "to end.",
                retry_after=1,
            )
        if key.requests_a_minute is not None:
            bucket = self._bucket((key.id, _REQUESTS), Rate(key.requests_a_minute, _MINUTE))
            if wait := bucket.wait(monotonic()):
                raise RateLimited(
                    f"This key may make {key.requests_a_minute} requests a minute.",
                    retry_after=ceil(wait),
                )
            bucket.spend(monotonic())
        self._under_way[key.id] += 1
        try:
            yield
        finally:
            self._under_way[key.id] -= 1
            if not self._under_way[key.id]:
                del self._under_way[key.id]

    def allow_verify(self, key_id: str | None, person: str) -> None:
        """Raises VerifyLimited where a key was refused too often for a person lately."""
        if key_id is None or not self._verify_failures:
            return
        bucket = self._bucket((key_id, f"verify:{person}"), Rate(self._verify_failures, _HOUR))
        if wait := bucket.wait(monotonic()):
            raise VerifyLimited(
                f"This key was refused {self._verify_failures} times for this person within an "
                "hour. Wait, or enrol a better photo.",
                retry_after=ceil(wait),
            )

    def refused(self, key_id: str | None, person: str) -> None:
        """Count a verification that came to no."""
        if key_id is not None and self._verify_failures:
            rate = Rate(self._verify_failures, _HOUR)
            self._bucket((key_id, f"verify:{person}"), rate).spend(monotonic())

    async def refresh(self) -> None:
        """Hand on what was counted, and read keys and limits. Raises DatabaseUnavailable."""
        async with self._turn:
            await self._hand_on()
            ahead = await keys.spent(self._database)
            self._keys = await keys.usable(self._database)
            self._take_stock(ahead)

    async def _hand_on(self) -> None:
        unsaved = {name: one.unsaved for name, one in self._buckets.items() if one.unsaved}
        used, self._used = self._used, {}
        if not unsaved and not used:
            return
        try:
            async with self._database.transaction() as connection:
                for (key_id, name), uses in sorted(unsaved.items()):
                    seconds = uses * self._buckets[key_id, name].rate.interval
                    await keys.spend(connection, key_id, name, seconds)
                await keys.used(connection, used)
        except DatabaseUnavailable:
            self._used = {**used, **self._used}
            raise
        for counted, uses in unsaved.items():
            self._buckets[counted].saved(uses)

    def _take_stock(self, ahead: Mapping[Name, float]) -> None:
        now = monotonic()
        self._elsewhere = {name: now + seconds for name, seconds in ahead.items()}
        for name, bucket in list(self._buckets.items()):
            bucket.seen(self._elsewhere.get(name, now))
            if not bucket.unsaved and bucket.spent_until <= now:
                del self._buckets[name]

    def _bucket(self, name: Name, rate: Rate) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None or bucket.rate != rate:
            unsaved = 0 if bucket is None else bucket.unsaved
            bucket = Bucket(rate, self._elsewhere.get(name, 0.0), unsaved)
            self._buckets[name] = bucket
        return bucket

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval)
            try:
                await self.refresh()
            except DatabaseUnavailable:
                log.warning("access.database_unavailable")
            except Exception:  # the loop must outlive any fault of one round
                log.error("access.failed", exc_info=True)
