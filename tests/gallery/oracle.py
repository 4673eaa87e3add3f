"""Galleries to try, and what float64 brute force says about them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.gallery.index import Change, Gallery, State
from app.gallery.storage import FLOAT32, Storage
from app.types import Candidate, Floats, Position, Rows

TIE = 1e-12
"""Similarities are float64 on both sides, so far less than the 1e-6 that is allowed."""

Templates = Mapping[UUID, tuple[UUID, Floats]]
"""face id -> (person id, embedding)"""


def uuids(generator: np.random.Generator, count: int) -> list[UUID]:
    return [UUID(bytes=generator.bytes(16)) for _ in range(count)]


def ids(names: Iterable[UUID]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(name.bytes for name in names), dtype=np.uint8).reshape(-1, 16)


def unit(vectors: NDArray[np.floating]) -> Floats:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return (vectors / lengths).astype(np.float32)


def directions(generator: np.random.Generator, count: int, dimension: int) -> Floats:
    return unit(generator.standard_normal((count, dimension)))


def rows_of(templates: Templates, dimension: int) -> Rows:
    return Rows(
        faces=ids(templates),
        persons=ids(person for person, _ in templates.values()),
        vectors=np.array([v for _, v in templates.values()], np.float32).reshape(-1, dimension),
    )


def templates_of(rows: Iterable[Rows]) -> dict[UUID, tuple[UUID, Floats]]:
    found: dict[UUID, tuple[UUID, Floats]] = {}
    for part in rows:
        for face, person, vector in zip(part.faces, part.persons, part.vectors, strict=True):
            assert UUID(bytes=face.tobytes()) not in found
            found[UUID(bytes=face.tobytes())] = UUID(bytes=person.tobytes()), vector
    return found


def holds(state: State, templates: Templates) -> bool:
    found = templates_of(state.rows())
    return found.keys() == templates.keys() and all(
        found[face][0] == person and np.array_equal(found[face][1], vector)
        for face, (person, vector) in templates.items()
    )


def change(
    gallery: Gallery, added: Templates | None = None, removed: Sequence[UUID] = ()
) -> Change:
    revision = gallery.state.position.revision + 1
    return Change(revision, b"%d" % revision, rows_of(added or {}, gallery.dimension), ids(removed))


def loaded(
    templates: Templates, dimension: int, block_rows: int = 8192, storage: Storage = FLOAT32
) -> Gallery:
    return Gallery.load(
        dimension,
        Position(0, b""),
        [rows_of(templates, dimension)],
        block_rows=block_rows,
        storage=storage,
    )


def similarities(templates: Templates, query: Floats) -> dict[UUID, float]:
    """person id -> similarity of the best template, by float64."""
    best: dict[UUID, float] = {}
    for person, vector in templates.values():
        similarity = float(np.dot(vector.astype(np.float64), query.astype(np.float64)))
        best[person] = max(similarity, best.get(person, -np.inf))
    return best


def assert_right(
    candidates: list[Candidate],
    templates: Templates,
    query: Floats,
    top: int,
    floor: float = -np.inf,
) -> None:
    """Those candidates are what brute force finds, but for the order within ties."""
    best = similarities(templates, query)
    expected = sorted((s for s in best.values() if s >= floor), reverse=True)[:top]
    given = [candidate.similarity for candidate in candidates]
    if floor > -1:  # brute force and search may round to different sides of the floor itself
        near = [s for s in best.values() if abs(s - floor) <= TIE]
        if near and len(given) != len(expected):
            return
    assert np.allclose(given, expected, rtol=0, atol=TIE)
    assert given == sorted(given, reverse=True)
    assert len({candidate.person_id for candidate in candidates}) == len(candidates)
    for candidate in candidates:
        person, vector = templates[candidate.face_id]
        assert person == candidate.person_id
        assert abs(best[person] - candidate.similarity) <= TIE
        assert abs(float(vector.astype(np.float64) @ query) - candidate.similarity) <= TIE


@dataclass(frozen=True)
class Sample:
    """A gallery's templates with probes; block_rows small enough that blocks have edges."""

    templates: dict[UUID, tuple[UUID, Floats]]
    probes: Floats
    dimension: int
    block_rows: int


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Few directions and few persons make ties and persons with many templates common."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    dimension = draw(st.sampled_from([1, 2, 3, 8, 64, 130]))
    count = draw(st.integers(0, 300))
    persons = uuids(generator, draw(st.integers(1, 60)))
    pool = directions(generator, draw(st.integers(1, 40)), dimension)
    noise = draw(st.sampled_from([0.0, 1e-7, 1e-3, 1.0]))
    vectors = unit(
        pool[generator.integers(len(pool), size=count)]
        + noise * generator.standard_normal((count, dimension)).astype(np.float32)
    )
    owners = generator.integers(len(persons), size=count)
    if draw(st.booleans()):  # enrolled together, so that one person fills blocks
        owners.sort()
    faces = uuids(generator, count)
    templates = {
        face: (persons[owner], vector)
        for face, owner, vector in zip(faces, owners, vectors, strict=True)
    }
    probes = np.concatenate(
        [pool[: draw(st.integers(0, 5))], directions(generator, draw(st.integers(1, 5)), dimension)]
    )
    return Sample(templates, probes, dimension, draw(st.sampled_from([1, 2, 7, 16, 100, 8192])))
