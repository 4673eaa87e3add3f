"""Crops become unit vectors that depend on nothing but the crop and the contract."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from app.types import Pixels
from app.vision.directions import normalised
from app.vision.embed import Recognizer, prepared, runs
from app.vision.errors import DeviceFailed, EmbeddingFailed, PackInvalid
from app.vision.pack import Contract, Pack, RecognizerPart, read_pack
from app.vision.session import RUN_ERRORS

HALF = (127.5, 127.5, 127.5)


@pytest.fixture(scope="module")
def crops() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (11, 112, 112, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def recognizer(opened_pack: Pack) -> Recognizer:
    return Recognizer(opened_pack.recognizer, "cpu")


@given(st.integers(0, 1000), st.sets(st.integers(1, 64), min_size=1))
def test_pieces_hold_every_row_and_only_the_last_is_padded(rows: int, sizes: set[int]) -> None:
    buckets = tuple(sorted(sizes))
    cut = runs(rows, buckets)
    assert sum(run.take for run in cut) == rows
    assert all(run.shape in buckets and 0 < run.take <= run.shape for run in cut)
    assert all(run.take == run.shape == buckets[-1] for run in cut[:-1])
    if cut:
        assert not [each for each in buckets if cut[-1].take <= each < cut[-1].shape]


def test_embeddings_have_length_one(recognizer: Recognizer, crops: Pixels) -> None:
    embeddings = recognizer.embed(crops)
    assert embeddings.shape == (11, 32) and embeddings.dtype == np.float32
    assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    assert recognizer.embed(crops[:0]).shape == (0, 32)


@pytest.mark.parametrize("buckets", [(1,), (1, 4, 16, 64), (3,), (16,)])
def test_an_embedding_does_not_depend_on_its_batch(
    recognizer: Recognizer, crops: Pixels, buckets: tuple[int, ...]
) -> None:
    alone = np.concatenate([recognizer.embed(crop[None]) for crop in crops])
    batched = normalised(recognizer._run(crops, buckets))
    assert np.abs(batched - alone).max() < 1e-5
    backwards = recognizer.embed(crops[::-1])[::-1]
    assert np.abs(backwards - alone).max() < 1e-5


def test_the_contract_orders_and_scales_the_channels(crops: Pixels) -> None:
    mean, std = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)
    for colour, order in (("rgb", [0, 1, 2]), ("bgr", [2, 1, 0])):
        batch = prepared(crops[:2], 4, Contract(mean=mean, std=std, colour=colour))
        expected = (crops[:2][..., order].astype(np.float64) - mean) / std
        assert batch.shape == (4, 3, 112, 112) and batch.dtype == np.float32
        assert_allclose(batch[:2].transpose(0, 2, 3, 1), expected, rtol=1e-6, atol=1e-5)
        assert (batch[2:] == 0).all()


def test_flip_test_is_the_sum_with_the_mirror_image(
    opened_pack: Pack, recognizer: Recognizer, crops: Pixels
) -> None:
    part = opened_pack.recognizer
    flipping = Recognizer(replace(part, contract=replace(part.contract, flip_test=True)), "cpu")
    expected = normalised(recognizer.raw(crops) + recognizer.raw(crops[:, :, ::-1]))
    assert_allclose(flipping.embed(crops), expected, atol=1e-5)
    assert_allclose(flipping.embed(crops[:, :, ::-1]), expected, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_an_answer_that_is_no_direction_is_never_passed_on(bad: float) -> None:
    raw = np.ones((3, 4), np.float32)
    raw[1] = bad
    with pytest.raises(EmbeddingFailed):
        normalised(raw)


def test_a_crop_that_says_nothing_is_an_error(recognizer: Recognizer) -> None:
    with pytest.raises(EmbeddingFailed):
        recognizer.embed(np.zeros((1, 112, 112, 3), np.uint8))


def test_a_wrong_dimension_stops_the_start(opened_pack: Pack) -> None:
    with pytest.raises(PackInvalid, match=r"\(32,\) numbers, pack.json promises 64"):
        Recognizer(replace(opened_pack.recognizer, dimension=64), "cpu")


def test_out_of_memory_halves_the_batch_once_and_then_is_named(
    opened_pack: Pack, crops: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that cannot be provoked here: the session fails above a number of rows."""
    recognizer = Recognizer(opened_pack.recognizer, "cpu")
    real = recognizer._run

    def narrow(limit: int) -> None:
        def run(crops: Pixels, buckets: tuple[int, ...]) -> Pixels:
            if buckets[-1] > limit:
                raise RUN_ERRORS[-1]("out of memory")
            return real(crops, buckets)

        monkeypatch.setattr(recognizer, "_run", run)

    narrow(4)
    assert recognizer.embed(crops).shape == (11, 32)
    narrow(2)
    with pytest.raises(DeviceFailed, match="out of memory"):
        recognizer.embed(crops)


def test_two_pictures_of_a_face_are_more_alike_than_two_faces(
    recognizer: Recognizer, group_pixels: Pixels, opened_pack: Pack
) -> None:
    """The tiny pack is no recognizer, but tests of the service may rely on this much."""
    import cv2

    from app.vision.align import align
    from app.vision.detect import open_detector

    detector = open_detector(opened_pack.detector, "cpu")
    small = np.asarray(cv2.resize(group_pixels, None, fx=0.7, fy=0.7), np.uint8)
    first, second = (
        recognizer.embed(
            np.stack(
                [
                    align(pixels, each.landmarks)
                    for each in sorted(detector.detect(pixels), key=lambda face: face.box.x)
                ]
            )
        )
        for pixels in (group_pixels, small)
    )
    alike = first @ second.T
    assert np.diag(alike).min() > 0.85
    assert alike[~np.eye(6, dtype=bool)].max() < 0.77


def test_insightface_files_are_embedded_as_their_library_does(
    shared_packs: Path, crops: Pixels
) -> None:
    import onnxruntime
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    part: RecognizerPart = read_pack(shared_packs / "insightface-small").recognizer
    session = onnxruntime.InferenceSession(str(part.path), providers=["CPUExecutionProvider"])
    library = ArcFaceONNX(model_file=str(part.path), session=session)
    expected = library.get_feat([crop[..., ::-1] for crop in crops[:3]])
    assert_allclose(Recognizer(part, "cpu").embed(crops[:3]), normalised(expected), atol=1e-5)


def test_a_pack_whose_recognizer_takes_other_crops_is_refused(tiny_pack: Path) -> None:
    manifest = json.loads((tiny_pack / "pack.json").read_text())
    assert manifest["recognizer"]["dimension"] == 32
    part = read_pack(tiny_pack).recognizer
    with pytest.raises(PackInvalid, match="does not take crops"):
        Recognizer(replace(part, contract=Contract(mean=HALF, std=HALF, size=(96, 96))), "cpu")
