"""Searches among some persons, in several galleries, and in one pass for many."""

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gallery import search as module
from app.gallery.blocks import Block
from app.gallery.index import Gallery, State
from app.gallery.kernels import Best, CpuKernel
from app.gallery.search import Ask, asking, search_all
from app.gallery.selection import Selection, everything, only
from app.types import Candidate, Floats

from .oracle import Templates, assert_right, change, directions, loaded, unit, uuids


class Narrow(CpuKernel):
    """A kernel that can return few rows, as those on GPUs."""

    most = 3


class Counting(CpuKernel):
    """Counts the rows that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def best(self, block: Block, used: int, queries: Floats, count: int) -> Best:
        self.rows += used
        return super().best(block, used, queries, count)


class Wish(NamedTuple):
    """An ask, and the templates that it should find its candidates among."""

    ask: Ask
    templates: Templates


def those_of(templates: Templates, persons: Container[UUID]) -> dict[UUID, tuple[UUID, Floats]]:
    return {face: each for face, each in templates.items() if each[0] in persons}


def check(wishes: list[Wish], answers: list[list[list[Candidate]]]) -> None:
    for wish, lists in zip(wishes, answers, strict=True):
        least = wish.ask.floor if wish.ask.floor > -1 else -np.inf
        for probe, candidates in zip(wish.ask.queries, lists, strict=True):
            assert_right(candidates, wish.templates, probe, wish.ask.top, least)


@st.composite
def wishes(draw: st.DrawFn) -> list[Wish]:
    """Asks for several galleries at two revisions each, for all or for some persons, among them
    such that are not there. Few directions and persons make ties and crowds common."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    dimension = draw(st.sampled_from([1, 3, 8, 64]))
    pool = directions(generator, draw(st.integers(1, 20)), dimension)
    galleries: list[list[tuple[State, Templates]]] = []
    for _ in range(draw(st.integers(1, 3))):
        gallery, templates = draw_gallery(draw, generator, pool)
        before = gallery.state, templates
        share = draw(st.sampled_from([0.0, 0.05, 0.5]))
        gone = {face for face in templates if generator.random() < share}
        gallery.apply(change(gallery, removed=list(gone)))
        left = {face: each for face, each in templates.items() if face not in gone}
        galleries.append([before, (gallery.state, left)])
    probes = np.concatenate([pool[:2], directions(generator, 1, dimension)])
    return [draw_wish(draw, generator, galleries, probes) for _ in range(draw(st.integers(1, 4)))]


def draw_gallery(
    draw: st.DrawFn, generator: np.random.Generator, pool: Floats
) -> tuple[Gallery, Templates]:
    count = draw(st.sampled_from([0, 1, 30, 120]))
    persons = uuids(generator, draw(st.integers(1, 40)))
    noise = draw(st.sampled_from([0.0, 1e-7, 1.0]))
    vectors = pool[generator.integers(len(pool), size=count)]
    vectors = unit(vectors + noise * generator.standard_normal(vectors.shape).astype(np.float32))
    templates: Templates = {
        face: (persons[generator.integers(len(persons))], vector)
        for face, vector in zip(uuids(generator, count), vectors, strict=True)
    }
    return loaded(templates, pool.shape[1], draw(st.sampled_from([1, 16, 64, 8192]))), templates


def draw_wish(
    draw: st.DrawFn,
    generator: np.random.Generator,
    galleries: list[list[tuple[State, Templates]]],
    probes: Floats,
) -> Wish:
    """One revision of each gallery at most: a person is in one of the states that are searched."""
    picked = [draw(st.sampled_from(revisions)) for revisions in galleries if draw(st.booleans())]
    sought = {face: each for _, templates in picked for face, each in templates.items()}
    selections = [everything(state) for state, _ in picked]
    if draw(st.booleans()):
        share = draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
        wanted = {person for person, _ in sought.values() if generator.random() < share}
        wanted.update(uuids(generator, draw(st.integers(0, 2))))
        selections = [only(state, wanted) for state, _ in picked]
        sought = those_of(sought, wanted)
    top, floor = draw(st.sampled_from([1, 3, 50])), draw(st.sampled_from([-1.0, 0.5]))
    queries = probes[: draw(st.integers(0, len(probes)))]
    return Wish(asking(selections, queries, top, floor), sought)


