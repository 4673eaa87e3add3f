import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import stages
from app.errors import Overloaded
from app.gallery import search as module
from app.gallery.blocks import Block
from app.gallery.index import Gallery
from app.gallery.kernels import Best, CpuKernel
from app.gallery.search import Searcher, search
from app.gallery.selection import everything
from app.types import Floats, Position

from .oracle import (
    Sample,
    Templates,
    assert_right,
    change,
    directions,
    loaded,
    samples,
    unit,
    uuids,
)


def gallery_of(count: int, dimension: int = 32, block_rows: int = 64) -> tuple[Gallery, Templates]:
    generator = np.random.default_rng(count)
    vectors = directions(generator, count, dimension)
    faces, persons = uuids(generator, count), uuids(generator, count)
    templates = dict(zip(faces, zip(persons, vectors, strict=True), strict=True))
    return loaded(templates, dimension, block_rows), templates


@settings(deadline=None)
@given(samples(), st.sampled_from([1, 2, 5, 50, 1000]), st.sampled_from([-1.0, 0.0, 0.5, 0.999]))
def test_search_equals_float64_brute_force(sample: Sample, top: int, floor: float) -> None:
    state = loaded(sample.templates, sample.dimension, sample.block_rows).state
    answers = search(state, sample.probes, top, floor)
    assert len(answers) == len(sample.probes)
    for probe, candidates in zip(sample.probes, answers, strict=True):
        least = floor if floor > -1 else -np.inf
        assert_right(candidates, sample.templates, probe, top, least)


@settings(deadline=None, max_examples=50)
@given(samples(), st.integers(1, 20))
def test_an_answer_does_not_depend_on_its_batch_or_the_blocks(sample: Sample, top: int) -> None:
    state = loaded(sample.templates, sample.dimension, sample.block_rows).state
    whole = loaded(sample.templates, sample.dimension).state
    together = search(state, sample.probes, top)
    many = search(whole, np.repeat(sample.probes, 40, axis=0), top)[::40]
    alone = [search(state, probe[None], top)[0] for probe in sample.probes]
    assert together == alone == many


class Narrow(CpuKernel):
    """A kernel that can return few rows, as those on GPUs."""

    most = 3


@settings(deadline=None, max_examples=50)
@given(samples(), st.integers(1, 20))
def test_a_kernel_that_returns_few_rows_changes_no_answer(sample: Sample, top: int) -> None:
    state = loaded(sample.templates, sample.dimension, sample.block_rows).state
    assert search(state, sample.probes, top, kernel=Narrow()) == search(state, sample.probes, top)


@settings(deadline=None, max_examples=50)
@given(samples(), st.integers(1, 20), st.integers(2, 5))
def test_threads_change_no_answer(sample: Sample, top: int, threads: int) -> None:
    state = loaded(sample.templates, sample.dimension, sample.block_rows).state
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(module, "SPREAD", 1)
        spread = search(state, sample.probes, top, pool=pool, threads=threads)
    assert spread == search(state, sample.probes, top)


def test_a_person_with_500_templates_takes_one_place() -> None:
    gallery, templates = gallery_of(1000, block_rows=256)
    generator = np.random.default_rng(1)
    probe = directions(generator, 1, 32)
    person = uuids(generator, 1)[0]
    near = unit(probe + 0.05 * generator.standard_normal((500, 32)))
    crowd = {
        face: (person, vector) for face, vector in zip(uuids(generator, 500), near, strict=True)
    }
    gallery.apply(change(gallery, added=crowd))
    candidates = search(gallery.state, probe, 10)[0]
    assert candidates[0].person_id == person
    assert_right(candidates, {**templates, **crowd}, probe[0], 10)


def test_deleted_templates_are_not_found_however_near() -> None:
    """Few deletes, so that their rows stay in the blocks, among more of one person than a kernel
    is asked for, so that the blocks are looked through whole."""
    generator = np.random.default_rng(10)
    probe = directions(generator, 1, 32)
    persons = uuids(generator, 60)
    vectors = unit(probe + 0.05 * generator.standard_normal((900, 32)))
    vectors = vectors[np.argsort(-(vectors @ probe[0]))]
    faces = uuids(generator, 900)
    templates = {
        face: (persons[0] if number < 400 else persons[number % 60], vector)
        for number, (face, vector) in enumerate(zip(faces, vectors, strict=True))
    }
    gallery = loaded(templates, 32, 8192)
    gone = faces[:20:5] + faces[400:420:5]
    gallery.apply(change(gallery, removed=gone))
    assert sum(len(view.dead) for view in gallery.state.views) == len(gone)
    for face in gone:
        del templates[face]
    for top in (1, 3, 20, 60):
        assert_right(search(gallery.state, probe, top)[0], templates, probe[0], top)


