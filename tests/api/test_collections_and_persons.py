"""Collections, persons and faces: made, listed, edited and erased."""

import json
from typing import Any

import httpx
import pytest


def enroll(client: httpx.Client, collection: str, image: bytes, **fields: str) -> Any:
    answer = client.post(
        "/enroll", files={"images": image}, data={"collection": collection, **fields}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def gallery_size(client: httpx.Client, collection: str, image: bytes) -> int:
    answer = client.post("/identify", files={"image": image}, data={"collection": collection})
    return int(answer.json()["gallery_size"])


def test_a_collection_is_made_once(client: httpx.Client, collection: str) -> None:
    made = client.post("/collections", json={"name": collection})
    assert made.status_code == 201
    assert made.json()["person_count"] == 0
    assert made.json()["model"] is None
    again = client.post("/collections", json={"name": collection})
    assert (again.status_code, again.json()["code"]) == (409, "collection_exists")


def test_a_collection_tells_its_counts_model_and_revision(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    enrolled = enroll(client, collection, hanks)
    told = client.get(f"/collections/{collection}").json()
    assert (told["person_count"], told["face_count"], told["revision"]) == (1, 1, 1)
    assert told["model"] == enrolled["model"]
    assert told["created_at"].endswith("Z")


def test_collections_are_listed_in_pages_by_name(client: httpx.Client, collection: str) -> None:
    names = [f"{collection}-{letter}" for letter in "abc"]
    for name in names:
        client.post("/collections", json={"name": name})
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/collections", params={"cursor": cursor, "limit": 2}).json()
        seen += [one["name"] for one in page["collections"]]
        cursor = page["next_cursor"]
    assert [name for name in seen if name.startswith(collection)] == names
    assert len(seen) == len(set(seen))


def test_persons_are_listed_in_pages_in_order_of_enrolment(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    made = [
        enroll(client, collection, hanks, external_id=f"x{n}", name=f"Name {n}")["person"]
        for n in range(5)
    ]
    seen: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(
            f"/collections/{collection}/persons", params={"cursor": cursor, "limit": 2}
        ).json()
        seen += page["persons"]
        cursor = page["next_cursor"]
    assert seen == made
    by_id = client.get(f"/collections/{collection}/persons", params={"external_id": "x3"}).json()
    assert by_id["persons"] == [made[3]]
    by_name = client.get(f"/collections/{collection}/persons", params={"name": "nAME 4"}).json()
    assert by_name["persons"] == [made[4]]
    wild = client.get(f"/collections/{collection}/persons", params={"name": "%"}).json()
    assert wild["persons"] == []
    bad = client.get(f"/collections/{collection}/persons", params={"cursor": "x"})
    assert bad.status_code == 422


def test_a_person_is_edited_field_by_field(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    person = enroll(client, collection, hanks, name="Tom", external_id="x1")["person"]
    enroll(client, collection, hanks, external_id="x2")
    path = f"/persons/{person['id']}"
    assert client.patch(path, json={"name": "Thomas"}).json()["external_id"] == "x1"
    changed = client.patch(path, json={"external_id": None, "metadata": {"a": [1]}}).json()
    assert (changed["name"], changed["external_id"], changed["metadata"]) == (
        "Thomas", None, {"a": [1]},
    )  # fmt: skip
    assert client.get(path).json()["metadata"] == {"a": [1]}
    taken = client.patch(path, json={"external_id": "x2"})
    assert (taken.status_code, taken.json()["code"]) == (409, "external_id_taken")
    assert client.patch(path, json={"nmae": "x"}).status_code == 422
    assert client.patch(path, json={"metadata": None}).status_code == 422


@pytest.mark.parametrize(
    "patch",
    [
        '{"name": "a\\u0000b"}',
        '{"name": "\\ud800"}',
        '{"metadata": {"a": "\\u0000"}}',
        '{"metadata": {"\\ud800": 1}}',
        '{"metadata": {"a": NaN}}',
        '{"metadata": {"a": ' + "[" * 800 + "]" * 800 + "}}",
        "[" * 100_000,
        "{",
        '{"metadata": {"a": 1e999}}',
        '{"metadata": {"a": "' + "x" * 70_000 + '"}}',
    ],
    ids=lambda text: text[:28],
)
def test_text_that_cannot_be_stored_is_refused(
    client: httpx.Client, collection: str, hanks: bytes, patch: str
) -> None:
    person = enroll(client, collection, hanks, name="Tom")["person"]
    answer = client.patch(
        f"/persons/{person['id']}", content=patch, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert client.get(f"/persons/{person['id']}").json()["name"] == "Tom"
    query = {"name": "a\0b"}
    assert client.get(f"/collections/{collection}/persons", params=query).status_code == 422
    assert client.get("/collections", params={"cursor": "\0"}).status_code == 422


def test_text_that_only_looks_odd_is_stored_as_it_is(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    odd = {"a": r"\u0000 \x00", "<img onerror=x>": "\u202eabc", "n": [1.5, None, True, "🙂"]}
    person = enroll(client, collection, hanks, name="Ünï 🙂 \u202e", metadata=json.dumps(odd))[
        "person"
    ]
    assert client.get(f"/persons/{person['id']}").json()["metadata"] == odd


def test_an_erased_person_is_gone_everywhere(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    person = enroll(client, collection, hanks)["person"]["id"]
    enroll(client, collection, astronaut)
    erased = client.delete(f"/persons/{person}").json()
    assert (erased["faces"], erased["revision"]) == (1, 3)
    assert client.get(f"/persons/{person}").status_code == 404
    assert client.get(f"/persons/{person}/faces").status_code == 404
    assert client.delete(f"/persons/{person}").status_code == 404
    assert gallery_size(client, collection, hanks) == 1
    answer = client.post(
        "/identify", files={"image": hanks}, data={"collection": collection, "threshold": "-1"}
    ).json()
    assert person not in str(answer)


def test_an_erased_face_leaves_its_person(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    person = enroll(client, collection, hanks)["person"]["id"]
    enroll(client, collection, astronaut, person_id=person)
    faces = client.get(f"/persons/{person}/faces").json()["faces"]
    assert len(faces) == 2
    assert client.delete(f"/faces/{faces[0]['id']}").status_code == 200
    assert client.get(f"/persons/{person}/faces").json()["faces"] == faces[1:]
    assert client.get(f"/persons/{person}").json()["face_count"] == 1
    again = client.delete(f"/faces/{faces[0]['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "enrolled_face_not_found")
    assert gallery_size(client, collection, hanks) == 1


def test_an_erased_collection_can_be_made_again_and_is_empty(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    person = enroll(client, collection, hanks)["person"]["id"]
    erased = client.delete(f"/collections/{collection}").json()
    assert (erased["persons"], erased["faces"]) == (1, 1)
    assert client.get(f"/collections/{collection}").status_code == 404
    assert client.get(f"/persons/{person}").status_code == 404
    identified = client.post("/identify", files={"image": hanks}, data={"collection": collection})
    assert identified.status_code == 404
    assert enroll(client, collection, hanks)["revision"] == 1
    assert gallery_size(client, collection, hanks) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/collections/none-such",
        "/collections/none-such/persons",
        "/persons/00000000-0000-0000-0000-000000000000",
        "/persons/00000000-0000-0000-0000-000000000000/faces",
    ],
)
def test_what_is_not_there_is_a_404_with_a_code(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"].endswith("_not_found")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
