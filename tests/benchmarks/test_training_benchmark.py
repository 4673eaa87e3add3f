"""The benchmark of training runs, and its ratios are those of its times."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import training as benchmark


def test_a_ratio_is_taken_round_by_round() -> None:
    assert benchmark.ratio([1.0, 4.0, 9.0], [2.0, 4.0, 3.0]) == 1.0


def test_the_figures_of_a_small_backbone_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    out = tmp_path / "new" / "training.json"
    words = "--backbones slim-tiny --batch 8 --steps 2 --rounds 2 --device cpu --out"
    monkeypatch.setattr(sys, "argv", ["training", *words.split(), str(out)])
    benchmark.main()
    assert "| slim-tiny |" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert (result["batch"], result["steps"], result["rounds"]) == (8, 2, 2)
    assert result["precision"] == "float32"
    assert result["machine"]["threads"] == 1
    assert result["machine"]["torch"] == torch.__version__
    assert result["commit"]
    [found] = result["backbones"]
    assert found["parameters"] > 0
    rounds = found["of_each_round"]
    assert {way: len(each) for way, each in rounds.items()} == dict.fromkeys(
        ("bare", "step", "full", "loader"), 2
    )
    for name, value in found["ratios"].items():
        one, other = (rounds[way] for way in name.split("_to_"))
        by_hand = sum(mine / its for mine, its in zip(one, other, strict=True)) / 2
        assert value == pytest.approx(by_hand, rel=2e-3)
    slower = [full / step for full, step in zip(rounds["full"], rounds["step"], strict=True)]
    overhead = 50 * sum(1 / each for each in slower) - 100
    assert found["loader_overhead_percent"] == pytest.approx(overhead, abs=0.5)
    assert found["loader_alone_percent_of_step"] > 0
