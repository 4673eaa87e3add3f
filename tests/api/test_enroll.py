"""POST /enroll: photos in, a person out, or a reason."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest


def enroll(client: httpx.Client, *images: bytes, **fields: str) -> httpx.Response:
    headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
    files = [("images", (f"{n}.jpg", image)) for n, image in enumerate(images)]
    return client.post("/enroll", files=files, data=fields, headers=headers)


def test_an_enrolled_person_is_found_by_the_next_request(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    enrolled = enroll(client, hanks, collection=collection, name="Tom", metadata='{"door": 3}')
    assert enrolled.status_code == 201
    person = enrolled.json()["person"]
    assert person["name"] == "Tom"
    assert person["metadata"] == {"door": 3}
    assert person["face_count"] == 1
    assert enrolled.json()["revision"] == 1

    answer = client.post(
        "/identify",
        files={"image": hanks},
        data={"collection": collection, "min_revision": enrolled.json()["revision"]},
    ).json()
    best = answer["faces"][0]["candidates"][0]
    assert best["person"] == {key: person[key] for key in ("id", "name", "external_id", "metadata")}
    assert best["similarity"] == pytest.approx(1, abs=1e-3)
    assert best["face_id"] == enrolled.json()["faces"][0]["id"]
    assert answer["gallery_size"] == 1


def test_json_with_base64_says_the_same_as_a_form(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    encoded = base64.b64encode(hanks).decode()
    body = {"collection": collection, "name": "Tom", "images": [encoded]}
    as_json = client.post("/enroll", json=body).json()
    as_form = enroll(client, hanks, collection=collection, name="Tom").json()
    for answer in (as_json, as_form):
        for face in answer["faces"]:
            face.pop("id")
    assert as_json["faces"] == as_form["faces"]
    as_data_url = client.post("/detect", json={"image": f"data:image/png;base64,{encoded}"})
    assert as_data_url.status_code == 200


def test_good_images_are_enrolled_and_bad_ones_listed_with_reasons(
    client: httpx.Client, collection: str, hanks: bytes, group: bytes, faceless: bytes
) -> None:
    answer = enroll(
        client, b"no image", hanks, group, faceless, hanks[:5000], collection=collection
    )
    assert answer.status_code == 201
    body = answer.json()
    assert [face["image_index"] for face in body["faces"]] == [1]
    assert {one["image_index"]: one["reasons"] for one in body["rejected"]} == {
        0: ["image_type_unsupported"],
        2: ["several_faces"],
        3: ["face_not_found"],
        4: ["image_broken"],
    }
    assert body["person"]["face_count"] == 1


def test_nothing_is_stored_when_no_image_can_be_enrolled(
    client: httpx.Client, collection: str, faceless: bytes
) -> None:
    answer = enroll(client, faceless, collection=collection)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "nothing_enrolled"
    assert problem["rejected"][0]["reasons"] == ["face_not_found"]
    assert client.get(f"/collections/{collection}").status_code == 404


def test_the_largest_face_of_a_group_is_enrolled_when_asked(
    client: httpx.Client, collection: str, group: bytes
) -> None:
    enrolled = enroll(client, group, collection=collection, face="largest").json()
    sizes = [
        face["bounding_box"]["width"] * face["bounding_box"]["height"]
        for face in client.post("/detect", files={"image": group}).json()["faces"]
    ]
    box = enrolled["faces"][0]["bounding_box"]
    # A coarse look found it: its box is a few pixels off, and two faces here are nearly as large.
    assert box["width"] * box["height"] == pytest.approx(max(sizes), rel=0.05)


def test_faces_are_added_to_a_person_that_is_known(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    person = enroll(client, hanks, collection=collection).json()["person"]
    again = enroll(client, hanks, hanks, collection=collection, person_id=person["id"])
    assert again.status_code == 201
    assert again.json()["person"]["face_count"] == 3
    assert again.json()["revision"] == 2
    answer = client.post("/identify", files={"image": hanks}, data={"collection": collection})
    assert len(answer.json()["faces"][0]["candidates"]) == 1, "a person takes one place"


def test_a_person_of_another_collection_is_not_found(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    person = enroll(client, hanks, collection=collection).json()["person"]
    answer = enroll(client, hanks, collection=f"{collection}-b", person_id=person["id"])
    assert answer.status_code == 404
    assert answer.json()["code"] == "person_not_found"
    assert client.get(f"/collections/{collection}-b").status_code == 404


def test_an_external_id_is_unique_in_its_collection(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    first = enroll(client, hanks, collection=collection, external_id="x1").json()["person"]
    answer = enroll(client, hanks, collection=collection, external_id="x1")
    assert answer.status_code == 409
    assert answer.json()["code"] == "external_id_taken"
    assert answer.json()["person_id"] == first["id"]
    elsewhere = enroll(client, hanks, collection=f"{collection}-b", external_id="x1")
    assert elsewhere.status_code == 201


def test_a_lookalike_is_flagged_or_refused_as_asked(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    first = enroll(client, hanks, collection=collection).json()
    assert first["duplicates"] == []
    flagged = enroll(client, hanks, collection=collection).json()
    assert [one["person_id"] for one in flagged["duplicates"]] == [first["person"]["id"]]
    refused = enroll(client, hanks, collection=collection, on_duplicate="reject")
    assert refused.status_code == 409
    assert refused.json()["code"] == "duplicate_person"
    allowed = enroll(client, hanks, collection=collection, on_duplicate="allow").json()
    assert allowed["duplicates"] == []
    assert client.get(f"/collections/{collection}").json()["person_count"] == 3


def test_of_two_like_enrolments_at_once_one_is_refused(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    def attempt(_: int) -> int:
        return enroll(client, hanks, collection=collection, on_duplicate="reject").status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(attempt, range(4)))
    assert statuses == [201, 409, 409, 409]


def test_a_key_replays_the_first_answer(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    key = uuid4().hex
    first = enroll(client, hanks, collection=collection, name="Tom", key=key)
    again = enroll(client, hanks, collection=collection, name="Tom", key=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert client.get(f"/collections/{collection}").json()["person_count"] == 1
    other = enroll(client, astronaut, collection=collection, name="Tom", key=key)
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"


def test_a_key_whose_request_failed_may_be_used_again(
    client: httpx.Client, collection: str, faceless: bytes
) -> None:
    key = uuid4().hex
    assert enroll(client, faceless, collection=collection, key=key).status_code == 422
    assert enroll(client, faceless, collection=collection, key=key).json()["code"] == (
        "nothing_enrolled"
    )


def test_sixty_four_concurrent_retries_make_one_person(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    key = uuid4().hex

    def attempt(_: int) -> tuple[int, str]:
        while True:
            answer = enroll(client, hanks, collection=collection, key=key)
            if answer.status_code == 201:
                return 201, answer.json()["person"]["id"]
            assert answer.status_code in (409, 503), answer.text
            time.sleep(int(answer.headers["retry-after"]))

    with ThreadPoolExecutor(64) as pool:
        answers = set(pool.map(attempt, range(64)))
    assert len(answers) == 1
    assert client.get(f"/collections/{collection}").json()["person_count"] == 1


def test_a_stored_answer_goes_with_its_person(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    key = uuid4().hex
    first = enroll(client, hanks, collection=collection, key=key).json()["person"]["id"]
    assert client.delete(f"/persons/{first}").status_code == 200
    second = enroll(client, hanks, collection=collection, key=key).json()["person"]["id"]
    assert second != first


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"colection": "x"}, "colection"),
        ({"collection": "no spaces"}, "collection"),
        ({"metadata": "[1]"}, "metadata"),
        ({"metadata": "{"}, "metadata"),
        ({"face": "best"}, "face"),
        ({"person_id": "7"}, "person_id"),
        ({"person_id": str(uuid4()), "name": "Tom"}, ""),
        ({"name": ""}, "name"),
    ],
)
def test_a_wrong_field_is_named(
    client: httpx.Client, hanks: bytes, fields: dict[str, str], named: str
) -> None:
    answer = enroll(client, hanks, **fields)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [named]


def test_no_images_and_too_many_are_refused(client: httpx.Client, collection: str) -> None:
    assert client.post("/enroll", json={"collection": collection, "images": []}).status_code == 422
    many = enroll(client, *[b"x"] * 17, collection=collection)
    assert many.status_code == 422
    assert "at most 16" in many.json()["detail"]
    assert client.post("/enroll", content=json.dumps([1])).status_code == 422
