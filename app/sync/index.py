"""One collection's index in this process, and how it comes to be what PostgreSQL holds."""

import asyncio
import contextlib
import queue
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app import memory
from app.errors import Unavailable
from app.failpoints import hit
from app.gallery.index import Change, Diverged, Gallery, OutOfOrder, State
from app.gallery.snapshot import (
    SnapshotUnusable,
    read_snapshot,
    remove_snapshot,
    write_snapshot,
)
from app.gallery.storage import FLOAT32, Storage
from app.store import collections, history, vaultkeys
from app.store.change import Change as Committed
from app.store.collections import Collection
from app.store.database import Database
from app.store.errors import TemplateUnreadable
from app.sync.audit import Audit, compare
from app.types import Position, Rows

log = structlog.get_logger()

# A collection that does not open is read again this seldom, since each try may read all of it.
_UNREADABLE_SECONDS: Final = 15.0

# Of a load: read, and not laid out yet.
_CHUNKS_BETWEEN: Final = 4


class IndexBehind(Unavailable):
    """The index of this process did not reach a revision in time."""

    code = "revision_not_reached"


class IndexLoading(Unavailable):
    """The index of this process is being loaded for the first time."""

    code = "index_loading"
    retry_after = 2


class CollectionIndex:
    """The templates of one collection in memory, at one revision, with a snapshot on disk.

    `gallery` and `model` are None until a model is bound, `position` is None until the first
    load. `head` is the collection as PostgreSQL was last seen to have it. `fault` is why the
    collection cannot be searched, until it can be read again. `snapshot_fault` says why the
    snapshot on disk was not what the index began with; None where it was, or none was looked for
    yet.
    """

    def __init__(
        self,
        collection: Collection,
        database: Database,
        snapshot: Path,
        storage: Storage = FLOAT32,
    ) -> None:
        self.collection_id: UUID = collection.id
        self.name = collection.name
        self.model: str | None = None
        self.gallery: Gallery | None = None
        self.position: Position | None = None
        self.head = collection
        self.snapshot = snapshot
        self.snapshot_fault: str | None = None
        self._database = database
        self._storage = storage
        self.fault: TemplateUnreadable | None = None
        self._saved: tuple[Position, int] | None = None
        self._retry_at = 0.0
        self._erased = False
        self._removals = 0  # changes that removed somebody
        self._offers: dict[int, Committed] = {}
        self._turn = asyncio.Lock()
        self._saving = asyncio.Lock()
        self._moved = asyncio.Condition()

    @property
    def state(self) -> State | None:
        return None if self.gallery is None else self.gallery.state

    @property
    def revision(self) -> int:
        """-1 before the first load."""
        return -1 if self.position is None else self.position.revision

    @property
    def stands(self) -> bool:
        """Whether the index is what PostgreSQL was last seen to have."""
        return self.position == self.head.position and self.model == self.head.model

    @property
    def lag(self) -> int:
        """Revisions that the index is behind PostgreSQL, as last seen."""
        return max(0, self.head.position.revision - max(0, self.revision))

    async def catch_up(self) -> None:
        """Come to the newest committed revision, by changes or by a fresh load.

        Raises CollectionNotFound, DatabaseUnavailable, TemplateUnreadable.
        """
        async with self._turn:
            async with self._database.snapshot() as connection:
                await self._come_to(connection)
            await self._apply_offers()
        await self._tell()

    @contextlib.contextmanager
    def offered(self, change: Committed) -> Iterator[None]:
        """A change that this process committed itself, to be applied as it is, as long as the
        block lasts."""
        self._offers[change.revision] = change
        try:
            yield
        finally:
            self._offers.pop(change.revision, None)

    async def take_offers(self) -> None:
        """Apply what was offered and comes next; whoever has the turn is waited for.

        PostgreSQL is not asked for what it was just told. What does not follow is left to
        following.
        """
        async with self._turn:
            await self._apply_offers()
        await self._tell()

    async def _apply_offers(self) -> None:
        while self.gallery is not None and self.position is not None and self.fault is None:
            change = self._offers.get(self.revision + 1)
            if change is None or change.collection.position != self.position:
                return
            if change.collection.model != self.model:
                return
            hit("index.changes_read")
            try:
                await self._apply(change.logged(self.gallery.dimension))
            except (OutOfOrder, Diverged):  # following loads afresh, and says so
                return
            if self.position.revision > self.head.position.revision:
                self.head = replace(self.head, position=self.position)

    async def audit(self) -> Audit:
        """Compare the index with PostgreSQL, both at the newest committed revision.

        Nothing is repaired. Following goes on while templates are compared: what is compared is
        a state, which never changes. Raises CollectionNotFound, DatabaseUnavailable,
        TemplateUnreadable.
        """
        async with contextlib.AsyncExitStack() as stack:
            # In this order: a snapshot from before the turn could be older than the index.
            async with self._turn:
                connection = await stack.enter_async_context(self._database.snapshot())
                collection = await self._come_to(connection)
                state = self.state
            await self._tell()
            return await compare(connection, collection, state)

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def reached(self, revision: int, give_up: float) -> None:
        """Wait for a revision until the monotonic time `give_up`.

        Raises IndexLoading before the first load, else IndexBehind.
        """
        while self.revision < max(0, revision):
            left = give_up - monotonic()
            if left <= 0:
                raise self._not_there_yet(revision)
            async with self._moved:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._moved.wait()

    async def save(self) -> None:
        """Write the snapshot under the newest key unless it is there. Without one the next start
        reads PostgreSQL. Raises DatabaseUnavailable, TemplateUnreadable.

        Following goes on while it is written: a state never changes.
        """
        async with self._saving:
            async with self._turn:
                gallery, position, removals = self.gallery, self.position, self._removals
                if gallery is None or position is None:
                    return
                async with self._database.transaction() as connection:
                    key = await vaultkeys.newest(connection, self.collection_id)
                if key is None or self._saved == (position, key.version):
                    return
                state, model = gallery.state, self.model or ""
            try:
                await asyncio.to_thread(
                    write_snapshot,
                    self.snapshot,
                    state,
                    key,
                    collection=str(self.collection_id),
                    model=model,
                )
            except OSError as error:
                log.warning("sync.snapshot_not_written", error=type(error).__name__)
                return
            finally:
                if self._erased or self._removals != removals:  # it holds what was erased meanwhile
                    remove_snapshot(self.snapshot)
            if self._removals == removals:
                self._saved = position, key.version

    def erase(self) -> None:
        """The collection is gone: leave nothing of it on disk."""
        self._erased = True
        remove_snapshot(self.snapshot)

    async def _come_to(self, connection: AsyncConnection) -> Collection:
        """Stand where the collection stands in this snapshot of the database; how it stands there.

        The turn must be held. Raises CollectionNotFound, TemplateUnreadable.
        """
        if self.fault is not None and monotonic() < self._retry_at:
            raise self.fault
        try:
            collection = await self._move(connection)
        except TemplateUnreadable as fault:
            self.fault = fault
            self._retry_at = monotonic() + _UNREADABLE_SECONDS
            raise
        self.fault = None
        return collection

    async def _move(self, connection: AsyncConnection) -> Collection:
        collection = await collections.get_by_id(connection, self.collection_id, self.name)
        if self.position is None:
            await self._read_snapshot(connection, collection)
        if self.position is None:
            await self._load(connection, collection)
        else:
            await self._apply_changes(connection, collection, self.position)
        # This view of the database may be older than what was seen meanwhile. Whether the head
        # went back, to a backup, is for the next look at all of them to tell.
        if collection.position.revision >= self.head.position.revision:
            self.head = collection
        return collection

    async def _read_snapshot(self, connection: AsyncConnection, collection: Collection) -> None:
        """Begin with the snapshot, if it is a point of the collection's history."""
        keys = await vaultkeys.keys_of(connection, self.collection_id)
        try:
            found = await asyncio.to_thread(
                read_snapshot, self.snapshot, keys, storage=self._storage
            )
        except SnapshotUnusable as reason:
            log.info("sync.snapshot_unusable", reason=str(reason))
            self.snapshot_fault = str(reason)
            remove_snapshot(self.snapshot)
            return
        if (
            found.collection == str(collection.id)
            and found.model == collection.model
            and await history.stands_in(connection, collection, found.position)
        ):
            self.gallery, self.model = found.gallery, collection.model
            self.position = found.position
            self._saved = found.position, found.key_version
        else:
            self.snapshot_fault = f"{self.snapshot.name} is not of this collection's history"

    async def _load(self, connection: AsyncConnection, collection: Collection) -> None:
        """Read the whole collection."""
        gallery = None
        if collection.model is not None:
            dimension = await history.dimension_of(connection, collection)
            rows = history.load(connection, collection, dimension)
            gallery = await _build(dimension, collection.position, rows, self._storage)
        self.gallery, self.model = gallery, collection.model
        self.position = collection.position
        await asyncio.to_thread(memory.give_back)
        templates = 0 if gallery is None else gallery.state.size
        log.info("sync.loaded", revision=self.revision, templates=templates)

    async def _apply_changes(
        self, connection: AsyncConnection, collection: Collection, position: Position
    ) -> None:
        """Follow the log from `position`; load afresh where it does not lead from there."""
        dimension = 1 if self.gallery is None else self.gallery.dimension
        since = await history.since(connection, collection.id, self.model, dimension, position)
        if since is None:
            raise collections.missing(self.name)
        if since.changes is None:
            await self._load(connection, collection)
            return
        hit("index.changes_read")
        try:
            for change in since.changes:
                await self._apply(change)
        except (OutOfOrder, Diverged) as reason:
            log.error("sync.diverged", reason=str(reason), revision=self.revision)
            await self._load(connection, collection)

    async def _apply(self, change: history.LoggedChange) -> None:
        if len(change.removed):
            # What was erased must not lie in a file either; the next snapshot is without it.
            remove_snapshot(self.snapshot)
            self._removals += 1
            self._saved = None
            hit("index.snapshot_removed")
        if self.gallery is not None:
            await asyncio.to_thread(
                self.gallery.apply,
                Change(
                    change.position.revision, change.position.digest, change.added, change.removed
                ),
            )
        self.position = change.position

    def _not_there_yet(self, revision: int) -> IndexLoading | IndexBehind:
        if self.position is None:
            return IndexLoading(
                f"The index of '{self.name}' is being loaded. GET /readyz tells when it is."
            )
        return IndexBehind(
            f"Collection '{self.name}' is at revision {self.revision} here; revision {revision} "
            "did not come in time. Try again.",
            revision=self.revision,
        )


async def _build(
    dimension: int, position: Position, chunks: AsyncGenerator[Rows], storage: Storage
) -> Gallery:
    """A gallery of rows that arrive here and are laid out by a thread, a few chunks in between."""
    loop = asyncio.get_running_loop()
    pipe: queue.SimpleQueue[Rows | None] = queue.SimpleQueue()
    room = asyncio.Semaphore(_CHUNKS_BETWEEN)

    def incoming() -> Iterator[Rows]:
        while (rows := pipe.get()) is not None:
            loop.call_soon_threadsafe(room.release)
            yield rows

    def build() -> Gallery:
        came = incoming()
        try:
            return Gallery.load(dimension, position, came, storage=storage)
        finally:
            for _ in came:  # a load that failed must not leave the reader waiting
                pass

    building = asyncio.create_task(asyncio.to_thread(build))
    try:
        async with contextlib.aclosing(chunks):
            async for rows in chunks:
                await room.acquire()
                pipe.put(rows)
    finally:
        # Not awaited: who is cancelled a second time here would leave the thread waiting for ever.
        pipe.put(None)
        await asyncio.wait([building])
    return await building