def test_equal_similarities_are_ordered_by_person() -> None:
    generator = np.random.default_rng(2)
    probe = directions(generator, 1, 512)
    persons = uuids(generator, 300)
    templates = {
        face: (person, probe[0])
        for face, person in zip(uuids(generator, 300), persons, strict=True)
    }
    candidates = search(loaded(templates, 512, 64).state, probe, 20)[0]
    assert [candidate.person_id for candidate in candidates] == sorted(persons)[:20]
    assert len({candidate.similarity for candidate in candidates}) == 1


def test_near_ties_below_the_reach_of_float32_are_told_apart() -> None:
    generator = np.random.default_rng(3)
    probe = directions(generator, 1, 512)
    vectors = unit(probe + 1e-6 * generator.standard_normal((2000, 512)))
    templates = {
        face: (person, vector)
        for face, person, vector in zip(
            uuids(generator, 2000), uuids(generator, 2000), vectors, strict=True
        )
    }
    candidates = search(loaded(templates, 512, 256).state, probe, 25)[0]
    assert_right(candidates, templates, probe[0], 25)


def test_opposite_faces_pass_the_lowest_floor() -> None:
    gallery, templates = gallery_of(200)
    probes = -np.stack([vector for _, vector in templates.values()])
    assert all(len(candidates) == 200 for candidates in search(gallery.state, probes, 200))


def test_the_floor_is_compared_before_rounding() -> None:
    gallery, _ = gallery_of(50)
    probe = directions(np.random.default_rng(4), 1, 32)
    third = search(gallery.state, probe, 3)[0][2].similarity
    assert len(search(gallery.state, probe, 10, third)[0]) == 3
    assert len(search(gallery.state, probe, 10, np.nextafter(third, 2))[0]) == 2


def test_an_empty_gallery_has_no_candidates() -> None:
    gallery = Gallery(8, Position(0, b""))
    assert search(gallery.state, directions(np.random.default_rng(5), 3, 8), 5) == [[], [], []]


def test_no_queries_get_no_answers() -> None:
    gallery, _ = gallery_of(10)
    assert search(gallery.state, np.empty((0, 32), np.float32), 5) == []


@pytest.mark.parametrize(
    "bad",
    [
        np.full((1, 32), np.nan, np.float32),
        np.full((1, 32), np.inf, np.float32),
        np.zeros((1, 32), np.float32),
        np.full((1, 32), 1.01 / np.sqrt(32), np.float32),
        np.ones((1, 1), np.float32),
        np.ones(32, np.float32) / np.sqrt(32).astype(np.float32),
    ],
    ids=["nan", "infinite", "zero", "too long", "dimension", "no rows"],
)
def test_a_query_that_is_no_embedding_is_refused(bad: Floats) -> None:
    gallery, _ = gallery_of(10)
    with pytest.raises(ValueError, match="embeddings must be"):
        search(gallery.state, bad, 5)
    with pytest.raises(ValueError, match="embeddings must be"):
        asyncio.run(Searcher().search([everything(gallery.state)], bad, 5))


def test_a_running_search_is_not_disturbed_by_changes() -> None:
    """Readers hammer an old state and the newest ones while the writer deletes and appends.

    At every revision exactly one person looks like the probe: the one who came with it.
    """
    dimension, filler = 32, 600
    gallery, templates = gallery_of(filler, dimension, block_rows=64)
    generator = np.random.default_rng(6)
    old, probes = gallery.state, directions(generator, 4, dimension)
    expected = search(old, probes, 5)
    names = [UUID(int=revision) for revision in range(20_000)]
    stop, wrong, searched = threading.Event(), [], [0, 0]

    def read_old() -> None:
        while not stop.is_set():
            if search(old, probes, 5) != expected:
                wrong.append("old")
            searched[0] += 1

    def read_new() -> None:
        while not stop.is_set():
            state = gallery.state
            best = search(state, probes[:1], 2)[0]
            revision = state.position.revision
            marked = [c.person_id for c in best if c.similarity > 0.999]
            if marked != ([names[revision]] if revision else []):
                wrong.append((revision, best))
            searched[1] += 1

    readers = [threading.Thread(target=target) for target in (read_old, read_new, read_new)]
    for reader in readers:
        reader.start()
    live, last = list(templates), None
    try:
        for revision in range(1, 200):
            generator.shuffle(live)
            gone = [live.pop() for _ in range(5)] + ([last] if last else [])
            last = uuids(generator, 1)[0]
            came = uuids(generator, 5)
            vectors = directions(generator, 5, dimension)
            added = dict(zip(came, zip(came, vectors, strict=True), strict=True))
            added[last] = (names[revision], probes[0])
            live += came
            gallery.apply(change(gallery, added=added, removed=gone))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert min(searched) > 3
    assert gallery.state.size == filler + 1
    assert search(old, probes, 5) == expected


