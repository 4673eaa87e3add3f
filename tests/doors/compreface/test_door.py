"""The door itself: who may come in, what is said in which words, and what the house keeps to."""

import base64
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image

from app.doors.compreface import similarity
from app.types import SCOPES
from app.vision.calibration import read_calibration
from app.vision.pack import read_pack
from tests.doors.compreface.conftest import EVERY
from tests.service import Service
from tests.tiny_pack import write_tiny_calibration, write_tiny_pack
from tests.waiting import wait_until

Visitor = Callable[..., httpx.Client]

NOBODY = "00000000-0000-0000-0000-000000000000"


def operations(picture: bytes) -> dict[tuple[str, str], tuple[set[str], dict[str, Any]]]:
    """By method and path: the scopes it takes, and how it is asked."""
    photo = {"files": {"file": ("a.jpg", picture)}}
    two = {"files": {"source_image": ("a.jpg", picture), "target_image": ("b.jpg", picture)}}
    name = {"json": {"subject": "x"}}
    faces, vectors = "/recognition/faces", "?face_plugins=calculator"
    return {
        ("get", "/recognition/subjects"): ({"read"}, {}),
        ("get", "/recognition/subjects/"): ({"read"}, {}),
        ("post", "/recognition/subjects"): ({"enroll"}, name),
        ("put", "/recognition/subjects/nobody"): ({"enroll"}, name),
        ("delete", "/recognition/subjects/nobody"): ({"delete"}, {}),
        ("delete", "/recognition/subjects"): ({"delete"}, {}),
        ("get", faces): ({"read"}, {}),
        ("post", f"{faces}?subject=y"): ({"enroll"}, photo),
        ("delete", f"{faces}?subject=nobody"): ({"delete"}, {}),
        ("post", f"{faces}/delete"): ({"delete"}, {"json": []}),
        ("delete", f"{faces}/{NOBODY}"): ({"delete"}, {}),
        ("get", f"{faces}/{NOBODY}/img"): ({"read"}, {}),
        ("post", f"{faces}/{NOBODY}/verify"): ({"verify"}, photo),
        ("post", "/recognition/recognize"): ({"identify"}, photo),
        ("post", f"/recognition/recognize{vectors}"): ({"identify", "embeddings"}, photo),
        ("post", "/recognition/embeddings/recognize"): (
            {"identify"},
            {"json": {"embeddings": [[1.0] * 32]}},
        ),
        ("post", "/detection/detect"): ({"identify"}, photo),
        ("post", f"/detection/detect{vectors}"): ({"identify", "embeddings"}, photo),
        ("post", "/verification/verify"): ({"verify"}, two),
        ("post", f"/verification/verify{vectors}"): ({"verify", "embeddings"}, two),
    }


def add(client: httpx.Client, subject: str, picture: bytes) -> str:
    answer = client.post(
        "/recognition/faces", params={"subject": subject}, files={"file": ("a.jpg", picture)}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["image_id"])


def subjects(client: httpx.Client) -> list[str]:
    return list(client.get("/recognition/subjects").json()["subjects"])


def said(answer: httpx.Response) -> tuple[int, int]:
    """Status and number of an error, which is said in no other shape."""
    assert set(answer.json()) == {"message", "code"}, answer.text
    assert answer.json()["message"]
    return answer.status_code, answer.json()["code"]


# -- who may come in -----------------------------------------------------------------------------


