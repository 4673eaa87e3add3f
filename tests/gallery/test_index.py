from uuid import UUID

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.gallery.checksum import checksum_of
from app.gallery.index import Change, Diverged, Gallery, OutOfOrder
from app.gallery.kernels import CpuKernel
from app.gallery.search import search
from app.gallery.storage import FLOAT32
from app.types import Floats, Position, Rows

from .oracle import assert_right, change, directions, holds, ids, loaded, rows_of, uuids

DIMENSION = 4


class GalleryAgainstDictionary(RuleBasedStateMachine):
    """Add, remove, move, reload and search in any order, with blocks of a few rows."""

    storage = FLOAT32
    kernel = CpuKernel()

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)
        self.templates: dict[UUID, tuple[UUID, Floats]] = {}
        self.people = [UUID(int=n) for n in range(6)]  # alike in one half of their ids
        self.pool = directions(self.generator, 12, DIMENSION)
        self.gallery = Gallery(DIMENSION, Position(0, b""), block_rows=8, storage=self.storage)
        self.kept = [(self.gallery.state, dict(self.templates))]

    def fresh(self, count: int) -> dict[UUID, tuple[UUID, Floats]]:
        return {
            face: (
                self.people[self.generator.integers(len(self.people))],
                self.pool[self.generator.integers(len(self.pool))],
            )
            for face in uuids(self.generator, count)
        }

    def some(self, share: float) -> list[UUID]:
        return [face for face in self.templates if self.generator.random() < share]

    @rule(count=st.integers(0, 20))
    def add(self, count: int) -> None:
        added = self.fresh(count)
        self.gallery.apply(change(self.gallery, added=added))
        self.templates |= added

    @rule(share=st.sampled_from([0.05, 0.3, 0.9, 1.0]))
    def remove(self, share: float) -> None:
        removed = self.some(share)
        self.gallery.apply(change(self.gallery, removed=removed))
        for face in removed:
            del self.templates[face]

    @rule(data=st.data())
    def remove_the_newest(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, min(3, len(self.templates))))
        removed = list(self.templates)[len(self.templates) - count :]
        self.gallery.apply(change(self.gallery, removed=removed))
        for face in removed:
            del self.templates[face]

    @rule(share=st.sampled_from([0.05, 0.5]), others=st.integers(0, 5))
    def move(self, share: float, others: int) -> None:
        moved = {face: (self.people[0], self.templates[face][1]) for face in self.some(share)}
        added = moved | self.fresh(others)
        self.gallery.apply(change(self.gallery, added=added, removed=list(moved)))
        self.templates |= added

    @rule(block_rows=st.sampled_from([1, 3, 8, 64, 512]))
    def reload(self, block_rows: int) -> None:
        state = self.gallery.state
        self.gallery = Gallery.load(
            DIMENSION,
            state.position,
            list(state.rows()),
            block_rows=block_rows,
            storage=self.storage,
        )

    @rule()
    def keep_the_state_for_a_slow_reader(self) -> None:
        self.kept = [*self.kept[-2:], (self.gallery.state, dict(self.templates))]

    @rule(top=st.integers(1, 8))
    def look(self, top: int) -> None:
        probes = directions(self.generator, 2, DIMENSION)
        for probe, candidates in zip(
            probes, search(self.gallery.state, probes, top, kernel=self.kernel), strict=True
        ):
            assert_right(candidates, self.templates, probe, top)

    @rule()
    def what_does_not_fit_changes_nothing(self) -> None:
        before = self.gallery.state
        with pytest.raises(Diverged):
            self.gallery.apply(change(self.gallery, self.fresh(3), uuids(self.generator, 1)))
        for face, template in list(self.templates.items())[:1]:
            with pytest.raises(Diverged):
                self.gallery.apply(change(self.gallery, {**self.fresh(20), face: template}))
            with pytest.raises(Diverged):
                self.gallery.apply(change(self.gallery, {}, [face, face]))
        assert self.gallery.state is before

    @invariant()
    def holds_what_the_dictionary_holds(self) -> None:
        state = self.gallery.state
        assert holds(state, self.templates)
        assert state.size == len(self.templates)
        assert state.persons() == len({person for person, _ in self.templates.values()})
        assert state.checksum() == checksum_of(rows_of(self.templates, DIMENSION))

    @invariant()
    def old_states_are_as_they_were(self) -> None:
        for state, templates in self.kept:
            assert holds(state, templates)