class Slow(CpuKernel):
    """Waits for a sign at its first block, and counts the passes over it."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.batches: list[int] = []

    def best(self, block: Block, used: int, queries: Floats, count: int) -> Best:
        self.batches.append(len(queries))
        assert self.go.wait(10)
        return super().best(block, used, queries, count)


def test_waiting_searches_share_one_pass_and_get_their_own_answers() -> None:
    one, _ = gallery_of(5, block_rows=8192)
    other, _ = gallery_of(6, block_rows=8192)
    probes = directions(np.random.default_rng(7), 20, 32)
    kernel = Slow()

    async def ask() -> list[object]:
        searcher = Searcher(kernel)
        asks = [
            asyncio.create_task(
                searcher.search(
                    [everything((one if n % 2 else other).state)],
                    probes[n : n + 1],
                    1 + n % 4,
                    n / 20 - 0.3,
                )
            )
            for n in range(20)
        ]
        await asyncio.sleep(0.05)
        kernel.go.set()
        answers = await asyncio.gather(*asks)
        await searcher.close()
        return list(answers)

    answers = asyncio.run(ask())
    for n, answer in enumerate(answers):
        gallery = one if n % 2 else other
        assert answer == search(gallery.state, probes[n : n + 1], 1 + n % 4, n / 20 - 0.3)
    assert sum(kernel.batches) == 20
    assert len(kernel.batches) <= 3


class Faulty(Slow):
    """Fails at one block."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def best(self, block: Block, used: int, queries: Floats, count: int) -> Best:
        if block is self.block:
            raise OSError
        return super().best(block, used, queries, count)


def test_a_fault_of_one_gallery_is_not_that_of_another() -> None:
    galleries = [gallery_of(count, block_rows=8192)[0] for count in (5, 6)]
    probe = directions(np.random.default_rng(11), 1, 32)
    kernel = Faulty(galleries[0].state.views[0].block)

    async def ask() -> list[object]:
        searcher = Searcher(kernel)
        asks = [
            asyncio.create_task(searcher.search([everything(galleries[n % 2].state)], probe, 1))
            for n in range(6)
        ]
        await asyncio.sleep(0.05)
        kernel.go.set()
        answers = await asyncio.gather(*asks, return_exceptions=True)
        await searcher.close()
        return list(answers)

    for n, answer in enumerate(asyncio.run(ask())):
        if n % 2:
            assert answer == search(galleries[1].state, probe, 1)
        else:
            assert isinstance(answer, OSError)


def test_the_searcher_says_how_long_a_search_took() -> None:
    gallery, _ = gallery_of(5)

    async def ask() -> stages.Stages:
        searcher = Searcher(threads=2)
        spent = stages.begin()
        probe = directions(np.random.default_rng(8), 1, 32)
        await searcher.search([everything(gallery.state)], probe, 1)
        await searcher.close()
        return spent

    assert asyncio.run(ask()).seconds.keys() == {"search", "search_wait"}


def test_a_full_queue_is_told_at_once() -> None:
    gallery, _ = gallery_of(5)
    probe = directions(np.random.default_rng(9), 1, 32)
    kernel = Slow()

    async def ask() -> list[object]:
        searcher = Searcher(kernel, depth=2)
        selections = [everything(gallery.state)]
        asks = [asyncio.create_task(searcher.search(selections, probe, 1)) for _ in range(8)]
        await asyncio.sleep(0.05)
        kernel.go.set()
        answers = await asyncio.gather(*asks, return_exceptions=True)
        await searcher.close()
        return list(answers)

    refused = [answer for answer in asyncio.run(ask()) if isinstance(answer, Overloaded)]
    assert len(refused) >= 5
