"""Faces that lie with the wrong person, and persons that are one."""

import io
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image, ImageOps

from tests.api.test_collections_and_persons import enroll


def found(
    client: httpx.Client,
    collection: str,
    revision: int,
    *,
    photo: bytes | None = None,
    **subject: Any,
) -> Any:
    """Who is offered, best first, and by which face."""
    # A form needs a part that is sent as one; of a face's id that is the id itself.
    part = {"image": photo} if photo else {"face_id": (None, subject.pop("face_id"))}
    answer = client.post(
        "/identify",
        data={"collection": collection, "min_revision": revision, "threshold": -1, **subject},
        files=part,
    )
    assert answer.status_code == 200, answer.text
    [face] = answer.json()["faces"]
    return [(one["person"]["id"], one["face_id"]) for one in face["candidates"]]


def reversed_left_and_right(image: bytes) -> bytes:
    into = io.BytesIO()
    ImageOps.mirror(Image.open(io.BytesIO(image)).convert("RGB")).save(into, "PNG")
    return into.getvalue()


def test_merged_persons_are_one_with_all_their_faces(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    kept = enroll(client, collection, hanks, name="Kept", external_id="k", references="first")
    gone = enroll(client, collection, astronaut, name="Gone", metadata='{"a": 1}')
    merged = client.post(
        f"/persons/{kept['person']['id']}/merge", json={"person_ids": [gone["person"]["id"]]}
    )
    assert merged.status_code == 200, merged.text
    told = merged.json()
    assert told["person"] == {**kept["person"], "face_count": 2, "collection": collection}
    assert told["face_ids"] == [gone["faces"][0]["id"]]
    assert (told["merged"], told["revision"]) == (1, gone["revision"] + 1)
    assert client.get(f"/persons/{gone['person']['id']}").status_code == 404
    faces = client.get(f"/persons/{kept['person']['id']}/faces").json()["faces"]
    assert [face["reference"] for face in faces] == ["first", None]
    # The same template, another person's now.
    [(person, face)] = found(client, collection, told["revision"], photo=astronaut)
    assert (person, face) == (kept["person"]["id"], gone["faces"][0]["id"])
    assert client.get(f"/collections/{collection}/audit").json()["equal"]


def test_a_merge_is_refused_whole(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    one = enroll(client, collection, hanks)["person"]["id"]
    other = enroll(client, collection, astronaut)["person"]["id"]
    elsewhere = enroll(client, f"{collection}-2", hanks)["person"]["id"]
    for others, status, code in (
        ([other, str(uuid4())], 404, "person_not_found"),
        ([other, elsewhere], 404, "person_not_found"),
        ([one], 422, "invalid_request"),
        ([other, other], 422, "invalid_request"),
        ([], 422, "invalid_request"),
    ):
        answer = client.post(f"/persons/{one}/merge", json={"person_ids": others})
        assert (answer.status_code, answer.json()["code"]) == (status, code), others
    assert client.get(f"/persons/{other}").json()["face_count"] == 1
    assert client.get(f"/collections/{collection}").json()["revision"] == 2


def test_an_enrolment_that_is_repeated_after_its_person_was_merged_does_not_enrol_anew(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    kept = enroll(client, collection, hanks)["person"]["id"]
    request = {
        "files": {"images": astronaut},
        "data": {"collection": collection},
        "headers": {"Idempotency-Key": uuid4().hex},
    }
    first = client.post("/enroll", **request)
    gone = first.json()["person"]["id"]
    assert client.post(f"/persons/{kept}/merge", json={"person_ids": [gone]}).status_code == 200
    assert client.post("/enroll", **request).json() == first.json()
    assert client.get(f"/collections/{collection}").json()["face_count"] == 2


def test_a_face_that_is_moved_belongs_to_the_other(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    left = enroll(client, collection, astronaut)
    right = enroll(client, collection, hanks)["person"]["id"]
    face = left["faces"][0]["id"]
    moved = client.post(f"/persons/{right}/faces", json={"face_ids": [face]}).json()
    assert (moved["person"]["face_count"], moved["merged"]) == (2, 0)
    assert found(client, collection, moved["revision"], photo=astronaut) == [(right, face)]
    assert client.get(f"/persons/{left['person']['id']}").json()["face_count"] == 0
    told = client.get(f"/faces/{face}").json()
    assert (told["person_id"], told["collection"]) == (right, collection)
    assert client.get(f"/collections/{collection}/audit").json()["equal"]
    missing = client.post(f"/persons/{right}/faces", json={"face_ids": [face, str(uuid4())]})
    assert (missing.status_code, missing.json()["code"]) == (404, "enrolled_face_not_found")


def test_the_faces_of_a_collection_come_in_pages_with_their_references(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    made = [enroll(client, collection, hanks, references=f"photo {n}.jpg") for n in range(3)]
    path = f"/collections/{collection}/faces"
    page = client.get(path, params={"limit": 2}).json()
    rest = client.get(path, params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert rest["next_cursor"] is None
    seen = [(f["id"], f["person_id"], f["reference"]) for f in page["faces"] + rest["faces"]]
    assert seen == [
        (one["faces"][0]["id"], one["person"]["id"], f"photo {n}.jpg") for n, one in enumerate(made)
    ]


def test_references_are_as_many_as_images(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    answer = client.post(
        "/enroll",
        files={"images": hanks},
        data={"collection": collection, "references": ["one", "two"]},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "2 came for 1" in answer.json()["detail"]


@pytest.mark.parametrize("top_k", [1, 5])
def test_an_enrolled_face_finds_others_and_not_itself(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes, top_k: int
) -> None:
    first = enroll(client, collection, hanks)
    face, person = first["faces"][0]["id"], first["person"]["id"]
    alone = found(client, collection, first["revision"], face_id=face, top_k=top_k)
    assert alone == []
    like = enroll(client, collection, reversed_left_and_right(hanks), on_duplicate="allow")
    other = enroll(client, collection, astronaut)
    seen = found(client, collection, other["revision"], face_id=face, top_k=top_k)
    expected = [(one["person"]["id"], one["faces"][0]["id"]) for one in (like, other)]
    assert sorted(seen) == sorted(expected) if top_k > 1 else seen[0] in expected
    # By another face of the same person it finds that person.
    moved = client.post(f"/persons/{person}/faces", json={"face_ids": [like["faces"][0]["id"]]})
    revision = moved.json()["revision"]
    again = found(client, collection, revision, face_id=face, top_k=5)
    assert (person, like["faces"][0]["id"]) in again
    assert face not in [one for _, one in again]
    unknown = client.post("/identify", json={"collection": collection, "face_id": str(uuid4())})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "enrolled_face_not_found")
    both = client.post(
        "/identify", files={"image": hanks}, data={"collection": collection, "face_id": face}
    )
    assert both.status_code == 422
