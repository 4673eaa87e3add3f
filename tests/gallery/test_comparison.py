"""Which faces differ between an index and what it should hold."""

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.gallery.comparison import SHOWN, Comparison, Differences, Faces
from app.gallery.index import Gallery, State
from app.types import Position, Rows

from .oracle import Templates, directions, loaded, rows_of, uuids

DIMENSION = 4


def compared(state: State, templates: Templates, chunk: int = 7) -> Differences:
    comparison = Comparison(state)
    names = list(templates)
    for at in range(0, len(names), chunk):
        part = {name: templates[name] for name in names[at : at + chunk]}
        comparison.show(rows_of(part, DIMENSION))
    return comparison.differences()


def made(count: int) -> dict[UUID, tuple[UUID, np.ndarray]]:
    generator = np.random.default_rng(count)
    faces = uuids(generator, count)
    vectors = directions(generator, count, DIMENSION)
    return dict(zip(faces, zip(uuids(generator, count), vectors, strict=True), strict=True))


@given(
    st.integers(0, 40).flatmap(
        lambda count: st.tuples(
            st.just(count),
            *[st.sets(st.integers(0, max(0, count - 1)), max_size=count) for _ in range(4)],
        )
    ),
    st.integers(1, 50),
)
def test_every_face_that_differs_is_named_by_its_kind(
    case: tuple[int, set[int], set[int], set[int], set[int]], chunk: int
) -> None:
    count = case[0]
    truth = made(count)
    faces = list(truth)
    kinds: list[set[UUID]] = [{faces[i] for i in kind if count} for kind in case[1:]]
    lost, alone = kinds[0], kinds[1] - kinds[0]
    turned = (kinds[2] | kinds[3]) - lost - alone
    here = {face: own for face, own in truth.items() if face not in lost}
    for face in turned:
        person, vector = here[face]
        here[face] = (UUID(int=7), vector) if face in kinds[2] else (person, -vector)
    should = {face: own for face, own in truth.items() if face not in alone}

    found = compared(loaded(here, DIMENSION, block_rows=8).state, should, chunk)

    for faces_found, expected in (
        (found.missing, lost),
        (found.extra, alone),
        (found.different, turned),
    ):
        assert faces_found.count == len(expected)
        assert set(faces_found.ids) == expected
    assert found.count == len(lost) + len(alone) + len(turned)


def test_all_are_counted_and_a_hundred_named() -> None:
    nothing = Gallery(DIMENSION, Position(0, b"")).state
    truth = made(SHOWN + 23)
    found = compared(nothing, truth, chunk=50)
    assert found.missing.count == SHOWN + 23
    assert len(set(found.missing.ids)) == len(found.missing.ids) == SHOWN == 100
    assert set(found.missing.ids) <= truth.keys()


def test_ids_and_hashes_that_end_in_zeros_are_told_apart() -> None:
    """Comparing them as text would take what ends in zero bytes for the same."""
    short, long = UUID(int=1 << 127), UUID(int=(1 << 127) + (1 << 8))
    vector = directions(np.random.default_rng(0), 1, DIMENSION)[0]
    state = loaded({short: (short, vector)}, DIMENSION).state
    found = compared(state, {long: (short, vector)})
    assert found == Differences(Faces(1, (long,)), Faces(1, (short,)), Faces())


def test_a_face_that_the_index_holds_twice_is_extra() -> None:
    truth = made(3)
    state = loaded(truth, DIMENSION, block_rows=64).state
    [view] = state.views
    view.block.faces[:, 1] = view.block.faces[:, 0]
    view.block.persons[:, 1] = view.block.persons[:, 0]
    vectors = view.block.stored.take(slice(2))
    vectors[1] = vectors[0]
    twice, overwritten, _ = truth
    found = compared(state, truth)
    assert found == Differences(Faces(1, (overwritten,)), Faces(1, (twice,)), Faces())


def test_no_rows_are_no_difference() -> None:
    state = loaded({}, DIMENSION).state
    comparison = Comparison(state)
    comparison.show(Rows(np.empty((0, 16), "u1"), np.empty((0, 16), "u1"), np.empty((0, 4), "f4")))
    assert comparison.differences() == Differences()
