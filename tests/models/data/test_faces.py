"""Decoded faces: the same in memory and on demand; what breaks the contract is refused."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.training.data import faces as faces_module
from models.training.data import open_source
from models.training.data.faces import LazyFaces, decode_face, fits_in_memory, load_faces
from models.training.data.source import check_labels
from models.training.errors import TrainingDataError
from tests.models.data.pictures import encoded, picture, write_people
from tests.models.data.recordio_writer import write_faces


def test_pictures_come_as_rgb_with_the_crop_in_their_middle(tmp_path: Path) -> None:
    faces = load_faces(open_source(write_people(tmp_path, size=160)))
    assert faces.pictures.shape == (6, 160, 160, 3)
    assert np.array_equal(faces.pictures[3], picture(3, 160))
    assert np.array_equal(faces.crops()[3], picture(3, 160)[24:136, 24:136])
    assert np.shares_memory(faces.crops(), faces.pictures)


def test_pictures_without_a_margin_are_their_own_crops(tmp_path: Path) -> None:
    faces = load_faces(open_source(write_people(tmp_path)))
    assert np.array_equal(faces.crops(), faces.pictures)


def test_decoding_on_demand_gives_the_same_batches(tmp_path: Path) -> None:
    source = open_source(write_people(tmp_path))
    held, lazy = load_faces(source), LazyFaces(source, threads=2)
    rows = np.array([5, 0, 0, 3])
    assert np.array_equal(held.batch(rows), lazy.batch(rows))
    assert np.array_equal(held.labels, lazy.labels)
    assert (held.identities, held.fingerprint) == (lazy.identities, lazy.fingerprint)


def test_other_forms_give_the_same_faces(tmp_path: Path) -> None:
    folder = load_faces(open_source(write_people(tmp_path / "folder")))
    people = [[encoded(picture(2 * k)), encoded(picture(2 * k + 1))] for k in range(3)]
    records = load_faces(open_source(write_faces(tmp_path / "train.rec", people)))
    assert np.array_equal(folder.pictures, records.pictures)
    assert np.array_equal(folder.labels, records.labels)


def test_memory_decides_where_pictures_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(write_people(tmp_path))
    assert fits_in_memory(source)
    limit = tmp_path / "limit"
    monkeypatch.setattr(faces_module, "CGROUP_LIMIT", limit)
    needed = 6 * 112 * 112 * 3
    for bytes_free, fits in (("max", True), (str(2 * needed), True), (str(2 * needed - 2), False)):
        limit.write_text(bytes_free + "\n")
        assert fits_in_memory(source) is fits


def test_grey_transparent_and_deep_pictures_become_plain_rgb() -> None:
    pixels = picture(0)
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    found = decode_face(bytes(cv2.imencode(".png", grey)[1]), "grey")
    assert np.array_equal(found, np.repeat(grey[..., None], 3, axis=2))
    clear = np.dstack([pixels[..., ::-1], np.full((112, 112), 128, np.uint8)])
    assert np.array_equal(decode_face(bytes(cv2.imencode(".png", clear)[1]), "clear"), pixels)
    deep = pixels[..., ::-1].astype(np.uint16) * 257
    assert np.array_equal(decode_face(bytes(cv2.imencode(".png", deep)[1]), "deep"), pixels)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp"])
def test_an_image_that_is_not_whole_is_refused_by_name(tmp_path: Path, extension: str) -> None:
    folder = write_people(tmp_path, extension=extension)
    file = folder / "p1" / f"1{extension}"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(TrainingDataError, match=rf"p1/1\{extension}: the image is unreadable"):
        load_faces(open_source(folder))
    file.write_bytes(b"")
    with pytest.raises(TrainingDataError, match=r"unreadable \(0 bytes\)"):
        LazyFaces(open_source(folder))


@pytest.mark.parametrize(("width", "height"), [(96, 112), (113, 113), (64, 64)])
def test_a_size_against_the_contract_is_refused(tmp_path: Path, width: int, height: int) -> None:
    folder = write_people(tmp_path)
    content = encoded(np.zeros((height, width, 3), np.uint8))
    (folder / "p0" / "0.png").write_bytes(content)
    source = open_source(folder)
    with pytest.raises(
        TrainingDataError, match=rf"p0/0\.png has the wrong size, {width}x{height}.*prepare"
    ):
        load_faces(source)


def test_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    folder = write_people(tmp_path)
    (folder / "p2" / "0.png").write_bytes(encoded(picture(0, 160)))
    message = r"p2/0\.png has the wrong size, 160x160 pixels where others have 112x112"
    with pytest.raises(TrainingDataError, match=message):
        load_faces(open_source(folder))
    with pytest.raises(TrainingDataError, match=message):
        LazyFaces(open_source(folder))


def test_swapped_colours_are_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "blue"
    for person in range(10):
        (folder / f"p{person}").mkdir(parents=True)
        for number in range(10):
            swapped = np.ascontiguousarray(picture(10 * person + number)[..., ::-1])
            (folder / f"p{person}" / f"{number}.png").write_bytes(encoded(swapped))
    with pytest.raises(TrainingDataError, match="colour order is wrong: 100% of the faces"):
        load_faces(open_source(folder))


def test_real_faces_have_the_right_colours(research_data: Path) -> None:
    faces = load_faces(open_source(research_data / "families" / "val"))
    with pytest.raises(TrainingDataError, match="colour order is wrong"):
        faces_module.check_colours(faces.pictures[..., ::-1])


def test_one_image_per_class_is_refused(tmp_path: Path) -> None:
    source = open_source(write_people(tmp_path, each=1))
    with pytest.raises(TrainingDataError, match="3 identities has one image per class"):
        load_faces(source)


def test_some_people_with_one_image_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_people(tmp_path)
    (folder / "p1" / "1.png").unlink()
    with caplog.at_level(logging.WARNING):
        load_faces(open_source(folder))
    assert "1 of 3 identities have a single picture" in caplog.text


def test_a_single_person_is_refused(tmp_path: Path) -> None:
    source = open_source(write_people(tmp_path, people=1))
    with pytest.raises(TrainingDataError, match=r"one identity \(p0\)"):
        LazyFaces(source)


def test_labels_are_numbers_from_zero_without_gaps() -> None:
    check_labels(np.array([2, 0, 1, 1]), 3)
    with pytest.raises(TrainingDataError, match=r"picture 2: label 3 is out of range; 3 ident"):
        check_labels(np.array([0, 1, 3, 2]), 3)
    with pytest.raises(TrainingDataError, match=r"sunny\.jpg: label -1 is out of range"):
        check_labels(np.array([0, -1]), 1, lambda _: "sunny.jpg")
    with pytest.raises(TrainingDataError, match="1 of 3 labels have no picture, the first is 1"):
        check_labels(np.array([0, 2]), 3)
