"""The follower of one process: every collection's index, woken by notifications and a poll."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

from app.errors import NotFound, Overloaded
from app.gallery.each import each_template
from app.gallery.search import Searcher
from app.gallery.selection import Selection, everything, only
from app.gallery.snapshot import remove_old_formats, remove_snapshot
from app.gallery.storage import FLOAT32, Storage
from app.store import collections, history, idempotency, signatures
from app.store.change import Change
from app.store.collections import Collection
from app.store.database import CHANNEL, PATIENCE, Database
from app.store.errors import DatabaseUnavailable, TemplateUnreadable
from app.sync.audit import Audit
from app.sync.index import CollectionIndex
from app.types import Candidate, Floats

log = structlog.get_logger()

_SWEEP_SECONDS: Final = 60.0
# What one round of looking at every collection may take on a busy machine.
_ROUND_SECONDS: Final = 2.0
_APPLY_SECONDS: Final = 5.0
_TURN_SECONDS: Final = 1.0

# Between a notification and the look at what it means: more of them come in a bulk run, and what
# this process committed itself is applied by then.
_GATHER_SECONDS: Final = 0.01
# Patience with a database that nobody has heard of lately.
_OUT_OF_TOUCH_SECONDS: Final = 0.5
_HEARTBEAT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class View:
    """A collection at one revision, as a search sees it from first row to last; no `selection`
    where no model is bound yet."""

    name: str
    model: str | None
    revision: int
    selection: Selection | None

    @property
    def size(self) -> int:
        """Templates that are looked at."""
        return 0 if self.selection is None else self.selection.size

    @property
    def dimension(self) -> int | None:
        """D of its templates, None where no model is bound yet."""
        return None if self.selection is None else self.selection.state.dimension


def snapshot_path(folder: Path, collection: Collection) -> Path:
    """Where the snapshot of a collection lies."""
    return folder / f"{collection.id}.snapshot"


class Sync:
    """The indexes of one process, kept equal to PostgreSQL, and the search over them."""

    def __init__(
        self,
        database: Database,
        searcher: Searcher,
        *,
        storage: Storage = FLOAT32,
        snapshots: Path,
        snapshot_interval: float,
        poll_interval: float,
        changes_kept: int,
        idempotency_hours: float,
    ) -> None:
        self.searcher = searcher
        self.loaded = False
        self._database = database
        self._storage = storage
        self._snapshots = snapshots
        self._snapshot_interval = snapshot_interval
        self._poll_interval = poll_interval
        self._changes_kept = changes_kept
        self._idempotency_hours = idempotency_hours
        self._by_id: dict[UUID, CollectionIndex] = {}
        self._by_name: Mapping[str, CollectionIndex] = {}
        self._wake = asyncio.Event()  # somebody changed something
        self._work = asyncio.Event()  # it was seen what there is to follow
        self._auditing = False
        self._loops: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._heard_of = -inf

    # -- its life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow. `loaded` tells when every collection has been loaded once."""
        self._snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_old_formats(self._snapshots)
        loops = (self._watch, self._follow, self._listen, self._save, self._sweep)
        self._loops = [asyncio.create_task(loop(), name=loop.__name__) for loop in loops]

    async def halt(self) -> None:
        """Stop following; what is in memory stays as it is."""
        tasks = [*self._loops, *self._errands]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Stop following, and leave snapshots for the next start."""
        await self.halt()
        await self._save_all()
        await self.searcher.close()

    @property
    def silence(self) -> float:
        """Seconds since PostgreSQL last answered the follower; infinite before it ever did."""
        return monotonic() - self._heard_of

    @property
    def in_touch(self) -> bool:
        """Whether PostgreSQL answered lately."""
        return self.silence < 2 * self._poll_interval + _ROUND_SECONDS

    @property
    def indexes(self) -> Sequence[CollectionIndex]:
        """By name, for metrics and housekeeping."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    # -- questions --------------------------------------------------------------------------

    async def view(self, name: str, min_revision: int = 0, deadline: float = 5.0) -> View:
        """The collection as this process has it, at `min_revision` or later.

        A revision is a point of one history: where one is asked for, PostgreSQL is asked whether
        the index follows the history of today, or that of a collection which was dropped or
        replaced by a backup and happens to have come further. While PostgreSQL does not answer,
        the index answers as it is.

        Raises CollectionNotFound, IndexLoading, IndexBehind, and DatabaseUnavailable when a
        collection is not known here and PostgreSQL cannot be asked for it.
        """
        index = self._by_name.get(name)
        if index is None:
            index = await self._discover(name)
        elif min_revision > 0:
            with contextlib.suppress(DatabaseUnavailable):
                index = await self._of_today(name)
        try:
            await self._reach(index, min_revision, deadline)
        except NotFound:  # dropped, and perhaps made again under the same name
            index = await self._discover(name)
            await self._reach(index, min_revision, deadline)
        state = index.state
        revision = index.revision if state is None else state.position.revision
        return View(index.name, index.model, revision, None if state is None else everything(state))

    async def among(self, view: View, persons: Sequence[UUID]) -> View:
        """A view of the templates of these persons alone."""
        if view.selection is None:
            return view
        selection = await asyncio.to_thread(only, view.selection.state, persons)
        return replace(view, selection=selection)

    async def search(
        self, views: Sequence[View], queries: Floats, top: int, floor: float = -1.0
    ) -> list[list[Candidate]]:
        """Candidates for each of `queries` (float32[Q, D]) at or above `floor`, best first, from
        all `views` together, whose models are one; `source` is the number of a view."""
        there = [(number, view.selection) for number, view in enumerate(views) if view.selection]
        if not there:
            return [[] for _ in range(len(queries))]
        numbers, selections = zip(*there, strict=True)
        found = await self.searcher.search(selections, queries, top, floor)
        return [[replace(each, source=numbers[each.source]) for each in one] for one in found]

    async def each(
        self, view: View, persons: Sequence[UUID], query: Floats, top: int, floor: float = -1.0
    ) -> list[Candidate]:
        """Of these persons alone, every template by itself: the `top` most similar to `query`,
        float32[D], at or above `floor`, best first."""
        chosen = (await self.among(view, persons)).selection
        if chosen is None:
            return []
        return await asyncio.to_thread(each_template, chosen, query, top, floor)

    async def applied(self, change: Change) -> None:
        """Wait until this process has a change that it committed: you find what you enrolled, at
        once.

        Raises IndexLoading, IndexBehind, DatabaseUnavailable.
        """
        home = change.collection
        index = self._by_id.get(home.id) or await self._discover(home.name)
        with index.offered(change):
            # A turn is milliseconds, but for a load: then following is asked, and says so in time.
            await self._errand(index.take_offers(), _TURN_SECONDS)
            await self._reach(index, change.revision, _APPLY_SECONDS)

    async def audit(self, name: str) -> Audit:
        """Compare the index of a collection with PostgreSQL, one audit at a time.

        Raises CollectionNotFound, DatabaseUnavailable, TemplateUnreadable, Overloaded while
        another audit runs.
        """
        if self._auditing:
            raise Overloaded("Another audit runs on this replica. Try again when it is done.")
        self._auditing = True
        try:
            return await (await self._discover(name)).audit()
        finally:
            self._auditing = False

    def dropped(self, collection: Collection) -> None:
        """Forget a collection that was erased, with its snapshot."""
        index = self._by_id.get(collection.id)
        if index is not None:
            self._forget(index)

    # -- following --------------------------------------------------------------------------

    async def _reach(self, index: CollectionIndex, revision: int, deadline: float) -> None:
        """Wait until an index has `revision`; what is begun for that goes on without us."""
        if index.fault is not None:
            raise index.fault
        if index.revision >= max(0, revision):
            return
        give_up = monotonic() + deadline
        await self._errand(self._catch_up(index), deadline)
        await index.reached(revision, give_up)

    async def _errand(self, work: Coroutine[Any, Any, None], patience: float) -> None:
        """Wait for it, at most so many seconds. It goes on when the wait ends, also where whoever
        waits has gone: a change that is half applied would cost a load."""
        errand = asyncio.create_task(work)
        self._errands.add(errand)
        errand.add_done_callback(self._errand_done)
        done, _ = await asyncio.wait([errand], timeout=patience)
        if done:
            await errand

    def _errand_done(self, errand: "asyncio.Task[None]") -> None:
        self._errands.discard(errand)
        if not errand.cancelled() and (error := errand.exception()) is not None:
            log.info("sync.errand_failed", error=type(error).__name__)

    async def _catch_up(self, index: CollectionIndex) -> None:
        try:
            await index.catch_up()
        except NotFound:
            self._forget(index)
            raise

    async def _discover(self, name: str) -> CollectionIndex:
        """A collection that this process has not seen yet: made a moment ago, or elsewhere."""
        async with self._database.transaction() as connection:
            collection = await collections.get(connection, name)
        return self._meet(collection)

    async def _of_today(self, name: str) -> CollectionIndex:
        """The index of the collection that has this name now, on a point of its history."""
        patience = PATIENCE if self.in_touch else _OUT_OF_TOUCH_SECONDS
        async with self._database.transaction(patience) as connection:
            collection = await collections.get(connection, name)
            index = self._meet(collection)
            position = index.position
            fits = position is None or await history.stands_in(connection, collection, position)
        if not fits:
            await self._catch_up(index)
        return index

    def _meet(self, collection: Collection) -> CollectionIndex:
        known = self._by_id.get(collection.id)
        if known is not None:
            return known
        namesake = self._by_name.get(collection.name)
        if namesake is not None:  # it was dropped and made again, with another id
            self._forget(namesake)
        path = snapshot_path(self._snapshots, collection)
        index = CollectionIndex(collection, self._database, path, self._storage)
        self._by_id[collection.id] = index
        self._by_name = {**self._by_name, collection.name: index}
        return index

    def _forget(self, index: CollectionIndex) -> None:
        self._by_id.pop(index.collection_id, None)
        if self._by_name.get(index.name) is index:
            self._by_name = {n: each for n, each in self._by_name.items() if each is not index}
        index.erase()

    async def _watch(self) -> None:
        """See where every collection stands: at start, when woken, and once each poll interval.

        Apart from following, so that lag is seen also while following is held back.
        """
        while True:
            self._wake.clear()
            try:
                await self._look_at_all()
                self._work.set()
            except DatabaseUnavailable:
                log.warning("sync.database_unavailable")
            except Exception:  # the loop must outlive any fault of one round
                log.error("sync.failed", exc_info=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self._wake.wait()
                    await asyncio.sleep(_GATHER_SECONDS)

    async def _look_at_all(self) -> None:
        # Only who was known before the question can be missed in the answer.
        known = list(self._by_id.values())
        heads = await collections.seen(self._database)
        self._heard_of = monotonic()
        alive = {collection.id for collection in heads}
        for index in known:
            if index.collection_id not in alive:
                self._forget(index)
        for collection in heads:
            self._meet(collection).head = collection

    async def _follow(self) -> None:
        """Bring every index to where its collection was seen to stand."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                for index in self.indexes:
                    if not index.stands:
                        # Dropped since it was seen; or unreadable: its `fault` tells who asks.
                        with contextlib.suppress(NotFound, TemplateUnreadable):
                            await self._catch_up(index)
                if not self.loaded:
                    self._remove_strangers()
                self.loaded = True
            except DatabaseUnavailable:
                log.warning("sync.database_unavailable")
            except Exception:  # the loop must outlive any fault of one round
                log.error("sync.failed", exc_info=True)

    async def _listen(self) -> None:
        """Let notifications wake the follower; the poll goes on where this connection breaks."""
        while True:
            lost = asyncio.Event()
            try:
                connection = await self._database.listen()
            except DatabaseUnavailable:
                await asyncio.sleep(self._poll_interval)
                continue
            connection.add_termination_listener(lambda _, lost=lost: lost.set())
            try:
                await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
                self._wake.set()
                while not await _set_within(lost, _HEARTBEAT_SECONDS):
                    # A connection that only listens would never notice that its network is gone.
                    await connection.execute("SELECT 1")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(self._poll_interval)
            finally:
                connection.terminate()

    # -- housekeeping -----------------------------------------------------------------------

    def _remove_strangers(self) -> None:
        """Snapshots of collections that were erased while this process was not there to see."""
        known = {index.snapshot for index in self.indexes}
        for path in set(self._snapshots.glob("*.snapshot")) - known:
            remove_snapshot(path)

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(self._snapshot_interval)
            await self._save_all()

    async def _save_all(self) -> None:
        """Snapshots of every collection, as far as PostgreSQL answers: it has their keys."""
        with contextlib.suppress(DatabaseUnavailable):
            for index in self.indexes:
                with contextlib.suppress(TemplateUnreadable):  # logged where it was found
                    await index.save()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            with contextlib.suppress(DatabaseUnavailable):
                async with self._database.transaction() as connection:
                    await history.trim(connection, self._changes_kept)
                    await idempotency.sweep(connection, self._idempotency_hours)
                    await signatures.sweep(connection)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
