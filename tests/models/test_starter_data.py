"""What the starter pack was trained on, and what it may never have seen."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.vision.pack import read_manifest
from tests.service import ROOT

SETS = ("celeba", "families")
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def digests_of(folder: Path) -> dict[tuple[str, ...], bytes]:
    """SHA-256 of every picture below ``folder``, by the parts of its path there, in that order."""
    paths = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS),
        key=lambda path: path.relative_to(folder).parts,
    )

    def digest(path: Path) -> bytes:
        return hashlib.sha256(path.read_bytes()).digest()

    with ThreadPoolExecutor() as pool:
        found = pool.map(digest, paths)
        return {
            path.relative_to(folder).parts: each for path, each in zip(paths, found, strict=True)
        }


@pytest.fixture(scope="module")
def trained_on(research_data: Path) -> dict[tuple[str, ...], bytes]:
    """The pictures of both training folders, by set, "train", person and file."""
    return {
        (name, "train", *parts): digest
        for name in SETS
        for parts, digest in digests_of(research_data / name / "train").items()
    }


def test_the_pack_names_the_folders_it_was_trained_on(
    trained_on: dict[tuple[str, ...], bytes],
) -> None:
    whole = hashlib.sha256()
    for parts, digest in trained_on.items():
        whole.update("/".join(parts).encode() + b"\0" + digest)
    training = read_manifest(ROOT / "models" / "packs" / "starter" / "pack.json").training
    assert training
    assert training["data_fingerprint"] == whole.hexdigest()
    # What the training started from was trained on the same.
    for earlier in training.get("run", {}).get("earlier", []):
        assert earlier["data_fingerprint"] == whole.hexdigest()


@pytest.mark.parametrize("held_out", ["celeba/val", "families/val", "lfw/images"])
def test_no_picture_that_it_is_measured_on_was_trained_on(
    trained_on: dict[tuple[str, ...], bytes], research_data: Path, held_out: str
) -> None:
    measured_on = digests_of(research_data / held_out)
    assert len(measured_on) > 100
    assert not set(measured_on.values()) & set(trained_on.values())


@pytest.mark.parametrize("name", SETS)
def test_no_person_of_the_validation_sets_was_trained_on(research_data: Path, name: str) -> None:
    trained, held_out = (
        {path.name for path in (research_data / name / part).iterdir()} for part in ("train", "val")
    )
    assert len(held_out) > 50
    assert not trained & held_out
    # A family of parents and children is one group: f0001_2 and f0001_3 look alike.
    families = [
        {person.split("_")[0] for person in people if "_" in person}
        for people in (trained, held_out)
    ]
    assert not families[0] & families[1]
