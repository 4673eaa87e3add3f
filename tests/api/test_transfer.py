"""A collection is taken elsewhere whole, and embeddings of another model are searched."""

import base64
import json
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from tests.api.test_collections_and_persons import enroll
from tests.api.test_moving import found


def exported(client: httpx.Client, collection: str) -> dict[str, list[Any]]:
    answer = client.get(f"/collections/{collection}/export")
    assert answer.status_code == 200, answer.text
    lines: dict[str, list[Any]] = {"collection": [], "person": [], "face": [], "end": []}
    for line in answer.text.splitlines():
        [(kind, content)] = json.loads(line).items()
        lines[kind].append(content)
    return lines


def imported(client: httpx.Client, collection: str, **part: Any) -> httpx.Response:
    return client.post(f"/collections/{collection}/import", json=part)


def vectors(rows: int, dimension: int, seed: int = 0) -> Any:
    raw = np.random.default_rng(seed).normal(size=(rows, dimension))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype("<f4")


def lines_of(rows: Any) -> dict[str, Any]:
    """Persons with a template each."""
    ids = [str(uuid4()) for _ in rows]
    return {
        "persons": [{"id": each, "name": f"Person {n}"} for n, each in enumerate(ids)],
        "faces": [
            {
                "id": str(uuid4()),
                "person_id": each,
                "template": base64.b64encode(row.tobytes()).decode(),
            }
            for each, row in zip(ids, rows, strict=True)
        ],
    }


def test_what_is_exported_and_taken_in_again_is_the_same_to_the_last_bit(
    client: httpx.Client, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    first = enroll(
        client,
        collection,
        hanks,
        name="Tom",
        external_id="t",
        metadata='{"a": [1, "é"]}',
        consent="file 7",
        expires_at="2090-01-01T00:00:00Z",
        references="tom.jpg",
    )
    enroll(client, collection, astronaut)
    lines = exported(client, collection)
    [head], [end] = lines["collection"], lines["end"]
    assert (head["persons"], head["faces"], head["templates"]) == (2, 2, 2)
    assert end == {"persons": 2, "faces": 2}
    before = client.get(f"/collections/{collection}/audit").json()
    assert head["checksum"] == before["index"]["checksum"]
    answers = [found(client, collection, 2, photo=photo) for photo in (hanks, astronaut)]
    faces = client.get(f"/collections/{collection}/faces").json()["faces"]

    assert client.delete(f"/collections/{collection}").status_code == 200
    part = {"model": head["model"], "persons": lines["person"], "faces": lines["face"]}
    taken = imported(client, collection, **part)
    assert taken.status_code == 200, taken.text
    assert (taken.json()["persons"], taken.json()["faces"]) == (2, 2)
    after = client.get(f"/collections/{collection}/audit").json()
    assert after["equal"]
    assert after["database"] == before["database"]
    assert [found(client, collection, 1, photo=p) for p in (hanks, astronaut)] == answers
    assert client.get(f"/collections/{collection}/faces").json()["faces"] == faces
    assert client.get(f"/persons/{first['person']['id']}").json()["consent"] == "file 7"
    assert exported(client, collection)["face"] == lines["face"]
    # Again: nothing is doubled, nothing is counted.
    again = imported(client, collection, **part).json()
    assert (again["persons"], again["faces"], again["revision"]) == (0, 0, 1)


def test_ids_that_are_elsewhere_are_refused(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    enroll(client, collection, hanks)
    lines = exported(client, collection)
    model = lines["collection"][0]["model"]
    for part in (
        {"persons": lines["person"]},
        {"persons": [{"id": str(uuid4())}], "faces": lines["face"]},
    ):
        answer = imported(client, f"{collection}-2", model=model, **part)
        assert answer.status_code == 409, answer.text
        assert answer.json()["code"] == "id_taken"
    assert client.get(f"/collections/{collection}-2").status_code == 404


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda face: face.update(template="AAAA"), "template_invalid"),
        (lambda face: face.update(template="%"), "invalid_request"),
        (
            lambda face: face.update(
                template=base64.b64encode(np.ones(8, "<f4").tobytes()).decode()
            ),
            "template_invalid",
        ),
        (
            lambda face: face.update(
                template=base64.b64encode(vectors(1, 16)[0].tobytes()).decode()
            ),
            "template_invalid",
        ),
        (lambda face: face.update(person_id=str(uuid4())), "person_not_found"),
    ],
    ids=["no numbers", "no base64", "not of length one", "another dimension", "nobody's"],
)
def test_a_part_with_a_wrong_face_is_refused_whole(
    client: httpx.Client, collection: str, spoil: Any, code: str
) -> None:
    good = lines_of(vectors(1, 8))
    assert imported(client, collection, model="external:mine", **good).status_code == 200
    bad = lines_of(vectors(2, 8, seed=1))
    spoil(bad["faces"][1])
    answer = imported(client, collection, model="external:mine", **bad)
    assert answer.json()["code"] == code
    assert answer.status_code in (404, 422)
    told = client.get(f"/collections/{collection}").json()
    assert (told["person_count"], told["revision"]) == (1, 1)


def test_embeddings_of_a_model_of_ones_own_are_searched_and_kept_apart(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    rows = vectors(5, 24)
    part = lines_of(rows)
    taken = imported(client, collection, model="external:mine", **part)
    assert taken.status_code == 200, taken.text
    probes = vectors(3, 24, seed=7)
    wish = {
        "collection": collection,
        "model": "external:mine",
        "threshold": -1,
        "top_k": 5,
        "min_revision": 1,
    }
    answer = client.post("/search", json={**wish, "embeddings": (probes * 3).tolist()}).json()
    similarities = probes.astype(np.float64) @ rows.astype(np.float64).T
    for result, expected in zip(answer["results"], similarities, strict=True):
        names = [one["person"]["name"] for one in result["candidates"]]
        assert names == [f"Person {n}" for n in np.argsort(-expected)]
        offered = [one["similarity"] for one in result["candidates"]]
        assert offered == pytest.approx(sorted(expected, reverse=True), abs=1e-4)
    for spoil, code in (
        ({"model": "external:other"}, "model_mismatch"),
        ({"embeddings": [[1.0, 0.0]]}, "embedding_invalid"),
        ({"embeddings": [[0.0] * 24]}, "embedding_invalid"),
        ({"embeddings": [[1.0], [1.0, 2.0]]}, "invalid_request"),
        ({"target_fpir": 0.01, "threshold": None}, "target_unsupported"),
    ):
        refused = client.post("/search", json={**wish, "embeddings": probes.tolist(), **spoil})
        assert refused.json()["code"] == code, spoil
    photo = client.post("/identify", files={"image": hanks}, data={"collection": collection})
    assert (photo.status_code, photo.json()["code"]) == (409, "model_not_loaded")
    native = client.post("/enroll", files={"images": hanks}, data={"collection": collection})
    assert (native.status_code, native.json()["code"]) == (409, "model_not_loaded")


def test_an_empty_collection_has_nothing_to_export(client: httpx.Client, collection: str) -> None:
    client.post("/collections", json={"name": collection})
    answer = client.get(f"/collections/{collection}/export")
    assert (answer.status_code, answer.json()["code"]) == (422, "nothing_to_export")
    assert client.get(f"/collections/{collection}-none/export").status_code == 404