GalleryAgainstDictionary.TestCase.settings = settings(
    deadline=None, max_examples=60, stateful_step_count=30
)
TestGalleryAgainstDictionary = GalleryAgainstDictionary.TestCase


def some(count: int) -> dict[UUID, tuple[UUID, Floats]]:
    generator = np.random.default_rng(count)
    faces = uuids(generator, count)
    return {
        face: (face, vector)
        for face, vector in zip(faces, directions(generator, count, DIMENSION), strict=True)
    }


@pytest.mark.parametrize("revision", [0, 7, 9, 10])
def test_only_the_next_revision_is_applied(revision: int) -> None:
    gallery = Gallery(DIMENSION, Position(7, b"seven"))
    before = gallery.state
    with pytest.raises(OutOfOrder):
        gallery.apply(Change(revision, b"", rows_of(some(1), DIMENSION), ids([])))
    assert gallery.state is before
    gallery.apply(Change(8, b"eight", rows_of(some(1), DIMENSION), ids([])))
    assert gallery.state.position == Position(8, b"eight")


def test_a_face_that_comes_twice_in_one_change_is_refused() -> None:
    gallery = loaded(some(3), DIMENSION)
    rows = rows_of(some(2), DIMENSION)
    twice = Rows(rows.faces[[0, 1, 0]], rows.persons[[0, 1, 0]], rows.vectors[[0, 1, 0]])
    before = gallery.state
    with pytest.raises(Diverged):
        gallery.apply(Change(1, b"", twice, ids([])))
    assert gallery.state is before
    with pytest.raises(ValueError, match="twice"):
        Gallery.load(DIMENSION, Position(0, b""), [twice])


@pytest.mark.parametrize(
    "bad",
    [
        lambda rows: Rows(rows.faces, rows.persons, rows.vectors * np.float32(1.01)),
        lambda rows: Rows(rows.faces, rows.persons, rows.vectors * np.float32(np.nan)),
        lambda rows: Rows(rows.faces, rows.persons, rows.vectors[:, :-1]),
        lambda rows: Rows(rows.faces[:-1], rows.persons, rows.vectors),
        lambda rows: Rows(rows.faces, rows.persons[:, :8], rows.vectors),
        lambda rows: Rows(rows.faces, rows.persons.astype(np.int64), rows.vectors),
    ],
)
def test_rows_that_are_no_templates_are_refused(bad) -> None:
    rows = bad(rows_of(some(5), DIMENSION))
    gallery = loaded(some(3), DIMENSION)
    before = gallery.state
    with pytest.raises(ValueError, match="must be"):
        gallery.apply(Change(1, b"", rows, ids([])))
    assert gallery.state is before
    with pytest.raises(ValueError, match="must be"):
        Gallery.load(DIMENSION, Position(0, b""), [rows])


def test_rows_are_copied_from_the_caller() -> None:
    templates = some(5)
    rows = rows_of(templates, DIMENSION)
    gallery = Gallery.load(DIMENSION, Position(0, b""), [rows])
    rows.vectors[:] = 0
    assert holds(gallery.state, templates)


def test_growth_moves_no_row() -> None:
    gallery = Gallery(DIMENSION, Position(0, b""), block_rows=64)
    gallery.apply(change(gallery, some(10)))
    blocks = [view.block for view in gallery.state.views]
    gallery.apply(change(gallery, some(500)))
    assert [view.block for view in gallery.state.views][: len(blocks)] == blocks


def test_a_block_is_copied_once_for_many_deletes() -> None:
    gallery = loaded(some(4000), DIMENSION, block_rows=1024)
    faces = list(some(4000))
    seen = {id(view.block) for view in gallery.state.views}
    keep = [gallery.state]
    for face in faces[200:264]:
        gallery.apply(change(gallery, removed=[face]))
        keep.append(gallery.state)  # so that no id is used again
        seen |= {id(view.block) for view in gallery.state.views}
    assert len(seen) - len(keep[0].views) <= 64 / 8


def test_deleting_nearly_everything_gives_the_memory_back() -> None:
    gallery = loaded(some(4000), DIMENSION, block_rows=64)
    gallery.apply(change(gallery, removed=list(some(4000))[:-20]))
    assert gallery.state.size == 20
    assert len(gallery.state.views) <= 2
    gallery.apply(change(gallery, removed=list(some(4000))[-20:]))
    assert gallery.state.views == ()
