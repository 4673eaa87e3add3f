"""The train command as it is called: teacher, faces without labels, several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training import checkpoint, provenance
from models.training.recipes import RECIPES, overridden
from models.training.train import train
from tests.models.data.pictures import write_people
from tests.models.test_distil import write_teacher
from tests.service import ROOT

SETTINGS = ["backbone=slim-tiny", "dimension=16", "batch=4", "epochs=2", "compiled=false"]


def test_a_teacher_is_asked_about_faces_without_labels_too(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    known = write_people(tmp_path / "known", 4, 3)
    unknown = write_people(tmp_path / "unknown", 2, 4)
    (wise := tmp_path / "wise").mkdir()
    train(
        overridden(RECIPES["starter-distilled"], SETTINGS),
        [known],
        [known],
        tmp_path / "out",
        teacher=write_teacher(wise / "teacher.onnx"),
        unlabelled=[unknown],
    )
    [kept] = (tmp_path / "out").glob("teacher-*.npy")
    assert len(np.load(kept)) == 4 * 3 + 2 * 4
    account = checkpoint.load(tmp_path / "out" / checkpoint.NAME).training
    assert account["images"] == 20
    assert account["identities"] == 4
    assert account["teacher"] == "wise"


def test_torchrun_trains_with_two_processes(tmp_path: Path) -> None:
    data = write_people(tmp_path / "faces", 4, 4)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "models.training", "train"),
            *("--recipe", "starter-distilled", *settings, "--data", str(data)),
            *("--val", str(data), "--out", str(tmp_path / "out")),
            *("--teacher", str(write_teacher(tmp_path / "teacher.onnx"))),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    account = json.loads((tmp_path / "out" / "training.json").read_text())
    assert account["ranks"] == 2
    assert account["epochs"] == 2.0
    assert set(account["validation"]) == {f"{tmp_path.name}/faces"}


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.commit() != "unknown" or not (ROOT / ".git").exists()
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == "unknown"
