"""Folders of faces: who is in them, and the fingerprint of it all."""

from pathlib import Path

import pytest

from models.training.data import open_source
from models.training.data.folder import ImageFolder
from models.training.data.source import fingerprint_of
from models.training.errors import TrainingDataError
from tests.models.data.pictures import write_people


def test_each_folder_is_a_person_and_each_picture_has_its_label(tmp_path: Path) -> None:
    source = ImageFolder(write_people(tmp_path / "faces"))
    assert source.identities == ("p0", "p1", "p2")
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert source.name(3) == "p1/1.png"
    assert source.read(3) == (tmp_path / "faces" / "p1" / "1.png").read_bytes()


def test_several_folders_are_named_by_what_they_do_not_share(tmp_path: Path) -> None:
    for part in ("a/train", "b/train"):
        write_people(tmp_path / part, people=2)
    source = ImageFolder(tmp_path / "b" / "train", tmp_path / "a" / "train")
    assert source.identities == ("a/train/p0", "a/train/p1", "b/train/p0", "b/train/p1")
    turned = ImageFolder(tmp_path / "a" / "train", tmp_path / "b" / "train")
    assert source.names == turned.names
    assert source.fingerprint == turned.fingerprint


def test_all_kinds_of_pictures_count_and_other_files_do_not(tmp_path: Path) -> None:
    person = tmp_path / "ann"
    person.mkdir()
    for name in ("1.JPG", "2.jpeg", "3.png", "4.webp", "5.bmp", "notes.txt", "._1.jpg", ".6.png"):
        (person / name).write_bytes(b"x")
    assert ImageFolder(tmp_path).names == [
        f"ann/{name}" for name in ("1.JPG", "2.jpeg", "3.png", "4.webp", "5.bmp")
    ]


def test_the_fingerprint_changes_with_one_byte_and_with_one_name(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "faces")
    before = ImageFolder(folder).fingerprint
    assert ImageFolder(folder).fingerprint == before
    file = folder / "p1" / "0.png"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    changed = ImageFolder(folder).fingerprint
    assert changed != before
    file.rename(folder / "p1" / "9.png")
    assert ImageFolder(folder).fingerprint not in {before, changed}


def test_the_fingerprint_does_not_know_the_order_of_reading() -> None:
    content = {"a/1": b"one", "a-b/1": b"two", "a/2": b"three"}
    found = set()
    for names in (["a/1", "a-b/1", "a/2"], ["a/2", "a/1", "a-b/1"]):
        found.add(fingerprint_of(names, lambda index, names=names: content[names[index]]))
    assert len(found) == 1


def test_links_are_followed_and_do_not_change_names(tmp_path: Path) -> None:
    write_people(tmp_path / "elsewhere" / "x")
    write_people(tmp_path / "data" / "b")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere" / "x")
    source = ImageFolder(tmp_path / "data" / "a", tmp_path / "data" / "b")
    assert source.identities[0] == "a/p0"


def test_an_empty_folder_is_refused_with_the_form_that_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"is empty: a folder a person is wanted"):
        open_source(tmp_path)
    (tmp_path / "face.jpg").write_bytes(b"x")
    with pytest.raises(TrainingDataError, match=r"face\.jpg lies in no person's folder"):
        open_source(tmp_path)


def test_missing_and_nested_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_source(tmp_path / "nowhere")
    inside = write_people(tmp_path / "faces" / "train")
    with pytest.raises(TrainingDataError, match="give folders apart"):
        open_source(tmp_path / "faces", inside)
