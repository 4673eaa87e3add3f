"""Compressed galleries answer as float64 brute force does over the enrolled rows."""

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import CannotStart
from app.gallery import compiled
from app.gallery.blocks import Block
from app.gallery.scratch import Scratch, ScratchFailed
from app.gallery.search import search
from app.gallery.storage import Format, Maker, Storage

from .oracle import (
    Sample,
    assert_right,
    change,
    directions,
    holds,
    loaded,
    samples,
    uuids,
)
from .test_index import GalleryAgainstDictionary

pytestmark = pytest.mark.skipif(
    not compiled.built(), reason="the compiled scan kernels are not built: make builds them"
)
FORMATS: tuple[Format, ...] = ("float16", "int8")
FOLDER = Path(tempfile.gettempdir())


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


def test_nothing_of_the_scratch_file_is_plain_and_nobody_can_open_it(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    region = (scratch := Scratch(tmp_path)).region(100, 64)
    vectors = directions(generator, 100, 64)
    vectors[50:] = vectors[0]  # rows that are alike look different there
    region.write(0, vectors[:30])
    region.write(30, vectors[30:])
    assert list(tmp_path.iterdir()) == []
    hidden = scratch.read(0, scratch.size)
    pieces = [hidden[at : at + 16] for at in range(0, len(hidden), 16)]
    assert len(set(pieces)) == len(pieces)
    assert not any(row[:4].tobytes() in hidden for row in vectors)
    assert np.array_equal(region.read(10, 60), vectors[10:60])
    rows = np.array([99, 3, 4, 5, 50, 0])
    assert np.array_equal(region.take(rows), vectors[rows])


def test_a_region_that_is_used_again_has_another_key_stream(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    vectors = directions(np.random.default_rng(1), 8, 64)
    bodies = []
    for _ in range(2):
        region = scratch.region(8, 64)
        region.write(0, vectors)
        bodies.append(scratch.read(0, scratch.size))
        del region
    assert len(bodies[0]) == len(bodies[1]) == scratch.size
    pieces = [body[at : at + 16] for body in bodies for at in range(0, len(body), 16)]
    assert len(set(pieces)) == len(pieces)


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_fails_the_change_and_leaves_the_state(
    form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(2)
    faces = uuids(generator, 40)
    vectors = directions(generator, 40, 16)
    templates = dict(zip(faces, zip(faces, vectors, strict=True), strict=True))
    first = dict(list(templates.items())[:3])
    gallery = loaded(first, 16, 16, Storage(form, tmp_path))
    before = gallery.state

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(ScratchFailed, match="No space left") as failed:
            gallery.apply(change(gallery, dict(list(templates.items())[3:])))
    assert failed.value.code == "scratch_failed"
    assert gallery.state is before
    assert holds(before, first)
    gallery.apply(change(gallery, dict(list(templates.items())[3:])))
    assert holds(gallery.state, templates)


def test_without_the_kernels_compressed_rows_and_codes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_MODULE", None)
    for asked in ({"format": "float16"}, {"format": "int8"}, {"codes": True}):
        with pytest.raises(CannotStart, match=r"pip install .*\./kernels") as refused:
            Storage(folder=tmp_path, **asked)
        assert refused.value.code == "kernels_missing"
    Storage(folder=tmp_path)


@pytest.mark.parametrize(("form", "bytes_each"), [("float32", 4), ("float16", 2), ("int8", 1)])
def test_a_template_takes_at_most_64_bytes_beyond_its_numbers(
    form: Format, bytes_each: int, tmp_path: Path
) -> None:
    block = Block(Maker(Storage(form, tmp_path), 512).stored(1024))
    assert (block.nbytes - 1024 * 512 * bytes_each) / 1024 <= 64


class Float16AgainstDictionary(GalleryAgainstDictionary):
    storage = Storage("float16", FOLDER) if compiled.built() else GalleryAgainstDictionary.storage


class Int8AgainstDictionary(GalleryAgainstDictionary):
    storage = Storage("int8", FOLDER) if compiled.built() else GalleryAgainstDictionary.storage


for machine in (Float16AgainstDictionary, Int8AgainstDictionary):
    machine.TestCase.settings = settings(deadline=None, max_examples=15, stateful_step_count=30)
TestFloat16AgainstDictionary = Float16AgainstDictionary.TestCase
TestInt8AgainstDictionary = Int8AgainstDictionary.TestCase
