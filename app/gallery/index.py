"""What one collection's index is for one model: immutable states, and the writer that makes them.

Readers take `gallery.state` once and see one revision from its first row to its last, without a
lock. The gallery has one writer at a time; its caller sees to that.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.gallery.blocks import (
    NONE_DEAD,
    Block,
    Ids,
    Index,
    View,
    absent,
    as_bytes,
    checked,
    distinct,
    find,
    packed,
)
from app.gallery.checksum import Checksum, checksum_of
from app.gallery.known import Known
from app.gallery.storage import FLOAT32, Maker, Storage
from app.types import Floats, Position, Rows

BLOCK_ROWS = 8192


class OutOfOrder(Exception):
    """A change that does not follow the gallery's revision. Nothing was applied."""


class Diverged(Exception):
    """A change that does not fit what the gallery holds: it must be loaded afresh."""


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change of a collection: its revision and the digest chained up to it.

    `removed` (face ids, uint8[M, 16]) go first, then `added` come; a face that moves to another
    person, or gets another embedding, stands in both.
    """

    revision: int
    digest: bytes
    added: Rows
    removed: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A collection at one revision; immutable. `size` counts templates."""

    dimension: int
    position: Position
    views: tuple[View, ...]
    size: int
    _persons: int

    def persons(self) -> int:
        """How many distinct persons there are."""
        return self._persons

    def rows(self) -> Iterator[Rows]:
        """All templates, block by block, in no order that means anything. Not to be written to."""
        return (view.rows() for view in self.views if view.size)

    def checksum(self) -> Checksum:
        """Of all templates, whatever their order; seconds for a million."""
        return sum((checksum_of(rows) for rows in self.rows()), Checksum())


