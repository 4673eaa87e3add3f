"""An image may come in any form that a program has it in."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rollcall_client import Rollcall
from rollcall_client.uploads import read_image

from tests.clients.conftest import ByRoad

FORMS: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "text": str,
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "file": lambda path: path.open("rb"),
    "buffer": lambda path: io.BytesIO(path.read_bytes()),
    "picture": Image.open,
    "palette": lambda path: Image.open(path).convert("RGBA"),
    "array": lambda path: np.asarray(Image.open(path).convert("RGB")),
    "view": lambda path: np.asarray(Image.open(path).convert("RGB"))[:, ::-1][:, ::-1],
}


@pytest.fixture
def photo(tmp_path: Path, hanks: bytes) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(hanks)
    return path


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_picture_is_the_same_picture(
    rollcall: Rollcall, photo: Path, form: str
) -> None:
    sent = rollcall.detect(FORMS[form](photo))
    assert sent.faces == rollcall.detect(photo).faces
    assert len(sent.faces) == 1


def test_several_forms_go_into_one_enrolment(
    rollcall: Rollcall, photo: Path, collection: str
) -> None:
    images = [photo, str(photo), photo.read_bytes(), Image.open(photo)]
    assert len(rollcall.enroll(images, collection=collection).faces) == 4
    assert len(rollcall.enroll(tuple(images[:2]), collection=collection).faces) == 2


def test_a_picture_that_a_camera_held_sideways_is_sent_upright(
    rollcall: Rollcall, photo: Path
) -> None:
    sideways = Image.open(photo).convert("RGB").rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees to look at it
    written = io.BytesIO()
    sideways.save(written, "PNG", exif=exif)
    [face] = rollcall.detect(Image.open(io.BytesIO(written.getvalue()))).faces
    assert face.bounding_box == rollcall.detect(photo).faces[0].bounding_box


def test_a_file_is_read_once_however_often_it_is_sent(
    by_road: ByRoad, pauses: list[float], photo: Path
) -> None:
    from tests.clients.conftest import not_connected

    client, road = by_road(not_connected, not_connected)
    with photo.open("rb") as file:
        assert len(client.detect(file).faces) == 1
    assert len({len(request.content) for request in road.sent}) == 1


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_that_may_mean_something_else_is_refused(array: Any) -> None:
    with pytest.raises(ValueError, match=r"an array must be uint8\[height, width, 3\] in RGB"):
        read_image(array)


@pytest.mark.parametrize("thing", [3, None, object(), {"image": b""}])
def test_what_is_no_image_is_refused_by_name(thing: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(thing).__name__} is no image"):
        read_image(thing)


def test_a_file_of_text_is_refused() -> None:
    with pytest.raises(TypeError, match="open it for reading bytes"):
        read_image(io.StringIO("text"))  # type: ignore[arg-type]  # what is tried


def test_a_file_that_is_not_there_is_no_request(by_road: ByRoad, tmp_path: Path) -> None:
    client, road = by_road()
    with pytest.raises(FileNotFoundError):
        client.detect(tmp_path / "nothing.jpg")
    assert road.sent == []


def test_without_pillow_all_but_pictures_and_arrays_are_sent(
    monkeypatch: pytest.MonkeyPatch, photo: Path
) -> None:
    picture = Image.open(photo)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert read_image(photo) == photo.read_bytes()
    for each in (picture, np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(ImportError, match=r"pip install 'rollcall-client\[images\]'"):
            read_image(each)
    picture.close()
