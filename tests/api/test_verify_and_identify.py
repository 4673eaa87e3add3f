"""POST /verify, /identify and /detect."""

import base64
from typing import Any
from uuid import uuid4

import httpx
import pytest


def enroll(client: httpx.Client, collection: str, image: bytes, **fields: str) -> Any:
    answer = client.post(
        "/enroll", files={"images": image}, data={"collection": collection, **fields}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_photo_verifies_against_itself_and_not_against_another(
    client: httpx.Client, hanks: bytes, astronaut: bytes
) -> None:
    same = client.post("/verify", files={"source": hanks, "target": hanks}).json()
    assert same["verified"] is True
    assert same["similarity"] == pytest.approx(1, abs=1e-3)
    assert same["threshold_source"] == "default"
    assert same["matched_face_id"] is None
    other = client.post(
        "/verify", files={"source": hanks, "target": astronaut}, data={"threshold": "0.99"}
    ).json()
    assert other["verified"] is False
    assert (other["threshold"], other["threshold_source"]) == (0.99, "request")


def test_a_photo_verifies_against_an_enrolled_person(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    enrolled = enroll(client, collection, hanks)
    person = enrolled["person"]["id"]
    fields = {"person_id": person, "collection": collection, "threshold": "0.9"}
    same = client.post("/verify", files={"image": hanks}, data=fields).json()
    assert same["verified"] is True
    assert same["matched_face_id"] == enrolled["faces"][0]["id"]
    assert same["target_face"] is None
    other = client.post("/verify", files={"image": astronaut}, data=fields).json()
    assert other["verified"] is False
    gone = client.post(
        "/verify", files={"image": hanks}, data={**fields, "collection": f"{collection}-b"}
    )
    assert gone.json()["code"] == "collection_not_found"


def test_a_person_without_faces_cannot_be_compared(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    enrolled = enroll(client, collection, hanks)
    client.delete(f"/faces/{enrolled['faces'][0]['id']}")
    answer = client.post(
        "/verify",
        files={"image": hanks},
        data={"person_id": enrolled["person"]["id"], "collection": collection},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "person_without_faces")


@pytest.mark.parametrize(
    "parts", [(), ("source",), ("source", "target", "image"), ("image",), ("source", "image")]
)
def test_verify_needs_exactly_two_sides(
    client: httpx.Client, hanks: bytes, parts: tuple[str, ...]
) -> None:
    files = {part: hanks for part in parts} or {"nothing": hanks}
    answer = client.post("/verify", files=files)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_the_image_without_a_face_is_named(
    client: httpx.Client, hanks: bytes, faceless: bytes
) -> None:
    answer = client.post("/verify", files={"source": hanks, "target": faceless})
    assert (answer.status_code, answer.json()["code"]) == (422, "face_not_found")
    assert answer.json()["image"] == "target"


def test_nobody_is_an_answer(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    enroll(client, collection, hanks)
    answer = client.post(
        "/identify",
        files={"image": astronaut},
        data={"collection": collection, "threshold": "0.99"},
    )
    assert answer.status_code == 200
    [face] = answer.json()["faces"]
    assert face["identified"] is False
    assert face["candidates"] == []


def test_an_empty_collection_identifies_nobody(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    assert client.post("/collections", json={"name": collection}).status_code == 201
    answer = client.post("/identify", files={"image": hanks}, data={"collection": collection})
    assert answer.status_code == 200
    assert answer.json()["gallery_size"] == 0
    assert answer.json()["faces"][0]["identified"] is False


def test_every_face_of_a_group_is_searched_when_asked(
    client: httpx.Client, collection: str, group: bytes
) -> None:
    enroll(client, collection, group, face="largest")
    fields = {"collection": collection, "threshold": "0.9"}
    all_faces = client.post(
        "/identify", files={"image": group}, data={**fields, "max_faces": "0"}
    ).json()["faces"]
    assert len(all_faces) == 6
    areas = [face["bounding_box"]["width"] * face["bounding_box"]["height"] for face in all_faces]
    assert areas == sorted(areas, reverse=True)
    [found] = all_faces[0]["candidates"]
    [one] = client.post("/identify", files={"image": group}, data=fields).json()["faces"]
    # Enrolled by the same look, so it is the same crop; for every face a closer look was taken.
    assert one["candidates"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert one["candidates"][0]["person"] == found["person"]
    for side, length in one["bounding_box"].items():
        assert length == pytest.approx(all_faces[0]["bounding_box"][side], abs=10)


def test_candidates_are_persons_best_first(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes, group: bytes
) -> None:
    persons = [
        enroll(client, collection, image, face="largest")["person"]["id"]
        for image in (hanks, astronaut, group)
    ]
    found = client.post(
        "/identify",
        files={"image": astronaut},
        data={"collection": collection, "threshold": "-1", "top_k": "3"},
    ).json()["faces"][0]["candidates"]
    assert {one["person"]["id"] for one in found} == set(persons)
    assert found[0]["person"]["id"] == persons[1]
    assert [one["rank"] for one in found] == [1, 2, 3]
    similarities = [one["similarity"] for one in found]
    assert similarities == sorted(similarities, reverse=True)


def test_a_revision_that_does_not_come_is_refused_in_time(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    enroll(client, collection, hanks)
    answer = client.post(
        "/identify", files={"image": hanks}, data={"collection": collection, "min_revision": "99"}
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "revision_not_reached")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_target_needs_a_calibration(client: httpx.Client, collection: str, hanks: bytes) -> None:
    enroll(client, collection, hanks)
    for path, files, aim in (
        ("/verify", {"source": hanks, "target": hanks}, {"target_fmr": "0.001"}),
        ("/identify", {"image": hanks}, {"target_fpir": "0.01", "collection": collection}),
    ):
        answer = client.post(path, files=files, data=aim)
        assert (answer.status_code, answer.json()["code"]) == (422, "target_unsupported")


def test_an_unknown_collection_is_not_found(client: httpx.Client, hanks: bytes) -> None:
    answer = client.post("/identify", files={"image": hanks}, data={"collection": "nobody-made-it"})
    assert (answer.status_code, answer.json()["code"]) == (404, "collection_not_found")


# -- among some persons, in several collections -------------------------------------------------


def test_nobody_but_the_persons_named_is_offered(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes, group: bytes
) -> None:
    persons = [
        enroll(client, collection, image, face="largest")["person"]["id"]
        for image in (hanks, astronaut, group)
    ]
    asked = {"collection": collection, "threshold": "-1"}
    for named, sent in (
        (persons[1:], persons[1:]),  # a field for each
        (persons[1:], ", ".join(persons[1:])),  # one field with commas
        (persons[:1], [persons[0], str(uuid4())]),  # one who is not there
        ([], str(uuid4())),
    ):
        answer = client.post(
            "/identify", files={"image": hanks}, data={**asked, "person_ids": sent}
        ).json()
        found = [one["person"]["id"] for one in answer["faces"][0]["candidates"]]
        assert sorted(found) == sorted(named)
        assert answer["gallery_size"] == len(named)
    as_json = {"image": base64.b64encode(hanks).decode(), "collection": collection}
    answer = client.post("/identify", json={**as_json, "threshold": -1, "person_ids": persons[2:]})
    [one] = answer.json()["faces"][0]["candidates"]
    assert one["person"]["id"] == persons[2]


def test_several_collections_are_searched_as_one(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes, group: bytes
) -> None:
    homes = {collection: hanks, f"{collection}-b": astronaut, f"{collection}-c": group}
    persons = {
        name: enroll(client, name, image, face="largest")["person"]["id"]
        for name, image in homes.items()
    }
    enroll(client, f"{collection}-c", group, person_id=persons[f"{collection}-c"], face="largest")
    client.post("/collections", json={"name": f"{collection}-empty"})
    asked = {"collections": [*homes, f"{collection}-empty"], "threshold": "-1"}
    answer = client.post("/identify", files={"image": astronaut}, data=asked).json()
    found = answer["faces"][0]["candidates"]
    assert {one["collection"]: one["person"]["id"] for one in found} == persons
    assert found[0]["collection"] == f"{collection}-b"
    assert found[0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert [one["rank"] for one in found] == [1, 2, 3]
    assert (answer["gallery_size"], answer["revision"]) == (4, None)
    assert answer["collections"] == [
        {"name": collection, "revision": 1, "gallery_size": 1},
        {"name": f"{collection}-b", "revision": 1, "gallery_size": 1},
        {"name": f"{collection}-c", "revision": 2, "gallery_size": 2},
        {"name": f"{collection}-empty", "revision": 0, "gallery_size": 0},
    ]
    few = {**asked, "top_k": "1", "person_ids": [persons[collection], persons[f"{collection}-c"]]}
    answer = client.post("/identify", files={"image": group}, data=few).json()
    assert [one["collection"] for one in answer["faces"][0]["candidates"]] == [f"{collection}-c"]
    assert answer["gallery_size"] == 3


def test_one_collection_in_a_list_is_that_collection(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    enroll(client, collection, hanks)
    asked = {"collections": collection, "min_revision": "1"}
    listed = client.post("/identify", files={"image": hanks}, data=asked).json()
    alone = client.post("/identify", files={"image": hanks}, data={"collection": collection}).json()
    assert {**listed, "request_id": ""} == {**alone, "request_id": ""}
    assert listed["revision"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"collection": "default", "collections": "default"},
        {"collections": ["a", "b", "a"]},
        {"collections": ["a", "b"], "min_revision": "1"},
        {"collections": ["a", "not a name"]},
        {"collections": ""},
        {"collections": ",".join(f"c-{number}" for number in range(101))},
        {"person_ids": ""},
        {"person_ids": "nobody"},
        {"person_ids": ",".join(["00000000-0000-4000-8000-000000000000"] * 10_001)},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_a_place_that_cannot_be_searched_is_refused(
    client: httpx.Client, hanks: bytes, fields: dict[str, Any]
) -> None:
    answer = client.post("/identify", files={"image": hanks}, data=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_one_unknown_collection_among_several_is_not_found(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    enroll(client, collection, hanks)
    asked = {"collections": [collection, "nobody-made-it"]}
    answer = client.post("/identify", files={"image": hanks}, data=asked)
    assert (answer.status_code, answer.json()["code"]) == (404, "collection_not_found")


def test_detect_finds_and_measures_and_keeps_nothing(client: httpx.Client, group: bytes) -> None:
    answer = client.post("/detect", files={"image": group})
    assert answer.status_code == 200
    faces = answer.json()["faces"]
    assert len(faces) == 6
    for face in faces:
        box, eye = face["bounding_box"], face["landmarks"]["left_eye"]
        assert box["x"] <= eye[0] <= box["x"] + box["width"]
        assert eye[0] < face["landmarks"]["right_eye"][0]
        assert set(face["quality"]) == {
            "face_size", "sharpness", "brightness", "yaw", "pitch", "roll", "detection_score",
        }  # fmt: skip


def test_a_picture_without_a_face_is_an_answer_of_detect(
    client: httpx.Client, faceless: bytes
) -> None:
    answer = client.post("/detect", files={"image": faceless})
    assert (answer.status_code, answer.json()["faces"]) == (200, [])


def test_answers_tell_their_id_and_their_time(client: httpx.Client, hanks: bytes) -> None:
    answer = client.post("/detect", files={"image": hanks}, headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine-1"
    timing = answer.headers["server-timing"]
    for stage in ("decode", "detect", "align", "total"):
        assert f"{stage};dur=" in timing
    hostile = client.get("/healthz", headers={"X-Request-ID": 'a" onclick='})
    assert hostile.headers["x-request-id"] != 'a" onclick='
