"""One entry for all commands; what is wrong with the data is one sentence on stderr."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models.training.__main__ import COMMANDS, main
from tests.models.data.pictures import encoded, picture, write_people
from tests.models.data.recordio_writer import entry, write, write_faces
from tests.service import ROOT

NO_TORCH = """
import sys
import models.training.__main__
import models.training.prepare, models.training.evaluate, models.training.calibrate
sys.exit("torch" in sys.modules)
"""

Asked = Callable[..., tuple[int, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asked:
    """Runs the command line in this process; its status and what it says on stderr."""

    def ask(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["models.training", *map(str, words)])
        status = main()
        return status, capsys.readouterr().err

    return ask


def faces_of(people: int, each: int) -> list[list[bytes]]:
    return [[encoded(picture(person * each + n)) for n in range(each)] for person in range(people)]


def empty(folder: Path) -> Path:
    (folder / "ann").mkdir(parents=True)
    return folder


def loose(folder: Path) -> Path:
    folder.mkdir()
    (folder / "1.png").write_bytes(encoded(picture(1)))
    return folder


def single(folder: Path) -> Path:
    return write_people(folder, people=3, each=1)


def one_person(folder: Path) -> Path:
    return write_people(folder, people=1, each=3)


def unreadable(folder: Path) -> Path:
    write_people(folder)
    path = folder / "p1" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    return folder


def emptied(folder: Path) -> Path:
    write_people(folder)
    (folder / "p2" / "0.png").write_bytes(b"")
    return folder


def small(folder: Path) -> Path:
    return write_people(folder, size=96)


def uneven(folder: Path) -> Path:
    write_people(folder)
    (folder / "p2" / "1.png").write_bytes(encoded(picture(9, 128)))
    return folder


def blue(folder: Path) -> Path:
    for person in range(30):
        (folder / f"p{person}").mkdir(parents=True)
        for number in range(4):
            swapped = picture(4 * person + number)[..., ::-1]
            (folder / f"p{person}" / f"{number}.png").write_bytes(encoded(swapped))
    return folder


def cut_short(folder: Path) -> Path:
    folder.mkdir()
    path = write_faces(folder / "train.rec", faces_of(3, 2))
    path.write_bytes(path.read_bytes()[:-200])
    return path


def without_index(folder: Path) -> Path:
    folder.mkdir()
    path = write_faces(folder / "train.rec", faces_of(3, 2))
    path.with_suffix(".idx").unlink()
    return path


def beyond(folder: Path) -> Path:
    folder.mkdir()
    pictures = [content for person in faces_of(3, 2) for content in person]
    payloads = [(0, entry(b"", 7.0, 10.0))]  # six pictures, three people
    labels = (0.0, 0.0, 1.0, 1.0, 2.0, 7.0)
    payloads += [
        (key, entry(content, label))
        for key, (content, label) in enumerate(zip(pictures, labels, strict=True), 1)
    ]
    return write(folder / "train.rec", payloads)


def verification_set(folder: Path) -> Path:
    folder.mkdir()
    (folder / "lfw.bin").write_bytes(b"pairs")
    return folder / "lfw.bin"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (empty, "is empty: a folder a person is wanted"),
        (loose, "1.png lies in no person's folder"),
        (single, "one image per class"),
        (one_person, "one identity"),
        (unreadable, "p1/1.png: the image is unreadable"),
        (emptied, "p2/0.png: the image is unreadable (0 bytes)"),
        (small, "wrong size, 96x96"),
        (uneven, "p2/1.png has the wrong size, 128x128"),
        (blue, "The colour order is wrong"),
        (cut_short, "cut short"),
        (without_index, "train.idx is missing"),
        (beyond, "label 7 is out of range"),
        (verification_set, "is a verification set"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_data_that_cannot_be_trained_on_is_one_line_that_says_why(
    make: Callable[[Path], Path], said: str, asked: Asked, tmp_path: Path
) -> None:
    data = make(tmp_path / "data")
    status, err = asked("train", "--data", data, "--out", tmp_path / "out")
    assert status == 1
    [line] = err.splitlines()
    assert line.startswith("train: ")
    assert said in line
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_every_command_says_in_a_line_what_is_missing(
    asked: Asked, tmp_path: Path, tiny_pack: Path
) -> None:
    nowhere, data = tmp_path / "nowhere", write_people(tmp_path / "data")
    train = ("train", "--data", data, "--out", tmp_path / "out")
    quick = ("--set", "batch=2", "--set", "compiled=false")
    finish = ("finish", "--failures", __file__, "--pack")
    demo = ("demo", "--out", tmp_path / "demo", "--photos")
    export = ("export", "--out", tmp_path / "pack", "--licence", "MIT", "--data", data)
    study = ("study", "toy", "--data", nowhere, "--val", nowhere, "--out", tmp_path / "study")
    asks: list[tuple[tuple[str | Path, ...], str]] = [
        (("prepare", "--photos", nowhere, "--out", tmp_path / "crops"), "nowhere"),
        (("prepare", "--photos", data, "--out", tmp_path / "c", "--pack", nowhere), "nowhere"),
        ((*train, "--data", nowhere), "nowhere"),
        ((*train, "--val", nowhere), "nowhere"),
        ((*train, "--set", "epoch=3"), "'epoch' cannot be set"),
        ((*train, "--set", "backbone=vgg"), "no backbone 'vgg'"),
        ((*train, "--recipe", "starter-distilled"), "teacher"),
        ((*train, "--recipe", "starter-distilled", "--teacher", nowhere), "nowhere"),
        ((*train, "--set", "batch=100"), "do not fill one batch of 100"),
        ((*train, *quick, "--start-from", nowhere), "nowhere"),
        ((*export, "--checkpoint", nowhere), "nowhere"),
        ((*finish, nowhere), "nowhere"),
        ((*finish, tiny_pack), "is not finished. It lacks"),
        (("evaluate", "--pack", tiny_pack, "--out", tmp_path / "e"), "Nothing to measure on"),
        (("evaluate", "--pack", nowhere, "--out", tmp_path / "e", "--crops", data), "nowhere"),
        (("calibrate", "--pack", tiny_pack, "--crops", data), "people"),
        ((*demo, nowhere), "nowhere"),
        (study, "nowhere"),
    ]
    for words, said in asks:
        status, err = asked(*words)
        lines = err.splitlines()
        assert (status, len(lines)) == (1, 1), (words, err)
        assert lines[0].startswith(f"{words[0]}: ")
        assert said in lines[0], words


def test_wrong_usage_is_told_apart_from_wrong_data(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ((), ("learn",), ("train",), ("train", "--recipe", "best"), ("study", "cats")):
        with pytest.raises(SystemExit) as ended:
            asked(*words)
        assert ended.value.code == 2, words
        assert "usage: python -m models.training" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(
    command: str, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        asked(command, "--help")
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: python -m models.training {command}" in out
    assert ("--out" in out) or ("--pack" in out)


def test_the_command_line_lists_its_commands() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "models.training", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for command, summary in COMMANDS.items():
        assert f"\n    {command}" in shown.stdout
        assert summary in " ".join(shown.stdout.split())


def test_an_error_is_no_traceback(tmp_path: Path) -> None:
    words = ["prepare", "--photos", str(tmp_path), "--out", str(tmp_path / "crops")]
    ended = subprocess.run(
        [sys.executable, "-m", "models.training", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"prepare: {tmp_path} is empty")


def test_packs_are_prepared_for_measured_and_calibrated_without_torch() -> None:
    subprocess.run([sys.executable, "-c", NO_TORCH], cwd=ROOT, check=True)
