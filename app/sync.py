"""Keeps every collection's index equal to PostgreSQL: load, follow, answer for a revision.

PostgreSQL is the truth and the index a function of it. Each process follows every collection:
it applies changes in order of revision, one whole change at a time. A notification wakes it; a
poll covers those that are lost. Whatever does not fit together (a gap, another digest, another
model) is not repaired but loaded afresh.
"""

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.errors import NotFound, Unavailable
from app.gallery.index import Change, Diverged, Gallery, OutOfOrder, State
from app.gallery.search import Searcher
from app.gallery.snapshot import (
    SnapshotUnusable,
    read_snapshot,
    remove_snapshot,
    write_snapshot,
)
from app.store import collections, history, idempotency
from app.store.collections import Collection
from app.store.database import CHANNEL, Database
from app.store.errors import DatabaseUnavailable
from app.types import Candidate, Floats, Position, Rows

log = structlog.get_logger()

_SWEEP_SECONDS: Final = 60.0
# What one round of looking at every collection may take on a busy machine.
_ROUND_SECONDS: Final = 2.0


class IndexBehind(Unavailable):
    """The index of this process did not reach a revision in time."""

    code = "revision_not_reached"


class IndexLoading(Unavailable):
    """The index of this process is being loaded for the first time."""

    code = "index_loading"
    retry_after = 2


@dataclass(slots=True, eq=False)
class Follower:
    """One collection's index in this process. `gallery` is None until a model is bound."""

    collection_id: UUID
    name: str
    model: str | None = None
    gallery: Gallery | None = None
    position: Position | None = None
    known: int = 0  # the newest revision that PostgreSQL was seen to have
    saved: Position | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def state(self) -> State | None:
        return None if self.gallery is None else self.gallery.state

    @property
    def revision(self) -> int:
        return -1 if self.position is None else self.position.revision


@dataclass(frozen=True, slots=True)
class View:
    """A collection at one revision, as a search sees it from first row to last."""

    name: str
    model: str | None
    revision: int
    state: State | None

    @property
    def size(self) -> int:
        """Templates in the gallery."""
        return 0 if self.state is None else self.state.size

    @property
    def persons(self) -> int:
        return 0 if self.state is None else self.state.persons()