class Gallery:
    """The templates of one collection for one model, float32[D] each, in a storage format.

    `state` may be read by any thread at any time. `apply` may be called by one thread at a time.
    The first block is an eighth of `block_rows`, so that small collections stay small.
    """

    def __init__(
        self,
        dimension: int,
        position: Position,
        *,
        block_rows: int = BLOCK_ROWS,
        storage: Storage = FLOAT32,
    ) -> None:
        if dimension < 1 or block_rows < 1:
            raise ValueError("a gallery needs a dimension and blocks of at least one row")
        self.dimension = dimension
        self._block_rows = block_rows
        self._dead_limit = max(1, block_rows // 128)
        self._maker = Maker(storage, dimension)
        self._state = State(dimension, position, (), 0, 0)
        self._faces: Known | None = None  # made when the first row is added
        self._persons: Known | None = None

    @classmethod
    def load(
        cls,
        dimension: int,
        position: Position,
        chunks: Iterable[Rows],
        *,
        block_rows: int = BLOCK_ROWS,
        storage: Storage = FLOAT32,
    ) -> "Gallery":
        """A gallery of all rows in `chunks`, which are copied.

        Raises ValueError for rows of the wrong shape or length, or a face that comes twice, and
        ScratchFailed.
        """
        gallery = cls(dimension, position, block_rows=block_rows, storage=storage)
        views: list[View] = []
        for chunk in chunks:
            gallery._append(views, *_parts(chunk, dimension))
        if not views:
            return gallery
        size = sum(view.size for view in views)
        faces = np.concatenate([view.block.faces[:, : view.used] for view in views], axis=1)
        if distinct(faces) != size:
            raise ValueError("a face stands twice among the rows to load")
        persons = np.concatenate([view.block.persons[:, : view.used] for view in views], axis=1)
        gallery._state = State(dimension, position, tuple(views), size, distinct(persons))
        return gallery

    @property
    def state(self) -> State:
        """The newest state. Take it once a search: the next reading may be a later one."""
        return self._state

    def apply(self, change: Change) -> None:
        """Publish the state after `change`, whole.

        Raises OutOfOrder unless its revision is the next one, Diverged if it removes a face that
        is not here or adds one that is, ValueError for rows of the wrong shape or length,
        ScratchFailed where compressed rows find no place. The state is then what it was.
        """
        state = self._state
        if change.revision != state.position.revision + 1:
            raise OutOfOrder(
                f"revision {change.revision} does not follow {state.position.revision}"
            )
        faces, persons, vectors = _parts(change.added, self.dimension)
        views, leavers = self._without(state.views, packed(change.removed))
        came = self._newcomers(views, faces, persons) if len(vectors) else 0
        self._append(views, faces, persons, vectors)
        size = sum(view.size for view in views)
        self._state = State(
            self.dimension,
            Position(change.revision, change.digest),
            tuple(views) if size else (),
            size,
            state.persons() + came - absent(views, leavers),
        )

    def _newcomers(self, views: list[View], faces: Ids, persons: Ids) -> int:
        """How many of `persons`, each counted once, have no template in the newest state.

        Raises Diverged if one of `faces` is in `views`. Only who may be known is looked for.
        """
        state = self._state
        if self._faces is None or self._persons is None or self._faces.full:
            self._faces = Known([view.block.faces[:, : view.used] for view in state.views])
            self._persons = Known([view.block.persons[:, : view.used] for view in state.views])
        _refuse_known(views, faces, self._faces.perhaps(faces))
        perhaps = self._persons.perhaps(persons)
        known = distinct(perhaps) - absent(state.views, perhaps)
        self._faces.add(faces)
        self._persons.add(persons)
        return distinct(persons) - known

    def _without(self, views: tuple[View, ...], removed: Ids) -> tuple[list[View], Ids]:
        """The views without these faces, and whose faces they were.

        Raises Diverged if one of them is not there.
        """
        left = list(views)
        found = 0
        persons = [np.empty((2, 0), dtype=np.uint64)]
        for number, rows in find(views, removed):
            view = views[number]
            dead = np.sort(np.concatenate((view.dead, rows)))
            left[number] = View(view.block, view.used, dead)
            persons.append(view.block.persons[:, rows])
            found += len(rows)
        if found != removed.shape[1]:
            raise Diverged(f"{removed.shape[1] - found} faces to remove are not in the gallery")
        if found:
            self._compact(left)
        return left, np.concatenate(persons, axis=1)

    def _compact(self, views: list[View]) -> None:
        """Fill the holes of every block that has too many, with the last rows there are.

        Running searches may still read the block, so a copy is filled. That is dear, hence one
        copy for `dead_limit` deletes: until then a search asks for that many rows more.
        """
        for number in range(len(views)):
            if number >= len(views) or len(views[number].dead) <= self._dead_limit:
                continue
            view = views[number]
            moved = [_Rows.of(view.block, slice(0))]
            wanted = len(view.dead)
            while wanted and number < len(views) - 1:
                moved.append(_take_last(views, wanted))
                wanted -= len(moved[-1].vectors)
            block = self._refilled(view, _Rows.joined(moved))
            views[number] = View(block, block.written, NONE_DEAD)
            if not block.written:
                del views[number]

    def _refilled(self, view: View, moved: "_Rows") -> Block:
        """A copy with `moved` in the first of the view's holes, and what holes are left closed up.

        It is written from its first row to its last, each once.
        """
        source, block = view.block, self._new(view.block.capacity)
        begin = 0
        for number, hole in enumerate([*view.dead.tolist(), view.used]):
            if begin < hole:
                _write(block, _Rows.of(source, slice(begin, hole)))
            if number < len(moved.vectors):
                _write(block, moved.only(number))
            begin = hole + 1
        return block

    def _new(self, capacity: int) -> Block:
        return Block(self._maker.stored(capacity), self._maker.codes(capacity))

    def _append(self, views: list[View], faces: Ids, persons: Ids, vectors: Floats) -> None:
        """Write rows behind the last ones, where no state looks yet."""
        begin = 0
        while begin < len(vectors):
            if not views or views[-1].used == views[-1].block.capacity:
                rows = self._block_rows if views else max(1, self._block_rows // 8)
                views.append(View(self._new(rows), 0, NONE_DEAD))
            last = views[-1]
            block = last.block
            if last.used < block.written:  # an older state may still read behind our end
                block = self._new(block.capacity)
                _write(block, _Rows.of(last.block, slice(last.used)))
            end = min(len(vectors), begin + block.capacity - last.used)
            block.write(last.used, faces[:, begin:end], persons[:, begin:end], vectors[begin:end])
            views[-1] = View(block, last.used + end - begin, last.dead)
            begin = end


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows of blocks on their way into another."""

    faces: Ids
    persons: Ids
    vectors: Floats

    @classmethod
    def of(cls, block: Block, part: slice | Index) -> "_Rows":
        return cls(block.faces[:, part], block.persons[:, part], block.stored.take(part))

    @classmethod
    def joined(cls, parts: Sequence["_Rows"]) -> "_Rows":
        return cls(
            np.concatenate([rows.faces for rows in parts], axis=1),
            np.concatenate([rows.persons for rows in parts], axis=1),
            np.concatenate([rows.vectors for rows in parts]),
        )

    def only(self, number: int) -> "_Rows":
        part = slice(number, number + 1)
        return _Rows(self.faces[:, part], self.persons[:, part], self.vectors[part])


def _write(block: Block, rows: _Rows) -> None:
    """Behind the last row that was written."""
    block.write(block.written, rows.faces, rows.persons, rows.vectors)


def _take_last(views: list[View], count: int) -> _Rows:
    """At most `count` rows that count, from the end of the last view, which is shortened."""
    last = views[-1]
    rows = last.live()[::-1][:count]
    taken = _Rows.of(last.block, rows)
    if len(rows) == last.size:
        views.pop()
    else:
        used = int(rows[-1])
        views[-1] = View(last.block, used, last.dead[last.dead < used])
    return taken


def _parts(rows: Rows, dimension: int) -> tuple[Ids, Ids, Floats]:
    parts = packed(rows.faces), packed(rows.persons), checked(rows.vectors, dimension)
    if not parts[0].shape[1] == parts[1].shape[1] == len(parts[2]):
        raise ValueError("faces, persons and embeddings must be equally many")
    return parts


def _refuse_known(views: list[View], faces: Ids, perhaps: Ids) -> None:
    """Raise Diverged if a face is there already, or comes twice; only `perhaps` may be there."""
    known = sum(len(rows) for _, rows in find(views, perhaps))
    twice = faces.shape[1] - len(set(as_bytes(faces)))
    if known or twice:
        raise Diverged(f"{known + twice} faces to add are already in the gallery")
