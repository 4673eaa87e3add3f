"""Who may do what: every operation with every kind of key, and what a stranger can learn."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.types import SCOPES
from tests.command_line import make_on_command_line, run
from tests.service import ROOT, SECRET, Service, environment
from tests.waiting import wait_until

OPEN = {("get", "/healthz"), ("get", "/readyz")}


@dataclass(frozen=True)
class Sample:
    """How to ask for one operation. `{collection}`, `{person_id}` … are filled in. Where `scope`
    is empty any key may ask."""

    scope: str
    path: str
    given: dict[str, Any] = field(default_factory=dict)
    names_collection: bool = False
    also: str | None = None
    """A second scope that it takes."""

    @property
    def scopes(self) -> set[str]:
        return {each for each in (self.scope, self.also) if each}


@dataclass(frozen=True)
class Place:
    """Somewhere to ask about: all of it there, or none of it."""

    collection: str
    person_id: str
    face_id: str


def samples(image: bytes) -> dict[tuple[str, str], Sample]:
    """One for each operation of the service; a test sees to it that none is missing."""
    photo = {"files": {"image": image}}
    here = {"data": {"collection": "{collection}"}}
    known = {"data": {"collection": "{collection}", "person_id": "{person_id}"}}
    return {
        ("post", "/identify"): Sample("identify", "/identify", {**photo, **here}, True),
        ("post", "/detect"): Sample("identify", "/detect", photo),
        ("post", "/embeddings"): Sample("embeddings", "/embeddings", photo),
        ("post", "/verify"): Sample("verify", "/verify", {**photo, **known}, True),
        ("post", "/enroll"): Sample(
            "enroll", "/enroll", {"files": {"images": image}, **known}, True
        ),
        ("post", "/collections"): Sample("enroll", "/collections", {"json": {"name": "new-{n}"}}),
        ("get", "/collections"): Sample("read", "/collections"),
        ("get", "/collections/{name}"): Sample("read", "/collections/{collection}", {}, True),
        ("delete", "/collections/{name}"): Sample("delete", "/collections/{collection}", {}, True),
        ("get", "/collections/{name}/audit"): Sample("admin", "/collections/{collection}/audit"),
        ("get", "/collections/{name}/persons"): Sample(
            "read", "/collections/{collection}/persons", {}, True
        ),
        ("get", "/persons/{person_id}"): Sample("read", "/persons/{person_id}", {}, True),
        ("patch", "/persons/{person_id}"): Sample(
            "enroll", "/persons/{person_id}", {"json": {"name": "other"}}, True
        ),
        ("delete", "/persons/{person_id}"): Sample("delete", "/persons/{person_id}", {}, True),
        ("get", "/persons/{person_id}/faces"): Sample(
            "read", "/persons/{person_id}/faces", {}, True
        ),
        ("post", "/search"): Sample(
            "identify",
            "/search",
            {
                "json": {
                    "embeddings": [[1.0, 0.0]],
                    "model": "external:x",
                    "collection": "{collection}",
                }
            },
            True,
        ),
        ("get", "/collections/{name}/export"): Sample(
            "admin", "/collections/{collection}/export", {}, also="embeddings"
        ),
        ("post", "/collections/{name}/import"): Sample(
            "admin",
            "/collections/{collection}/import",
            {"json": {"model": "external:x"}},
            also="enroll",
        ),
        ("post", "/persons/{person_id}/faces"): Sample(
            "enroll", "/persons/{person_id}/faces", {"json": {"face_ids": ["{face_id}"]}}, True
        ),
        ("post", "/persons/{person_id}/merge"): Sample(
            "enroll",
            "/persons/{person_id}/merge",
            {"json": {"person_ids": [str(uuid4())]}},
            True,
            also="delete",
        ),
        ("get", "/collections/{name}/faces"): Sample(
            "read", "/collections/{collection}/faces", {}, True
        ),
        ("get", "/faces/{face_id}"): Sample("read", "/faces/{face_id}", {}, True),
        ("get", "/faces/{face_id}/crop"): Sample("read", "/faces/{face_id}/crop", {}, True),
        ("delete", "/faces/{face_id}"): Sample("delete", "/faces/{face_id}", {}, True),
        ("get", "/collections/{name}/thresholds"): Sample(
            "identify", "/collections/{collection}/thresholds", {}, True
        ),
        ("get", "/models"): Sample("read", "/models"),
        ("get", "/models/{model}/card"): Sample("read", "/models/0123456789abcdef/card"),
        ("get", "/limits"): Sample("", "/limits"),
        ("get", "/keys/self"): Sample("", "/keys/self"),
        ("get", "/metrics"): Sample("metrics", "/metrics"),
        ("get", "/audit"): Sample("admin", "/audit"),
        ("get", "/keys"): Sample("admin", "/keys"),
        ("post", "/keys"): Sample("admin", "/keys", {"json": {"name": "x", "scopes": ["read"]}}),
        ("post", "/keys/{key_id}/rotate"): Sample(
            "admin", "/keys/0123456789abcdef/rotate", {"json": {}}
        ),
        ("delete", "/keys/{key_id}"): Sample("admin", "/keys/0123456789abcdef"),
    }


def filled(value: Any, place: Place) -> Any:
    if isinstance(value, str):
        for name in ("collection", "person_id", "face_id"):
            value = value.replace("{" + name + "}", getattr(place, name))
        return value.replace("{n}", uuid4().hex[:8])
    if isinstance(value, dict):
        return {name: filled(inner, place) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, place) for inner in value]
    return value


def ask(client: httpx.Client, method: str, sample: Sample, place: Place) -> httpx.Response:
    return client.request(method, filled(sample.path, place), **filled(sample.given, place))


def populate(client: httpx.Client, image: bytes) -> Place:
    name = f"c-{uuid4().hex[:12]}"
    answer = client.post("/enroll", files={"images": image}, data={"collection": name})
    assert answer.status_code == 201, answer.text
    return Place(name, answer.json()["person"]["id"], answer.json()["faces"][0]["id"])


def nowhere() -> Place:
    return Place(f"c-{uuid4().hex[:12]}", str(uuid4()), str(uuid4()))


def told(answer: httpx.Response, place: Place) -> Any:
    """An answer without the names that were asked for and the id of the request."""
    text = answer.text
    for value in (place.collection, place.person_id, place.face_id):
        text = text.replace(value, "…")
    text = re.sub(r'"request_id":"[^"]*"', "", text)
    kept = {name: answer.headers.get(name) for name in ("content-type", "retry-after", "allow")}
    return answer.status_code, text, kept


@pytest.fixture(scope="module")
def operations(admin: httpx.Client) -> list[tuple[str, str]]:
    paths = admin.get("/openapi.json").json()["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


def test_every_operation_has_a_sample_and_every_sample_an_operation(
    operations: list[tuple[str, str]], hanks: bytes
) -> None:
    assert set(operations) - OPEN == set(samples(hanks))


def test_without_a_good_key_every_operation_is_401_and_says_nothing_else(
    guarded_service: Service, make_key: Callable[..., Any], admin: httpx.Client, hanks: bytes
) -> None:
    revoked = make_key(*SCOPES)
    assert admin.delete(f"/keys/{revoked['id']}").status_code == 200
    key_id = make_key(*SCOPES)["id"]
    wrong = {
        "none": None,
        "of another scheme": "Basic " + revoked["secret"],
        "nonsense": "Bearer nonsense",
        "no secret": f"Bearer rc_{key_id}_",
        "another's secret": f"Bearer rc_{key_id}_" + revoked["secret"].split("_", 2)[2],
        "unknown": f"Bearer rc_{'0' * 16}_{'x' * 43}",
        "revoked": "Bearer " + revoked["secret"],
        "very long": "Bearer rc_" + "x" * 5000,
    }
    place = nowhere()
    with guarded_service.client() as client:
        for name, header in wrong.items():
            headers = {} if header is None else {"Authorization": header}
            for (method, path), sample in samples(hanks).items():
                answer = client.request(
                    method, filled(sample.path, place), headers=headers, content=b"not read"
                )
                assert answer.status_code == 401, (name, method, path, answer.text)
                assert answer.json()["code"] == "key_invalid"
                assert answer.headers["www-authenticate"] == "Bearer"


def test_every_operation_takes_its_scope_and_no_other(
    caller: Callable[..., httpx.Client], hanks: bytes
) -> None:
    kinds = [{scope} for scope in SCOPES]
    kinds += [both for each in samples(hanks).values() if len(both := each.scopes) > 1]
    clients = [(kind, caller(*sorted(kind))) for kind in kinds]
    place = nowhere()
    for (method, path), sample in samples(hanks).items():
        for scopes, client in clients:
            answer = ask(client, method, sample, place)
            if sample.scopes <= scopes:
                assert answer.status_code not in (401, 403), (method, path, scopes, answer.text)
            else:
                assert answer.status_code == 403, (method, path, scopes)
                assert answer.json()["code"] == "scope_missing"
                assert set(answer.json()["scopes"]) == sample.scopes - scopes


def test_a_foreign_collection_looks_like_one_that_does_not_exist(
    caller: Callable[..., httpx.Client], hanks: bytes
) -> None:
    everywhere = [each for each in SCOPES if each not in ("admin", "metrics")]
    owner = caller(*everywhere)
    foreign = populate(owner, hanks)
    stranger = caller(*everywhere, collections=["mine"])
    seen = 0
    for (method, path), sample in samples(hanks).items():
        if not sample.names_collection:
            continue
        missing = nowhere()
        there = told(ask(stranger, method, sample, foreign), foreign)
        not_there = told(ask(stranger, method, sample, missing), missing)
        assert there == not_there, (method, path)
        assert there[0] == 404, (method, path, there)
        seen += 1
    assert seen >= 10
    # Nor is it listed, made, or harmed.
    assert stranger.get("/collections").json()["collections"] == []
    made = stranger.post("/collections", json={"name": foreign.collection})
    assert (made.status_code, made.json()["code"]) == (404, "collection_not_found")
    kept = owner.get(f"/persons/{foreign.person_id}").json()
    assert (kept["face_count"], kept["name"]) == (1, None)


def test_a_foreign_collection_among_several_looks_like_one_that_does_not_exist(
    caller: Callable[..., httpx.Client], hanks: bytes
) -> None:
    owner = caller("enroll")
    own, foreign = populate(owner, hanks), populate(owner, hanks)
    stranger = caller("identify", collections=[own.collection])

    def ask(place: Place) -> Any:
        data = {"collections": [own.collection, place.collection]}
        return told(stranger.post("/identify", files={"image": hanks}, data=data), place)

    assert ask(foreign) == ask(nowhere())
    assert ask(foreign)[0] == 404


def test_a_foreign_person_is_not_found_by_id(
    caller: Callable[..., httpx.Client], hanks: bytes
) -> None:
    owner = caller("enroll")
    own, foreign = populate(owner, hanks), populate(owner, hanks)
    stranger = caller("identify", collections=[own.collection])

    def ask(place: Place) -> Any:
        data = {"collection": own.collection, "threshold": "-1", "person_ids": place.person_id}
        return told(stranger.post("/identify", files={"image": hanks}, data=data), place)

    assert ask(foreign) == ask(nowhere())
    assert ask(foreign)[0] == 200


def test_a_person_of_one_collection_is_not_found_through_another(
    caller: Callable[..., httpx.Client], hanks: bytes
) -> None:
    owner = caller("enroll", "verify")
    one, other = populate(owner, hanks), populate(owner, hanks)
    mixed = Place(other.collection, one.person_id, one.face_id)
    for operation in (("post", "/verify"), ("post", "/enroll")):
        answer = ask(owner, operation[0], samples(hanks)[operation], mixed)
        assert (answer.status_code, answer.json()["code"]) == (404, "person_not_found")


def test_a_key_limited_to_collections_works_in_them(
    caller: Callable[..., httpx.Client], hanks: bytes
) -> None:
    name = f"c-{uuid4().hex[:12]}"
    client = caller("enroll", "identify", "read", "delete", "verify", collections=[name])
    enrolled = client.post("/enroll", files={"images": hanks}, data={"collection": name})
    person = enrolled.json()["person"]["id"]
    found = client.post("/identify", files={"image": hanks}, data={"collection": name}).json()
    assert found["faces"][0]["candidates"][0]["person"]["id"] == person
    assert [one["name"] for one in client.get("/collections").json()["collections"]] == [name]
    assert client.get(f"/persons/{person}").status_code == 200
    assert client.delete(f"/collections/{name}").status_code == 200


def test_an_idempotency_key_belongs_to_the_api_key_that_sent_it(
    caller: Callable[..., httpx.Client], hanks: bytes
) -> None:
    wish = {"files": {"images": hanks}, "headers": {"Idempotency-Key": "the same"}}
    wish["data"] = {"collection": f"c-{uuid4().hex[:12]}", "on_duplicate": "allow"}
    one, other = caller("enroll"), caller("enroll")
    first = one.post("/enroll", **wish).json()["person"]["id"]
    again = one.post("/enroll", **wish).json()["person"]["id"]
    theirs = other.post("/enroll", **wish).json()["person"]["id"]
    assert first == again != theirs


def test_a_rotated_key_goes_on_for_its_grace_and_not_longer(
    guarded_service: Service, admin: httpx.Client, make_key: Callable[..., Any]
) -> None:
    def works(secret: str) -> bool:
        with guarded_service.client() as client:
            headers = {"Authorization": f"Bearer {secret}"}
            return client.get("/models", headers=headers).status_code == 200

    key = make_key("read")
    first = key["secret"]
    rotate = f"/keys/{key['id']}/rotate"
    second = admin.post(rotate, json={"grace_seconds": 600}).json()["secret"]
    assert works(first) and works(second) and first != second
    third = admin.post(rotate, json={"grace_seconds": 0}).json()["secret"]
    assert works(third) and not works(second) and not works(first)
    assert admin.delete(f"/keys/{key['id']}").status_code == 200
    assert not works(third)
    assert admin.post(rotate, json={}).status_code == 404


def test_a_key_opens_as_soon_as_it_is_made_elsewhere(
    guarded_service: Service, admin: httpx.Client
) -> None:
    with guarded_service.client() as client:
        for _ in range(2):
            secret = make_on_command_line(guarded_service, "--scope", "read")
            headers = {"Authorization": f"Bearer {secret}"}
            assert client.get("/models", headers=headers).status_code == 200


def test_a_key_ends_when_it_expires(guarded_service: Service, make_key: Callable[..., Any]) -> None:
    soon = time.time() + 2
    wish = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(soon)) + f".{int(soon % 1 * 1e3):03}Z"
    secret = make_key("read", expires_at=wish)["secret"]
    with guarded_service.client() as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        wait_until(lambda: client.get("/models").status_code == 401)
    assert time.time() >= soon


@pytest.mark.parametrize(
    "wish",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": ["admin"], "collections": ["mine"]},
        {"scopes": ["metrics", "read"], "collections": ["mine"]},
        {"scopes": ["read"], "collections": []},
        {"scopes": ["read"], "collections": ["not a name"]},
        {"scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
        {"scopes": ["read"], "expires_at": "2040-01-01T00:00:00"},
        {"scopes": ["read"], "requests_a_minute": 0},
    ],
)
def test_a_key_that_could_not_keep_its_word_is_not_made(
    admin: httpx.Client, wish: dict[str, Any]
) -> None:
    answer = admin.post("/keys", json={"name": "x", **wish})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_keys_are_listed_without_anything_that_opens(
    admin: httpx.Client, make_key: Callable[..., Any]
) -> None:
    key = make_key("identify", collections=["b", "a"], requests_a_minute=5, concurrency=2)
    listed: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = admin.get("/keys", params={"cursor": cursor, "limit": 3}).json()
        listed += page["keys"]
        cursor = page["next_cursor"]
    [mine] = [one for one in listed if one["id"] == key["id"]]
    assert mine["collections"] == ["a", "b"]
    assert (mine["requests_a_minute"], mine["concurrency"]) == (5, 2)
    assert key["secret"].split("_", 2)[2] not in json.dumps(listed)


def test_a_key_is_kept_as_an_hmac_only(
    guarded_service: Service, make_key: Callable[..., Any]
) -> None:
    key = make_key("read")
    secret = key["secret"].split("_", 2)[2]
    url = guarded_service.settings["ROLLCALL_DATABASE_URL"]

    async def row() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchrow("SELECT * FROM api_keys WHERE id = $1", key["id"])
        finally:
            await connection.close()

    kept = asyncio.run(row())
    assert secret not in str(dict(kept))
    assert len(kept["digest"]) == 32
    assert len(secret) >= 43  # 256 bits in base64


def test_a_key_is_printed_once_and_on_standard_output_alone(guarded_service: Service) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "app", "keys", "create", "--name", "x", "--scope", "read"],
        cwd=ROOT,
        env=environment({**guarded_service.settings, "ROLLCALL_LOG_LEVEL": "debug"}),
        capture_output=True,
        text=True,
        check=True,
    )
    key = made.stdout.strip()
    assert re.fullmatch(r"rc_[0-9a-f]{16}_\S{43}", key)
    assert key not in made.stderr
    secret = key.split("_", 2)[2]
    assert secret not in run(guarded_service, "keys", "list") + guarded_service.output()


def test_a_request_line_names_the_key_that_asked_and_no_other(
    guarded_service: Service, make_key: Callable[..., Any]
) -> None:
    key = make_key("read")
    good = {"Authorization": f"Bearer {key['secret']}"}
    with guarded_service.client() as client:
        answers = {
            "good": client.get("/models", headers=good),
            "refused": client.get("/audit", headers=good),
            "wrong": client.get("/models", headers={"Authorization": f"Bearer {key['secret']}x"}),
            "none": client.get("/models"),
        }
    asked = {name: answer.headers["x-request-id"] for name, answer in answers.items()}

    def named() -> dict[str, Any]:
        return {line.get("request_id"): line.get("key") for line in guarded_service.said()}

    # A line is written when its answer is already on the way.
    wait_until(lambda: set(asked.values()) <= set(named()), "a request left no line")
    assert {name: named()[request] for name, request in asked.items()} == {
        "good": key["id"],
        "refused": key["id"],
        "wrong": None,
        "none": None,
    }


# -- the start --------------------------------------------------------------------------------


@pytest.fixture
def outside(tiny_pack: Any, database_url: str, tmp_path: Any) -> Iterator[dict[str, str]]:
    yield {
        "ROLLCALL_DATABASE_URL": database_url,
        "ROLLCALL_SECRET": SECRET,
        "ROLLCALL_PACK": str(tiny_pack),
        "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
        "ROLLCALL_HOST": "0.0.0.0",  # noqa: S104 (that is what is tested)
    }


def test_beyond_loopback_a_key_is_asked_for_whatever_the_settings_say(
    outside: dict[str, str],
) -> None:
    service = Service({**outside, "ROLLCALL_REQUIRE_KEYS": "false"})
    try:
        service.wait_until_ready()
        with service.client() as client:
            assert client.get("/models").status_code == 401
            assert client.get("/healthz").status_code == 200
        assert '"event": "no_keys"' in service.output()
    finally:
        service.kill()


def test_a_key_before_the_first_start_is_refused_with_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "keys", "create", "--name", "x", "--scope", "read"],
        cwd=ROOT,
        env=environment({"ROLLCALL_DATA_DIR": str(tmp_path / "data")}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Run: python -m app migrate" in done.stderr