class Sync:
    """The followers of one process, and the search over what they keep."""

    def __init__(
        self,
        database: Database,
        searcher: Searcher,
        *,
        snapshots: Path,
        snapshot_interval: float,
        poll_interval: float,
        changes_kept: int,
        idempotency_hours: float,
    ) -> None:
        self._database = database
        self.searcher = searcher
        self._snapshots = snapshots
        self._snapshot_interval = snapshot_interval
        self._poll_interval = poll_interval
        self._changes_kept = changes_kept
        self._idempotency_hours = idempotency_hours
        self._by_id: dict[UUID, Follower] = {}
        self._by_name: Mapping[str, Follower] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[None]] = set()
        self.loaded = False
        self._heard_of = -inf

    # -- its life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow. `loaded` tells when every collection has been loaded once."""
        self._snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)
        loops = (self._follow, self._listen, self._save, self._sweep)
        self._tasks = [asyncio.create_task(loop(), name=loop.__name__) for loop in loops]

    async def stop(self) -> None:
        tasks = [*self._tasks, *self._errands]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._save_all()
        await self.searcher.close()

    @property
    def in_touch(self) -> bool:
        """Whether PostgreSQL answered lately."""
        return monotonic() - self._heard_of < 2 * self._poll_interval + _ROUND_SECONDS

    @property
    def followers(self) -> Sequence[Follower]:
        """By name, for metrics and listings."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    # -- questions --------------------------------------------------------------------------

    async def view(self, name: str, min_revision: int = 0, deadline: float = 5.0) -> View:
        """The collection as this process has it, at `min_revision` or later.

        Raises CollectionNotFound, IndexLoading, IndexBehind, and DatabaseUnavailable when a
        collection is not known here and PostgreSQL cannot be asked for it.
        """
        follower = self._by_name.get(name)
        if follower is None:
            follower = await self._discover(name)
        if follower.position is None or follower.revision < min_revision:
            await self._reach(follower, min_revision, deadline)
        state = follower.state
        revision = follower.revision if state is None else state.position.revision
        return View(follower.name, follower.model, revision, state)

    async def search(
        self, view: View, queries: Floats, top: int, floor: float = -1.0
    ) -> list[list[Candidate]]:
        """Candidates for each of `queries` (float32[Q, D]) at or above `floor`, best first."""
        if view.state is None or view.state.size == 0:
            return [[] for _ in range(len(queries))]
        return await self.searcher.search(view.state, queries, top, floor)

    async def applied(self, collection: Collection, revision: int) -> None:
        """Wait until this process has a committed revision: you find what you enrolled, at once.

        Raises IndexBehind, DatabaseUnavailable.
        """
        follower = self._by_id.get(collection.id)
        if follower is None:
            follower = await self._discover(collection.name)
        await self._reach(follower, revision, deadline=5.0)

    async def dropped(self, collection: Collection) -> None:
        """Forget a collection that was erased, with its snapshot."""
        follower = self._by_id.get(collection.id)
        if follower is not None:
            self._forget(follower)

    # -- following --------------------------------------------------------------------------

    async def _discover(self, name: str) -> Follower:
        """A collection that this process has not seen yet: made a moment ago, or elsewhere."""
        async with self._database.transaction() as connection:
            collection = await collections.get(connection, name)
        return self._meet(collection)

    def _meet(self, collection: Collection) -> Follower:
        known = self._by_id.get(collection.id)
        if known is not None:
            return known
        self._forget_namesake(collection)
        follower = Follower(collection.id, collection.name)
        self._by_id[collection.id] = follower
        self._by_name = {**self._by_name, collection.name: follower}
        return follower

    def _forget_namesake(self, collection: Collection) -> None:
        """A collection that was dropped and made again has the old name and another id."""
        namesake = self._by_name.get(collection.name)
        if namesake is not None:
            self._forget(namesake)

    def _forget(self, follower: Follower) -> None:
        self._by_id.pop(follower.collection_id, None)
        if self._by_name.get(follower.name) is follower:
            self._by_name = {
                name: each for name, each in self._by_name.items() if each is not follower
            }
        remove_snapshot(self._snapshot_of(follower))

    async def _reach(self, follower: Follower, revision: int, deadline: float) -> None:
        """Wait until the index has `revision`; what is begun for that goes on without us."""
        give_up = monotonic() + deadline
        if follower.position is None or follower.revision < revision:
            catching_up = asyncio.create_task(self._catch_up(follower))
            self._errands.add(catching_up)
            catching_up.add_done_callback(self._errand_done)
            done, _ = await asyncio.wait([catching_up], timeout=deadline)
            if done:
                await catching_up
        while follower.position is None or follower.revision < revision:
            left = give_up - monotonic()
            if left <= 0:
                raise _not_there_yet(follower, revision)
            async with follower.moved:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await follower.moved.wait()

    def _errand_done(self, errand: "asyncio.Task[None]") -> None:
        self._errands.discard(errand)
        if not errand.cancelled() and (error := errand.exception()) is not None:
            log.info("sync.errand_failed", error=type(error).__name__)

    async def _follow(self) -> None:
        """Look at every collection: at start, when woken, and once each poll interval."""
        while True:
            self._wake.clear()
            try:
                await self._look_at_all()
                if not self.loaded:
                    self._remove_strangers()
                self.loaded = True
                self._heard_of = monotonic()
            except DatabaseUnavailable:
                log.warning("sync.database_unavailable")
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the loop must outlive any fault of one round
                log.error("sync.failed", error=type(error).__name__, exc_info=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self._wake.wait()

    def _remove_strangers(self) -> None:
        """Snapshots of collections that were erased while this process was not there to see."""
        known = {self._snapshot_of(follower) for follower in self.followers}
        for path in set(self._snapshots.glob("*.snapshot")) - known:
            remove_snapshot(path)

    async def _look_at_all(self) -> None:
        async with self._database.transaction() as connection:
            heads = await collections.heads(connection)
        alive = {collection.id for collection in heads}
        for follower in list(self._by_id.values()):
            if follower.collection_id not in alive and follower.position is not None:
                self._forget(follower)
        for collection in heads:
            follower = self._meet(collection)
            follower.known = collection.position.revision
            if follower.position != collection.position or follower.model != collection.model:
                with contextlib.suppress(NotFound):  # dropped since it was listed
                    await self._catch_up(follower)

    async def _listen(self) -> None:
        """Let notifications wake the follower; the poll goes on where this connection breaks."""
        while True:
            try:
                connection = await self._database.listen()
            except DatabaseUnavailable:
                await asyncio.sleep(self._poll_interval)
                continue
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())  # noqa: B023 (used in this turn)
            try:
                await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
                self._wake.set()
                await lost.wait()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(self._poll_interval)
            finally:
                connection.terminate()

    async def _catch_up(self, follower: Follower) -> None:
        """Bring one index to the newest committed revision, by changes or by a fresh load."""
        async with follower.turn:
            if follower.position is None:
                await self._first_load(follower)
            else:
                await self._apply_changes(follower, follower.position)
        async with follower.moved:
            follower.moved.notify_all()

    async def _first_load(self, follower: Follower) -> None:
        """From the snapshot if it is a point of the collection's history, else from PostgreSQL."""
        async with self._database.snapshot() as connection:
            collection = await collections.find_by_id(connection, follower.collection_id)
            if collection is None:
                raise collections.missing(follower.name)
            try:
                snapshot = await asyncio.to_thread(read_snapshot, self._snapshot_of(follower))
            except SnapshotUnusable as reason:
                log.info("sync.snapshot_unusable", reason=str(reason))
            else:
                if (
                    snapshot.collection == str(collection.id)
                    and snapshot.model == collection.model
                    and await history.stands_in(connection, collection, snapshot.position)
                ):
                    follower.gallery = snapshot.gallery
                    follower.model = collection.model
                    follower.position = follower.saved = snapshot.position
        if follower.position is None:
            await self._load(follower)
        else:
            await self._apply_changes(follower, follower.position)

    async def _load(self, follower: Follower) -> None:
        """Read the whole collection in one snapshot of the database."""
        async with self._database.snapshot() as connection:
            collection = await collections.find_by_id(connection, follower.collection_id)
            if collection is None:
                self._forget(follower)
                raise collections.missing(follower.name)
            gallery = None
            if collection.model is not None:
                dimension = await history.dimension_of(connection, collection)
                rows = history.load(connection, collection, dimension)
                gallery = await _build(dimension, collection.position, rows)
        follower.gallery = gallery
        follower.model = collection.model
        follower.position = collection.position
        follower.known = max(follower.known, collection.position.revision)
        log.info(
            "sync.loaded",
            revision=follower.revision,
            templates=gallery.state.size if gallery else 0,
        )

    async def _apply_changes(self, follower: Follower, position: Position) -> None:
        dimension = 1 if follower.gallery is None else follower.gallery.dimension
        async with self._database.snapshot() as connection:
            since = await history.since(
                connection, follower.collection_id, follower.model, dimension, position
            )
        if since is None:
            self._forget(follower)
            raise collections.missing(follower.name)
        follower.known = max(follower.known, since.collection.position.revision)
        if since.changes is None:
            await self._load(follower)
            return
        try:
            for change in since.changes:
                await self._apply(follower, change)
        except (OutOfOrder, Diverged) as reason:
            log.error("sync.diverged", reason=str(reason), revision=follower.revision)
            await self._load(follower)

    async def _apply(self, follower: Follower, change: history.LoggedChange) -> None:
        if len(change.removed):
            # What was erased must not lie in a file either; the next snapshot is without it.
            remove_snapshot(self._snapshot_of(follower))
            follower.saved = None
        if follower.gallery is not None:
            await asyncio.to_thread(
                follower.gallery.apply,
                Change(
                    change.position.revision,
                    change.position.digest,
                    change.added,
                    change.removed,
                ),
            )
        follower.position = change.position

    # -- housekeeping -----------------------------------------------------------------------

    def _snapshot_of(self, follower: Follower) -> Path:
        return self._snapshots / f"{follower.collection_id}.snapshot"

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(self._snapshot_interval)
            await self._save_all()

    async def _save_all(self) -> None:
        for follower in self.followers:
            async with follower.turn:
                if follower.gallery is None or follower.saved == follower.position:
                    continue
                try:
                    await asyncio.to_thread(
                        write_snapshot,
                        self._snapshot_of(follower),
                        follower.gallery.state,
                        collection=str(follower.collection_id),
                        model=follower.model or "",
                    )
                except OSError as error:  # a cache: without it the next start reads PostgreSQL
                    log.warning("sync.snapshot_not_written", error=type(error).__name__)
                else:
                    follower.saved = follower.position
                if self._by_id.get(follower.collection_id) is not follower:
                    remove_snapshot(self._snapshot_of(follower))  # erased while it was written

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            with contextlib.suppress(DatabaseUnavailable):
                async with self._database.transaction() as connection:
                    await history.trim(connection, self._changes_kept)
                    await idempotency.sweep(connection, self._idempotency_hours)


def _not_there_yet(follower: Follower, revision: int) -> IndexLoading | IndexBehind:
    if follower.position is None:
        return IndexLoading(
            f"The index of '{follower.name}' is being loaded. GET /readyz tells when it is."
        )
    return IndexBehind(
        f"Collection '{follower.name}' is at revision {follower.revision} here; revision "
        f"{revision} did not come in time. Try again.",
        revision=follower.revision,
    )


async def _build(dimension: int, position: Position, chunks: AsyncIterator[Rows]) -> Gallery:
    """A gallery of rows that arrive here and are laid out by a thread, a few chunks in between."""
    pipe: queue.Queue[Rows | None] = queue.Queue(maxsize=4)

    def build() -> Gallery:
        incoming = iter(pipe.get, None)
        try:
            return Gallery.load(dimension, position, incoming)
        finally:
            for _ in incoming:  # a load that failed must not leave the reader waiting
                pass

    building = asyncio.create_task(asyncio.to_thread(build))
    try:
        async for rows in chunks:
            await asyncio.to_thread(pipe.put, rows)
    finally:
        await asyncio.to_thread(pipe.put, None)
        await asyncio.wait([building])
    return await building
