"""By-group rates count what a loop counts; relatives are apart from strangers."""

from pathlib import Path

import numpy as np
import pytest

from models.training.errors import TrainingDataError
from models.training.evaluation.groups import by_group, read_groups, relatives


def test_rates_are_those_of_the_pairs_within_a_group() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[3] = np.nan
    labels = np.arange(40) // 4
    groups = [("young", "old", None)[label % 3] for label in labels.tolist()]
    found = by_group(
        embeddings=rows.astype(np.float32), labels=labels, groups=groups, threshold=0.3
    )
    assert [each.group for each in found] == ["old", "young"]
    for each in found:
        false = missed = mated = non_mated = 0
        members = [index for index in range(40) if groups[index] == each.group]
        for place, i in enumerate(members):
            for j in members[place + 1 :]:
                hit = bool(rows[i] @ rows[j] >= 0.3)
                if labels[i] == labels[j]:
                    mated, missed = mated + 1, missed + (not hit)
                else:
                    non_mated, false = non_mated + 1, false + hit
        assert each.fmr is not None and each.fnmr is not None
        assert (each.fmr.count, each.fmr.total) == (false, non_mated)
        assert (each.fnmr.count, each.fnmr.total) == (missed, mated)
        assert each.pictures == len(members)
        assert each.people == len(members) // 4


def test_a_group_without_pairs_has_no_rate() -> None:
    [alone] = by_group(
        embeddings=np.eye(1, 2, dtype=np.float32),
        labels=np.zeros(1, np.int64),
        groups=["one"],
        threshold=0,
    )
    assert alone.fmr is None and alone.fnmr is None
    assert alone.described()["fmr"] is None


def test_relatives_are_counted_apart_from_strangers() -> None:
    rows = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    found = relatives(
        embeddings=rows,
        labels=np.array([0, 0, 1, 2, 3]),
        families=["f1", "f1", "f1", "f2", "f2"],
        threshold=0.55,
    )
    # Of one family: (0,2), (1,2) alike, (3,4) not. Of two: only (2,3) is alike, of six.
    assert (found.related.count, found.related.total) == (2, 3)
    assert (found.unrelated.count, found.unrelated.total) == (1, 6)
    assert found.described()["fmr_of_relatives"]["count"] == 2


def test_relatives_need_families_of_several() -> None:
    with pytest.raises(ValueError, match="Both kinds"):
        relatives(
            embeddings=np.eye(2, dtype=np.float32),
            labels=np.arange(2),
            families=["f1", "f2"],
            threshold=0,
        )


def test_a_group_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("image,group\na/1.jpg,x\nb/1.jpg,y\n")
    assert read_groups(path) == {"a/1.jpg": "x", "b/1.jpg": "y"}
    path.write_text("image,group\na/1.jpg,x\na/1.jpg,y\n")
    with pytest.raises(TrainingDataError, match=r"a/1.jpg into two groups"):
        read_groups(path)
    path.write_text("picture,group\n")
    with pytest.raises(TrainingDataError, match="columns image and group"):
        read_groups(path)
