"""One mate among distractors, and the feature files of the development kit."""

import struct
from pathlib import Path

import numpy as np
import pytest

from models.training.errors import TrainingDataError
from models.training.evaluation.figures import tar_at_far
from models.training.evaluation.megaface import (
    among_distractors,
    read_features,
    write_features,
)


def test_a_feature_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg_x.bin"
    row = np.random.default_rng(0).normal(size=17).astype(np.float32)
    write_features(path, row)
    content = path.read_bytes()
    assert struct.unpack("<4i", content[:16]) == (17, 1, 4, 5)
    assert len(content) == 16 + 17 * 4
    assert (read_features(path) == row).all()


@pytest.mark.parametrize("cut", [0, 15, 16, 80])
def test_a_feature_file_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "short.bin"
    write_features(path, np.ones(17, np.float32))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TrainingDataError, match=r"short.bin is no feature file"):
        read_features(path)


def test_a_mate_comes_first_only_before_every_distractor() -> None:
    angles = np.radians([0, 30, 90, 130])  # two persons, 30 and 40 degrees between their pictures
    probes = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    # The first is far from all; the second lies 25 degrees from picture 0 and 5 from picture 1.
    others = np.radians([250, 25])
    distractors = np.stack([np.cos(others), np.sin(others)], axis=1).astype(np.float32)
    found = among_distractors(
        probes=probes,
        labels=np.array([0, 0, 1, 1]),
        distractors=distractors,
        sizes=(1, 2, 1000),
        fars=(0.5, 0.01),
    )
    assert {size: rate.count for size, rate in found.rank_1.items()} == {1: 4, 2: 2}
    assert found.rank_1[2].total == 4
    [point] = found.points
    assert (point.false.count, point.false.total) == (4, 8)
    assert list(found.described()["rank_1_by_distractors"]) == ["1", "2"]


def test_blocks_of_distractors_give_what_all_at_once_would() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(2540, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    probes, distractors = rows[:40].astype(np.float32), rows[40:].astype(np.float32)
    probes[1::2] = probes[::2] + 0.5 * probes[1::2]
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    probes[0] = np.nan
    labels = np.arange(40) // 2
    found = among_distractors(
        probes=probes, labels=labels, distractors=distractors, sizes=(10, 1500), fars=(1e-2, 1e-4)
    )
    scores = np.nan_to_num(probes @ distractors.T, nan=-2)
    mated = np.nan_to_num((probes * probes[np.arange(40) ^ 1]).sum(axis=1), nan=-2)
    for size, rate in found.rank_1.items():
        assert rate.count == np.count_nonzero(mated > scores[:, :size].max(axis=1))
        assert rate.total == 40
    for point, far in zip(found.points, (1e-2, 1e-4), strict=True):
        plain = tar_at_far(mated, scores.ravel(), far)
        assert (point.accepted, point.false) == (plain.accepted, plain.false)


def test_distractors_and_mates_are_needed() -> None:
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="no distractors"):
        among_distractors(probes=rows, labels=np.zeros(3, np.int64), distractors=rows[:0])
    with pytest.raises(ValueError, match="two pictures"):
        among_distractors(probes=rows, labels=np.arange(3), distractors=rows)