@settings(deadline=None, max_examples=100)
@given(wishes())
def test_every_ask_of_a_pass_gets_what_float64_brute_force_finds(wished: list[Wish]) -> None:
    check(wished, search_all([wish.ask for wish in wished], CpuKernel()))


@settings(deadline=None, max_examples=50)
@given(wishes(), st.integers(2, 5))
def test_neither_company_nor_kernel_nor_threads_change_an_answer(
    wished: list[Wish], threads: int
) -> None:
    asks = [wish.ask for wish in wished]
    together = search_all(asks, CpuKernel())
    assert [search_all([ask], CpuKernel())[0] for ask in asks] == together
    assert search_all(asks, Narrow()) == together
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(module, "SPREAD", 1)
        assert search_all(asks, CpuKernel(), pool=pool, threads=threads) == together


def gallery_of_persons(count: int, each: int, seed: int) -> tuple[Gallery, list[UUID], Templates]:
    """`count` persons of `each` templates, enrolled in turns, in blocks of 512."""
    generator = np.random.default_rng(seed)
    persons = uuids(generator, count)
    vectors = directions(generator, count * each, 32)
    templates = {
        face: (persons[number % count], vector)
        for number, (face, vector) in enumerate(
            zip(uuids(generator, count * each), vectors, strict=True)
        )
    }
    return loaded(templates, 32, 512), persons, templates


@pytest.mark.parametrize("count", [1, 40, 120, 399, 400])
def test_a_selection_counts_the_templates_of_its_persons(count: int) -> None:
    gallery, persons, templates = gallery_of_persons(400, 5, 1)
    gone = [face for face, (person, _) in templates.items() if person == persons[0]][:2]
    gallery.apply(change(gallery, removed=gone))
    selection = only(gallery.state, persons[:count])
    assert selection.size == 5 * count - 2
    assert only(gallery.state, uuids(np.random.default_rng(2), 3)).size == 0


def test_look_alikes_of_the_wanted_are_passed_over_however_many() -> None:
    """The wanted persons' templates lie behind thousands that are nearer, in every block."""
    gallery, persons, templates = gallery_of_persons(400, 5, 3)
    generator = np.random.default_rng(4)
    probe = directions(generator, 1, 32)
    crowd = {
        face: (person, vector)
        for face, person, vector in zip(
            uuids(generator, 2000),
            uuids(generator, 2000),
            unit(probe + 0.02 * generator.standard_normal((2000, 32))),
            strict=True,
        )
    }
    gallery.apply(change(gallery, added=crowd))
    for count in (1, 150, 400):
        wanted = set(persons[:count])
        ask = asking([only(gallery.state, wanted)], probe, 10)
        [[candidates]] = search_all([ask], CpuKernel())
        assert_right(candidates, those_of(templates, wanted), probe[0], 10)
        assert len(candidates) == min(10, count)


def test_a_candidate_says_which_of_the_galleries_it_is_from() -> None:
    galleries = [gallery_of_persons(20, 2, seed) for seed in range(3)]
    probe = directions(np.random.default_rng(5), 1, 32)
    selections = [everything(gallery.state) for gallery, _, _ in galleries]
    [[candidates]] = search_all([asking(selections, probe, 60)], CpuKernel())
    assert len(candidates) == 60
    for candidate in candidates:
        assert candidate.person_id in galleries[candidate.source][1]


def rows_read(asks: list[Ask]) -> int:
    kernel = Counting()
    search_all(asks, kernel)
    return kernel.rows


def test_searches_of_one_pass_read_each_row_once() -> None:
    """At two revisions, of all and of most persons, in one gallery and in two."""
    one, persons, templates = gallery_of_persons(400, 5, 6)
    other, _, _ = gallery_of_persons(300, 5, 7)
    before = one.state
    one.apply(change(one, removed=list(templates)[:3]))
    probes = directions(np.random.default_rng(8), 4, 32)

    def ask(*selections: Selection) -> Ask:
        return asking(selections, probes, 3)

    asks = [
        ask(everything(before)),
        ask(everything(one.state)),
        ask(only(one.state, persons[:300])),
        ask(everything(other.state), everything(one.state)),
    ]
    assert rows_read(asks) == 2000 + 1500


def test_a_search_among_few_persons_reads_their_rows_alone() -> None:
    gallery, persons, _ = gallery_of_persons(400, 5, 9)
    probe = directions(np.random.default_rng(10), 1, 32)
    assert rows_read([asking([only(gallery.state, persons[::20])], probe, 3)]) == 100
