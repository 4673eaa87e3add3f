"""LFW's lists are read as they are published, and refused where they are not whole."""

from pathlib import Path

import pytest

from models.training.errors import TrainingDataError
from models.training.evaluation.lfw import Pair, read_pairs, read_search

PAIRS = "2\t1\nAbel_Pacheco\t1\t4\nAbdel_Madi\t1\tDean_Barker\t2\nA_B\t12\t3\nA_B\t1\tC_D\t1\n"


def test_pairs_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(PAIRS)
    first, second, *_ = pairs = read_pairs(path)
    assert [pair.mated for pair in pairs] == [True, False, True, False]
    assert first == Pair(
        first="Abel_Pacheco/Abel_Pacheco_0001.jpg",
        second="Abel_Pacheco/Abel_Pacheco_0004.jpg",
        mated=True,
    )
    assert (second.first, second.second) == (
        "Abdel_Madi/Abdel_Madi_0001.jpg",
        "Dean_Barker/Dean_Barker_0002.jpg",
    )


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (PAIRS[:-12], "promises 4 pairs and has 3"),
        ("Abel_Pacheco\t1\t4\n", "begin with the number of folds"),
        ("", "begin with"),
        (PAIRS.replace("12", "x"), "line 4"),
    ],
)
def test_a_list_that_is_not_whole_is_refused(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(content)
    with pytest.raises(TrainingDataError, match=named):
        read_pairs(path)


def test_the_published_list_has_its_pairs(research_data: Path) -> None:
    pairs = read_pairs(research_data / "lfw" / "pairs.txt")
    assert len(pairs) == 6000
    assert [pair.mated for pair in pairs[:600]] == [True] * 300 + [False] * 300
    lists = read_search(research_data / "lfw" / "identify")
    assert (len(lists.enrol), len(lists.probes), len(lists.strangers)) == (747, 2346, 1500)


def test_a_stranger_who_is_enrolled_is_refused(tmp_path: Path) -> None:
    (tmp_path / "enrol.csv").write_text("person,image\nA,A/A_0001.jpg\n")
    (tmp_path / "probes.csv").write_text("person,image\nA,A/A_0002.jpg\n")
    (tmp_path / "non_members.csv").write_text("image\nB/B_0001.jpg\n")
    assert read_search(tmp_path).probes == (("A/A_0002.jpg", "A"),)
    (tmp_path / "non_members.csv").write_text("image\nA/A_0003.jpg\n")
    with pytest.raises(TrainingDataError, match="A is enrolled and a stranger"):
        read_search(tmp_path)
    (tmp_path / "non_members.csv").write_text("picture\n")
    with pytest.raises(TrainingDataError, match="no column image"):
        read_search(tmp_path)
