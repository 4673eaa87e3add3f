"""A search in two stages: what the first leaves is scored and ranked as in an exact search."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import CannotStart
from app.gallery import compiled
from app.gallery import search as module
from app.gallery.kernels import CpuKernel
from app.gallery.search import search
from app.gallery.storage import Storage
from app.types import Floats

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
from .test_index import GalleryAgainstDictionary

pytestmark = pytest.mark.skipif(
    not compiled.built(), reason="the compiled scan kernels are not built: make builds them"
)
CODES = Storage(codes=True) if compiled.built() else Storage()


@settings(deadline=None, max_examples=60)
@given(samples(), st.sampled_from([1, 5, 50]), st.sampled_from([-1.0, 0.0, 0.5]))
@pytest.mark.usefixtures("way")
def test_a_shortlist_of_all_rows_gives_the_exact_answer(
    sample: Sample, top: int, floor: float
) -> None:
    state = loaded(sample.templates, sample.dimension, sample.block_rows, CODES).state
    answers = search(state, sample.probes, top, floor, kernel=CpuKernel(shortlist=400))
    exact = loaded(sample.templates, sample.dimension, sample.block_rows).state
    assert answers == search(exact, sample.probes, top, floor)


@settings(deadline=None, max_examples=30)
@given(samples(), st.integers(1, 20), st.integers(2, 5))
def test_neither_threads_nor_the_batch_change_what_is_on_the_list(
    sample: Sample, top: int, threads: int
) -> None:
    state = loaded(sample.templates, sample.dimension, sample.block_rows, CODES).state
    kernel = CpuKernel(shortlist=20)
    alone = [search(state, probe[None], top, kernel=kernel)[0] for probe in sample.probes]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(module, "SPREAD", 1)
        spread = search(state, sample.probes, top, kernel=kernel, pool=pool, threads=threads)
    assert spread == alone


def crowd(count: int, dimension: int = 512) -> tuple[Templates, Floats]:
    generator = np.random.default_rng(count)
    vectors = directions(generator, count, dimension)
    faces, persons = uuids(generator, count), uuids(generator, count)
    return dict(zip(faces, zip(persons, vectors, strict=True), strict=True)), vectors


@pytest.mark.usefixtures("way")
def test_mates_are_found_by_the_short_list() -> None:
    templates, vectors = crowd(4000)
    generator = np.random.default_rng(1)
    probes = unit(vectors[:50] + 0.08 * generator.standard_normal((50, 512)))
    state = loaded(templates, 512, 1024, CODES).state
    for probe, candidates in zip(
        probes, search(state, probes, 1, kernel=CpuKernel(shortlist=50)), strict=True
    ):
        assert_right(candidates, templates, probe, 1)


def test_a_person_with_more_templates_than_the_list_has_places_hides_nobody() -> None:
    templates, _ = crowd(500, 64)
    generator = np.random.default_rng(2)
    probe = directions(generator, 1, 64)
    person = uuids(generator, 1)[0]
    near = unit(probe + 0.02 * generator.standard_normal((300, 64)))
    many = {f: (person, v) for f, v in zip(uuids(generator, 300), near, strict=True)}
    state = loaded({**templates, **many}, 64, 128, CODES).state
    candidates = search(state, probe, 5, kernel=CpuKernel(shortlist=20))[0]
    assert_right(candidates, {**templates, **many}, probe[0], 5)


def test_deleted_templates_are_not_found_in_two_stages() -> None:
    templates, vectors = crowd(600, 64)
    gallery = loaded(templates, 64, 1024, CODES)
    gone = list(templates)[:5]
    gallery.apply(change(gallery, removed=gone))
    assert sum(len(view.dead) for view in gallery.state.views) == len(gone)
    left = {face: template for face, template in templates.items() if face not in gone}
    for probe in vectors[:5]:
        candidates = search(gallery.state, probe[None], 3, kernel=CpuKernel(shortlist=600))[0]
        assert_right(candidates, left, probe, 3)


def test_two_stages_look_at_float32_rows(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="ROLLCALL_GALLERY_STORAGE=float32"):
        Storage("int8", tmp_path, codes=True)


class CodesAgainstDictionary(GalleryAgainstDictionary):
    """Codes follow their rows through growth, holes and copies."""

    storage = CODES
    kernel = CpuKernel(shortlist=1000) if compiled.built() else CpuKernel()


CodesAgainstDictionary.TestCase.settings = settings(
    deadline=None, max_examples=15, stateful_step_count=30
)
TestCodesAgainstDictionary = CodesAgainstDictionary.TestCase
