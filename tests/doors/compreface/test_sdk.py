"""Scripts as tutorials have them, with the real SDK: nothing but host, port and key is ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import compreface
import pytest

from tests.service import Service

# The SDK leaves the files open that it sends.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def connected(house: Service, key: Callable[..., str]) -> tuple[Any, str]:
    """The SDK's own beginning, and a key."""
    domain, port = house.url.rsplit(":", 1)
    return compreface.CompreFace(domain, port), key()


@pytest.fixture
def photos(tmp_path: Path, hanks: bytes, astronaut: bytes, group: bytes) -> Path:
    for name, picture in (("hanks", hanks), ("collins", astronaut), ("group", group)):
        (tmp_path / f"{name}.jpg").write_bytes(picture)
    return tmp_path


def test_a_tutorial_of_recognition_runs_as_it_is(connected: Any, photos: Path) -> None:
    compre_face, api_key = connected
    recognition = compre_face.init_face_recognition(api_key)
    face_collection = recognition.get_face_collection()
    subjects = recognition.get_subjects()

    added = face_collection.add(image_path=str(photos / "hanks.jpg"), subject="Tom Hanks")
    assert UUID(added["image_id"]) and added["subject"] == "Tom Hanks"
    face_collection.add(image_path=str(photos / "collins.jpg"), subject="Eileen Collins")
    assert subjects.list() == {"subjects": ["Tom Hanks", "Eileen Collins"]}

    recognized = recognition.recognize(image_path=str(photos / "hanks.jpg"))
    [face] = recognized["result"]
    assert face["subjects"][0]["subject"] == "Tom Hanks"
    assert face["subjects"][0]["similarity"] > 0.99
    assert 0 < face["box"]["x_min"] < face["box"]["x_max"]
    assert 0 < face["box"]["y_min"] < face["box"]["y_max"]

    listed = face_collection.list()
    assert {one["subject"] for one in listed["faces"]} == {"Tom Hanks", "Eileen Collins"}
    assert (listed["total_elements"], listed["total_pages"]) == (2, 1)

    verified = face_collection.verify(
        image_path=str(photos / "collins.jpg"), image_id=added["image_id"]
    )
    assert verified["result"][0]["similarity"] < 0.5

    assert face_collection.delete(added["image_id"]) == added
    assert face_collection.delete_all("Eileen Collins") == {"deleted": 1}
    assert face_collection.list()["faces"] == []
    assert subjects.delete_all() == {"deleted": 2}
    assert subjects.list() == {"subjects": []}


def test_options_of_the_sdk_are_heard(connected: Any, photos: Path) -> None:
    compre_face, api_key = connected
    recognition = compre_face.init_face_recognition(api_key)
    for name in ("hanks", "collins"):
        recognition.get_face_collection().add(str(photos / f"{name}.jpg"), name)
    found = recognition.recognize(
        image_path=str(photos / "group.jpg"),
        options={
            "limit": 2,
            "det_prob_threshold": 0.5,
            "prediction_count": 2,
            "face_plugins": "calculator,age,gender,landmarks,mask",
            "status": "true",
        },
    )
    assert len(found["result"]) == 2
    for face in found["result"]:
        assert {one["subject"] for one in face["subjects"]} == {"hanks", "collins"}
        assert len(face["landmarks"]) == 5
        assert len(face["embedding"]) == 32
        assert face["execution_time"]["detector"] > 0
        assert "age" not in face
    assert set(found["plugins_versions"]) == {"detector", "calculator"}


def test_subjects_are_added_renamed_merged_and_deleted(connected: Any, photos: Path) -> None:
    compre_face, api_key = connected
    recognition = compre_face.init_face_recognition(api_key)
    subjects, faces = recognition.get_subjects(), recognition.get_face_collection()
    assert subjects.add("a b") == {"subject": "a b"}
    assert subjects.add("a b")["code"] == 43
    faces.add(str(photos / "hanks.jpg"), "old")
    assert subjects.update("old", "new") == {"updated": True}
    assert subjects.list() == {"subjects": ["a b", "new"]}
    assert subjects.update("new", "a b") == {"updated": True}
    assert subjects.list() == {"subjects": ["a b"]}
    assert [one["subject"] for one in faces.list()["faces"]] == ["a b"]
    assert subjects.update("nobody", "x")["code"] == 42
    assert subjects.delete("a b") == {"subject": "a b"}
    assert faces.list()["total_elements"] == 0


def test_detection_and_verification_are_services_too(connected: Any, photos: Path) -> None:
    compre_face, api_key = connected
    detection = compre_face.init_face_detection(api_key)
    found = detection.detect(str(photos / "group.jpg"), options={"face_plugins": "landmarks"})
    assert len(found["result"]) == 6
    verification = compre_face.init_face_verification(api_key)
    [same] = verification.verify(str(photos / "hanks.jpg"), str(photos / "hanks.jpg"))["result"]
    assert same["source_image_face"]["box"] == same["face_matches"][0]["box"]
    assert same["face_matches"][0]["similarity"] > 0.99
    [other] = verification.verify(str(photos / "hanks.jpg"), str(photos / "group.jpg"))["result"]
    assert len(other["face_matches"]) == 6
    assert max(face["similarity"] for face in other["face_matches"]) < 0.5


def test_what_goes_wrong_comes_as_message_and_code(
    connected: Any, photos: Path, faceless: bytes
) -> None:
    compre_face, api_key = connected
    recognition = compre_face.init_face_recognition(api_key)
    faces = recognition.get_face_collection()
    assert faces.add(faceless, "x")["code"] == 28
    assert faces.add(str(photos / "group.jpg"), "x")["code"] == 31
    assert faces.add(b"no picture", "x")["code"] == 21
    assert faces.delete(str(uuid4()))["code"] == 44
    assert faces.delete_all("nobody")["code"] == 42
    assert recognition.get_subjects().list() == {"subjects": []}
    stranger = compre_face.init_face_recognition(str(uuid4()))
    assert stranger.recognize(str(photos / "hanks.jpg"))["code"] == 10
