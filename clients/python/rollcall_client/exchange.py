"""How a call is carried out, without waiting or sending anything itself.

`Exchange.steps` says what to do next and is told what came of it. The two clients do what it says,
one by blocking, the other by awaiting: there is one place for retries, revisions and errors.
"""

import random
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import httpx

from rollcall_client.call import Call, Seen
from rollcall_client.codes import CLASSES, CollectionNotFound
from rollcall_client.errors import (
    RollcallError,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
    family,
)
from rollcall_client.uploads import read_image

T = TypeVar("T")

FIRST_PAUSE: Final = 0.25
"""Seconds before the first repeat, doubled with each, less a random part of it."""
LONGEST_PAUSE: Final = 30.0
"""Seconds. Whoever says that it takes longer is believed, and the caller hears of it at once."""

# The service says these before it has begun with what was asked.
_NOTHING_DONE: Final = frozenset({"overloaded", "audit_unavailable"})
# Limits, faults that pass, and proxies that did not reach the service.
_MAY_PASS: Final = frozenset({429, 502, 503, 504})
# The request did not leave.
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_IMAGE: Final = "image"  # the name of every file sent: a path is nobody's business


@dataclass(frozen=True, slots=True)
class Do:
    """Run `work`, which may read files and use the processor; send its result back."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Send:
    """Send `request`; send the response back, or throw the httpx.RequestError."""

    request: httpx.Request


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Step = Do | Send | Pause
Steps = Generator[Step, Any, T]


class Revisions:
    """The last revision that each collection answered with. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}

    def note(self, seen: Seen) -> None:
        with self._lock:
            if seen.revision is None:
                self._seen.pop(seen.collection, None)
            else:
                last = self._seen.get(seen.collection, 0)
                self._seen[seen.collection] = max(last, seen.revision)

    def of(self, collection: str) -> int:
        """0 where none was seen."""
        return self._seen.get(collection, 0)

    def forget(self, collection: str | None = None) -> None:
        """Of one collection or all: after a restore, histories begin again below what was seen."""
        with self._lock:
            if collection is None:
                self._seen.clear()
            else:
                self._seen.pop(collection, None)


class Exchange:
    """Carries calls out: what to send, what to repeat, what an answer means.

    build: makes requests, as httpx's clients do. retries: how often a request is repeated at most.
    """

    def __init__(
        self, build: Callable[..., httpx.Request], *, retries: int, read_your_writes: bool
    ) -> None:
        if retries < 0:
            raise ValueError("retries is 0 or more")
        self._build = build
        self._retries = retries
        self._read_your_writes = read_your_writes
        self.revisions = Revisions()

    def steps(self, call: Call[T]) -> Steps[T]:
        """Raises RollcallError, and what `read_image` raises."""
        files: list[tuple[str, bytes]] = []
        if call.images:
            files = yield Do(lambda: [(name, read_image(image)) for name, image in call.images])
        for attempt in range(self._retries + 1):
            try:
                response = yield Send(self._request(call, files))
            except httpx.RequestError as fault:
                error: RollcallError = _no_answer(fault)
                error.__cause__ = fault
                pause = _pause_unsent(call, fault, attempt)
            else:
                if response.is_success or response.status_code in call.also:
                    return self._learned(call, call.read(response))
                error = refusal(response)
                pause = _pause_refused(call, error, attempt)
                if call.searches is not None and error.code == CollectionNotFound.code:
                    self.revisions.forget(call.searches)  # made anew it counts from the beginning
            if pause is None or attempt == self._retries:
                raise error
            yield Pause(pause)
        raise AssertionError("the last attempt returns or raises")

    def _request(self, call: Call[T], files: list[tuple[str, bytes]]) -> httpx.Request:
        fields, body = list(call.fields), call.json
        if call.searches is not None and self._read_your_writes:
            revision = self.revisions.of(call.searches)
            if revision and body is not None:
                body = {**body, "min_revision": revision}
            elif revision:
                fields.append(("min_revision", str(revision)))
        # Text is sent as parts too, so that a form without any image is one.
        parts: list[tuple[str, Any]] = [(name, (None, text)) for name, text in fields]
        parts += [(name, (_IMAGE, content)) for name, content in files]
        return self._build(
            call.method,
            call.path,
            params=call.query or None,
            json=body,
            files=parts or None,
            headers=call.headers,
        )

    def _learned(self, call: Call[T], answer: T) -> T:
        seen = call.learns(answer)
        if seen is not None:
            self.revisions.note(seen)
        return answer


@contextmanager
def reaching() -> Iterator[None]:
    """Turn what httpx raises where nothing, or no more, is answered into the client's errors."""
    try:
        yield
    except httpx.RequestError as fault:
        raise _no_answer(fault) from fault


def refusal(response: httpx.Response) -> RollcallError:
    """The error that an answer stands for."""
    status = response.status_code
    if response.has_redirect_location:
        # Followed, it would take key and pictures to wherever an answer says.
        host = httpx.URL(response.headers["location"]).host or "another path"
        return UnexpectedAnswer(
            f"The address redirects ({status}) to {host}, which is not followed. "
            "Give the client the address of the service itself.",
            status=status,
        )
    retry_after = _seconds(response.headers.get("retry-after"))
    given = response.headers.get("x-request-id")
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, TypeError, KeyError):
        return family(status)(
            f"{status} {response.reason_phrase}, without a problem of Rollcall's: is there a proxy "
            "in between, or another service at this address?",
            status=status,
            request_id=given,
            retry_after=retry_after,
        )
    envelope = {"type", "title", "status", "detail", "code", "request_id"}
    return CLASSES.get(code, family(status))(
        detail,
        code=code,
        status=status,
        request_id=str(problem.get("request_id") or given or "") or None,
        retry_after=retry_after,
        facts={name: value for name, value in problem.items() if name not in envelope},
    )


def _no_answer(fault: httpx.RequestError) -> RollcallError:
    what = str(fault) or type(fault).__name__
    if isinstance(fault, httpx.TimeoutException):
        return TimedOut(f"The service did not answer in time ({type(fault).__name__}).")
    return Unreachable(f"The service cannot be reached: {what}")


def _pause_unsent(call: Call[Any], fault: httpx.RequestError, attempt: int) -> float | None:
    """Seconds until the request may be sent again; None if it may not."""
    known = isinstance(
        fault, httpx.TimeoutException | httpx.NetworkError | httpx.RemoteProtocolError
    )
    if not known or not (call.repeatable or isinstance(fault, _UNSENT)):
        return None
    return _growing(attempt)


def _pause_refused(call: Call[Any], error: RollcallError, attempt: int) -> float | None:
    """Seconds until the request may be sent again; None if it may not.

    What has Retry-After may fare better later, such as an Idempotency-Key that is still worked on.
    For a call that is not repeatable the service must have said that it did nothing.
    """
    if error.retry_after is None and error.status not in _MAY_PASS:
        return None
    if not (call.repeatable or error.status == 429 or error.code in _NOTHING_DONE):
        return None
    asked = error.retry_after or 0.0
    return None if asked > LONGEST_PAUSE else asked + _growing(attempt)


def _growing(attempt: int) -> float:
    """Between half and all of a time that doubles: many who failed together come back apart."""
    most = min(FIRST_PAUSE * 2.0**attempt, LONGEST_PAUSE)
    return most * random.uniform(0.5, 1)  # noqa: S311 (spreads load, keeps no secret)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds: a number, or a date as proxies send it (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