def test_the_door_is_shut_unless_a_setting_opens_it(client: httpx.Client) -> None:
    for path in ("/recognition/subjects", "/recognition/faces", "/nothing"):
        answer = client.get(f"/api/v1{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert client.post("/api/v1/detection/detect", content=b"x" * 2_000_000).status_code == 413


def test_every_operation_takes_its_scopes_and_no_others(visitor: Visitor, hanks: bytes) -> None:
    least = {scope: visitor(scope) for scope in SCOPES if scope not in ("admin", "metrics")}
    for (method, path), (scopes, given) in operations(hanks).items():
        for scope, caller in least.items():
            answer = caller.request(method, path, **given)
            if {scope} == scopes:
                assert answer.status_code not in (401, 403), (method, path, answer.text)
            else:
                assert said(answer) == (403, 1), (method, path, scope, answer.text)
        if len(scopes) > 1:
            answer = visitor(*scopes).request(method, path, **given)
            assert answer.status_code not in (401, 403), (method, path, answer.text)


def test_without_a_good_key_every_operation_is_refused_unread(
    house: Service, key: Callable[..., str], hanks: bytes
) -> None:
    good = key()
    with httpx.Client(base_url=f"{house.url}/api/v1", timeout=60) as client:
        for method, path in operations(hanks):
            for wrong in (good[:-1] + "!", str(uuid4()), f"Bearer {good}", "x" * 5000):
                answer = client.request(
                    method, path, headers={"x-api-key": wrong}, content=b"not read"
                )
                assert said(answer) == (404, 10), (method, path)
                assert wrong not in answer.text
            assert said(client.request(method, path)) == (400, 20)
            bearer = {"Authorization": f"Bearer {good}"}
            assert said(client.request(method, path, headers=bearer)) == (400, 20)
    assert good.split("_", 2)[2] not in house.output()


def test_a_service_knows_its_own_collection_and_no_other(
    visitor: Visitor, admin: httpx.Client, hanks: bytes
) -> None:
    owner, stranger = visitor(), visitor()
    image_id = add(owner, "Tom", hanks)
    assert subjects(stranger) == []
    photo = {"files": {"file": ("a.jpg", hanks)}}
    found = stranger.post("/recognition/recognize", **photo).json()
    assert found["result"][0]["subjects"] == []
    for method, path, given in (
        ("delete", f"/recognition/faces/{image_id}", {}),
        ("get", f"/recognition/faces/{image_id}/img", {}),
        ("post", f"/recognition/faces/{image_id}/verify", photo),
    ):
        missing = stranger.request(method, path.replace(image_id, str(uuid4())), **given)
        assert said(stranger.request(method, path, **given)) == said(missing) == (404, 44)
    gone = stranger.post("/recognition/faces/delete", json=[image_id])
    assert (gone.status_code, gone.json()) == (200, [])
    assert said(stranger.delete("/recognition/subjects/Tom")) == (404, 42)
    assert subjects(owner) == ["Tom"]


def test_a_key_without_limits_or_with_several_collections_is_the_default_services(
    visitor: Visitor, hanks: bytes
) -> None:
    anywhere = visitor(collections=None)
    add(anywhere, "Tom", hanks)
    several = visitor(collections=["default", "z"])
    assert subjects(several) == subjects(anywhere) == ["Tom"]
    unclear = visitor(collections=["y", "z"])
    assert said(unclear.get("/recognition/subjects")) == (400, 36)


def test_a_service_of_this_machine_alone_that_asks_for_no_keys_takes_an_empty_one(
    serve: Callable[..., Service], hanks: bytes
) -> None:
    service = serve(ROLLCALL_DOORS='["compreface"]')
    with httpx.Client(base_url=f"{service.url}/api/v1", timeout=60) as client:
        add(client, "Tom", hanks)
        assert client.get("/recognition/subjects", headers={"x-api-key": ""}).json() == {
            "subjects": ["Tom"]
        }
        wrong = client.get("/recognition/subjects", headers={"x-api-key": "rc_wrong"})
        assert said(wrong) == (404, 10)
        page = client.get("/recognition/subjects", headers={"Origin": "http://elsewhere"})
        assert said(page) == (403, 0)


def test_limits_of_keys_hold(visitor: Visitor, hanks: bytes) -> None:
    hurried = visitor(*EVERY, requests_a_minute=1)
    assert hurried.get("/recognition/subjects").status_code == 200
    refused = hurried.get("/recognition/subjects")
    assert said(refused) == (429, 0)
    assert int(refused.headers["retry-after"]) >= 1


def test_pictures_cannot_be_tried_on_a_face_for_ever(
    visitor: Visitor, hanks: bytes, astronaut: bytes
) -> None:
    caller = visitor()
    image_id = add(caller, "Tom", hanks)
    seen = [
        caller.post(f"/recognition/faces/{image_id}/verify", files={"file": ("a.png", astronaut)})
        for _ in range(4)
    ]
    assert [answer.status_code for answer in seen] == [200, 200, 200, 429]
    assert said(seen[-1]) == (429, 0)


# -- what is kept to ------------------------------------------------------------------------------


def test_what_is_done_by_this_door_stands_in_the_audit_record(
    visitor: Visitor, admin: httpx.Client, hanks: bytes
) -> None:
    caller = visitor()
    key_id = caller.headers["x-api-key"].split("_")[1]
    image_id = add(caller, "Tom", hanks)
    photo = {"file": ("a.jpg", hanks)}
    caller.post("/recognition/recognize", params={"face_plugins": "calculator"}, files=photo)
    caller.post(f"/recognition/faces/{image_id}/verify", files=photo)
    caller.delete("/recognition/faces")
    caller.delete("/recognition/subjects/Tom")
    visitor("read").delete("/recognition/subjects")
    expected = {"person.enroll", "identify", "embed", "compare", "face.erase", "person.erase"}

    def recorded() -> list[dict[str, Any]]:
        links = admin.get("/audit", params={"limit": 50}).json()
        [records] = [value for value in links.values() if isinstance(value, list)]
        return [one.get("record", one) for one in records]

    # What only looks is moved from the journal a moment after its answer.
    wait_until(
        lambda: {one["action"] for one in recorded() if one["key"] == key_id} >= expected,
        "something is not in the record",
    )
    wait_until(lambda: any(one["action"] == "refused" for one in recorded()))


def test_a_body_that_is_too_large_is_refused_in_its_words(visitor: Visitor) -> None:
    caller = visitor()
    for path, size in (
        ("/recognition/subjects", 2_000_000),
        ("/recognition/recognize", 20_000_000),
        (f"/recognition/faces/{NOBODY}/verify", 20_000_000),
        ("/nothing", 2_000_000),
    ):
        try:
            answer = caller.post(path, content=b"x" * size)
        except httpx.WriteError:
            continue  # refused and closed before all was sent
        assert said(answer) == (413, 0)


@pytest.mark.parametrize(
    ("method", "path", "given", "expected"),
    [
        ("post", "/recognition/recognize", {"json": {"file": "no base64!"}}, (400, 26)),
        ("post", "/recognition/recognize", {"json": {}}, (400, 34)),
        ("post", "/recognition/recognize", {"files": {"other": b"x"}}, (400, 34)),
        ("post", "/recognition/recognize", {"content": b"x"}, (400, 36)),
        ("post", "/recognition/recognize?limit=-1", {"files": {"file": b"x"}}, (400, 26)),
        ("post", "/recognition/recognize?prediction_count=0", {"files": {"file": b"x"}}, (400, 26)),
        ("post", "/recognition/recognize", {"files": {"file": b"x"}}, (400, 21)),
        ("post", "/recognition/faces", {"files": {"file": b"x"}}, (400, 33)),
        ("post", "/recognition/faces?subject=", {"files": {"file": b"x"}}, (400, 26)),
        ("post", "/recognition/subjects", {"json": {"subject": ""}}, (400, 26)),
        ("post", "/recognition/subjects", {"json": {"subject": "a\0b"}}, (400, 26)),
        ("delete", "/recognition/faces/no-id", {}, (400, 26)),
        ("post", "/recognition/embeddings/recognize", {"json": {"embeddings": []}}, (400, 26)),
        ("post", "/recognition/embeddings/faces/x/verify", {"json": {}}, (400, 36)),
        ("post", "/verification/embeddings/verify", {"json": {}}, (400, 36)),
        ("get", "/nothing/here", {}, (404, 0)),
        ("patch", "/recognition/subjects", {}, (404, 0)),
        ("get", "/static/some-key/images/some-id", {}, (404, 0)),
    ],
)
def test_whatever_is_wrong_is_a_message_and_a_number(
    visitor: Visitor, method: str, path: str, given: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert said(visitor().request(method, path, **given)) == expected


# -- what it does ---------------------------------------------------------------------------------


def test_pictures_come_as_base64_too(visitor: Visitor, hanks: bytes) -> None:
    caller = visitor()
    encoded = base64.b64encode(hanks).decode()
    added = caller.post("/recognition/faces?subject=Tom", json={"file": encoded})
    assert (added.status_code, added.json()["subject"]) == (201, "Tom")
    found = caller.post("/recognition/recognize", json={"file": encoded, "unheard_of": 1}).json()
    assert found["result"][0]["subjects"][0]["subject"] == "Tom"
    pair = {"source_image": encoded, "target_image": f"data:image/png;base64,{encoded}"}
    [same] = caller.post("/verification/verify", json=pair).json()["result"]
    assert same["face_matches"][0]["similarity"] > 0.99


def test_an_embedding_that_was_given_out_finds_its_subject(visitor: Visitor, hanks: bytes) -> None:
    caller = visitor()
    photo, address = {"file": ("a.jpg", hanks)}, "/recognition/embeddings/recognize"
    seen = caller.post("/detection/detect?face_plugins=calculator", files=photo).json()
    embedding = seen["result"][0]["embedding"]
    nobody = caller.post(address, json={"embeddings": [embedding]}).json()
    assert nobody["result"] == [{"embedding": embedding, "similarities": []}]
    add(caller, "Tom", hanks)
    found = caller.post(address, json={"embeddings": [embedding]}).json()["result"]
    assert found[0]["similarities"][0]["subject"] == "Tom"
    assert found[0]["similarities"][0]["similarity"] > 0.99
    assert said(caller.post(address, json={"embeddings": [[1.0, 2.0]]})) == (400, 0)
    assert said(caller.post(address, json={"embeddings": [[1.0], [1.0, 2.0]]})) == (400, 36)


def test_faces_are_listed_in_pages_and_by_subject(
    visitor: Visitor, hanks: bytes, astronaut: bytes
) -> None:
    caller = visitor()
    ids = [add(caller, "Tom", hanks) for _ in range(3)] + [add(caller, "Eileen", astronaut)]
    seen = []
    for page in range(3):
        answer = caller.get("/recognition/faces", params={"page": page, "size": 2}).json()
        assert (answer["page_number"], answer["page_size"]) == (page, 2)
        assert (answer["total_pages"], answer["total_elements"]) == (2, 4)
        seen += [one["image_id"] for one in answer["faces"]]
    assert seen == ids
    eileen = caller.get("/recognition/faces", params={"subject": "Eileen"}).json()
    assert eileen["faces"] == [{"image_id": ids[3], "subject": "Eileen"}]
    assert caller.get("/recognition/faces?subject=nobody").json()["total_elements"] == 0


def test_faces_are_deleted_several_at_a_time_and_all(
    visitor: Visitor, hanks: bytes, astronaut: bytes
) -> None:
    caller = visitor()
    one, two, other = (
        add(caller, "Tom", hanks), add(caller, "Tom", hanks), add(caller, "Eileen", astronaut)
    )  # fmt: skip
    gone = caller.post("/recognition/faces/delete", json=[one, str(uuid4()), other]).json()
    assert gone == [
        {"image_id": one, "subject": "Tom"},
        {"image_id": other, "subject": "Eileen"},
    ]
    found = caller.post("/recognition/recognize", files={"file": ("a.png", astronaut)}).json()
    assert [each["subject"] for each in found["result"][0]["subjects"]] == ["Tom"]
    add(caller, "Eileen", astronaut)
    assert caller.delete("/recognition/faces").json() == {"deleted": 2}
    assert subjects(caller) == ["Tom", "Eileen"]
    assert two not in caller.get("/recognition/faces").text
    found = caller.post("/recognition/recognize", files={"file": ("a.png", astronaut)}).json()
    assert found["result"][0]["subjects"] == []


def test_the_picture_of_a_face_is_its_kept_crop(visitor: Visitor, hanks: bytes) -> None:
    caller = visitor()
    answer = caller.get(f"/recognition/faces/{add(caller, 'Tom', hanks)}/img")
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(answer.content)).size == (112, 112)


def test_faces_that_the_detector_is_less_sure_of_are_no_faces(
    visitor: Visitor, hanks: bytes, group: bytes
) -> None:
    caller = visitor()
    files = {"file": ("a.jpg", group)}
    every = caller.post("/detection/detect", files=files).json()["result"]
    sure = sorted(face["box"]["probability"] for face in every)
    middle = (sure[2] + sure[3]) / 2
    some = caller.post(f"/detection/detect?det_prob_threshold={middle}", files=files)
    assert len(some.json()["result"]) == 3
    two = caller.post(f"/detection/detect?det_prob_threshold={middle}&limit=2", files=files)
    assert two.json()["result"] == some.json()["result"][:2]
    assert said(caller.post("/detection/detect?det_prob_threshold=1", files=files)) == (400, 28)
    # One sure face among six is one face, and can be enrolled.
    highest = (sure[4] + sure[5]) / 2
    added = caller.post(
        f"/recognition/faces?subject=sure&det_prob_threshold={highest}", files=files
    )
    assert added.status_code == 201, added.text


def test_a_name_is_taken_as_it_is(visitor: Visitor, hanks: bytes) -> None:
    caller = visitor()
    for name in (
        '<img src=x onerror="alert(1)">',
        "a/b",
        "Ünïcödé \u202e reversed",
        "?&=#%",
        "x y",
    ):
        add(caller, name, hanks)
        assert subjects(caller) == [name]
        address = f"/recognition/subjects/{quote(name, safe='')}"
        assert caller.put(address, json={"subject": "plain"}).json() == {"updated": True}
        assert caller.put("/recognition/subjects/plain", json={"subject": name}).is_success
        assert caller.delete(address).json() == {"subject": name}
        assert subjects(caller) == []


def test_persons_of_the_house_are_subjects_and_the_other_way_round(
    visitor: Visitor, house: Service, key: Callable[..., str], hanks: bytes
) -> None:
    collection = f"c-{uuid4().hex[:12]}"
    caller = visitor(collections=[collection])
    add(caller, "Tom", hanks)
    with house.client() as client:
        client.headers["Authorization"] = f"Bearer {key(collections=[collection])}"
        [tom] = client.get(f"/collections/{collection}/persons").json()["persons"]
        assert (tom["name"], tom["external_id"], tom["face_count"]) == ("Tom", "Tom", 1)
        data = {"collection": collection, "name": "no word of ours", "on_duplicate": "allow"}
        answer = client.post("/enroll", files={"images": hanks}, data=data)
        nameless = answer.json()["person"]["id"]
    assert subjects(caller) == ["Tom", nameless]
    assert caller.delete(f"/recognition/subjects/{nameless}").json() == {"subject": nameless}
    assert subjects(caller) == ["Tom"]


def test_who_may_not_delete_may_not_make_one_subject_of_two(visitor: Visitor, hanks: bytes) -> None:
    collection = f"c-{uuid4().hex[:12]}"
    owner = visitor(collections=[collection])
    for name in ("a", "b"):
        owner.post("/recognition/subjects", json={"subject": name})
    clerk = visitor("enroll", collections=[collection])
    assert said(clerk.put("/recognition/subjects/a", json={"subject": "b"})) == (403, 0)
    assert clerk.put("/recognition/subjects/a", json={"subject": "c"}).status_code == 200
    assert sorted(subjects(owner)) == ["b", "c"]


@pytest.mark.parametrize("calibrated", [True, False])
def test_similarity_rises_with_the_cosine_and_is_a_half_at_the_threshold(
    tmp_path: Path, calibrated: bool
) -> None:
    pack = write_tiny_pack(tmp_path / "tiny")
    calibration = read_calibration(write_tiny_calibration(pack), read_pack(pack).model)
    scale = similarity.scale_of(calibration if calibrated else None, 0.8)
    cosines = np.linspace(-1, 1, 2001)
    told = [scale(float(cosine)) for cosine in cosines]
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert scale(0.8) == 0.5  # an FMR of 0.1 %, and what is asked for without a calibration
    assert scale(0.9) == 0.975 or not calibrated  # of 0.01 %
