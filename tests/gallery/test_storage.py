"""Compressed galleries answer as float64 brute force does over the enrolled rows."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gallery import compiled
from app.gallery.search import search
from app.gallery.storage import Format, Storage

from .oracle import (
    Sample,
    assert_right,
    holds,
    loaded,
    samples,
)
from .test_index import GalleryAgainstDictionary

pytestmark = pytest.mark.skipif(
    not compiled.built(), reason="the compiled scan kernels are not built: make builds them"
)
FORMATS: tuple[Format, ...] = ("float16", "int8")
FOLDER = Path(tempfile.gettempdir())


@pytest.fixture(params=["AVX2", "portable"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both ways that the kernels can go; the portable one is any processor's."""
    fast = compiled.use_processor_features(request.param == "AVX2")
    if request.param == "AVX2" and not fast:
        pytest.skip("this processor has no AVX2")
    yield
    compiled.use_processor_features(True)


@settings(deadline=None, max_examples=60)
@given(
    samples(),
    st.sampled_from(FORMATS),
    st.sampled_from([1, 2, 5, 50, 1000]),
    st.sampled_from([-1.0, 0.0, 0.5, 0.999]),
)
@pytest.mark.usefixtures("way")
def test_a_compressed_search_equals_float64_brute_force(
    sample: Sample, form: Format, top: int, floor: float
) -> None:
    storage = Storage(form, FOLDER)
    state = loaded(sample.templates, sample.dimension, sample.block_rows, storage).state
    answers = search(state, sample.probes, top, floor)
    assert len(answers) == len(sample.probes)
    for probe, candidates in zip(sample.probes, answers, strict=True):
        least = floor if floor > -1 else -np.inf
        assert_right(candidates, sample.templates, probe, top, least)


@settings(deadline=None, max_examples=40)
@given(samples(), st.sampled_from(FORMATS), st.integers(1, 20))
def test_storage_changes_no_bit_of_an_answer(sample: Sample, form: Format, top: int) -> None:
    exact = loaded(sample.templates, sample.dimension, sample.block_rows).state
    state = loaded(
        sample.templates, sample.dimension, sample.block_rows, Storage(form, FOLDER)
    ).state
    probes = np.repeat(sample.probes, 3, axis=0)
    assert search(state, probes, top) == search(exact, probes, top)
    assert state.checksum() == exact.checksum()
    assert holds(state, sample.templates)


class Float16AgainstDictionary(GalleryAgainstDictionary):
    storage = Storage("float16", FOLDER) if compiled.built() else GalleryAgainstDictionary.storage


class Int8AgainstDictionary(GalleryAgainstDictionary):
    storage = Storage("int8", FOLDER) if compiled.built() else GalleryAgainstDictionary.storage


for machine in (Float16AgainstDictionary, Int8AgainstDictionary):
    machine.TestCase.settings = settings(deadline=None, max_examples=15, stateful_step_count=30)
TestFloat16AgainstDictionary = Float16AgainstDictionary.TestCase
TestInt8AgainstDictionary = Int8AgainstDictionary.TestCase
