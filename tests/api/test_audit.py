"""The record of what was done: complete, chained, and without anything of a face."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command_line import run
from tests.service import Service
from tests.waiting import wait_until


def records(client: httpx.Client, **params: Any) -> list[Any]:
    page = client.get("/audit", params={"limit": 1000, **params}).json()
    return [{**row["record"], "sequence": row["sequence"]} for row in page["records"]]


def newest(client: httpx.Client, request_id: str) -> Any:
    """The record of one request; what only looked comes a moment after its answer."""
    found: list[Any] = []

    def there() -> bool:
        found[:] = [one for one in records(client) if one["request_id"] == request_id]
        return bool(found)

    wait_until(there)
    [record] = found
    return record


def test_every_kind_of_request_is_recorded_with_who_what_and_how_it_ended(
    admin: httpx.Client,
    caller: Callable[..., httpx.Client],
    collection: str,
    hanks: bytes,
    astronaut: bytes,
) -> None:
    client = caller("enroll", "identify", "verify", "read", "delete", "embeddings")
    key = client.headers["Authorization"].split("_")[1]
    here = {"collection": collection}

    def asked(method: str, path: str, **given: Any) -> Any:
        answer = client.request(method, path, **given)
        record = newest(admin, answer.headers["x-request-id"])
        assert record["key"] == key
        assert record["at"].endswith("+00:00")
        return answer.json(), record

    enrolled, record = asked("POST", "/enroll", files={"images": hanks}, data=here)
    person, face = enrolled["person"]["id"], enrolled["faces"][0]["id"]
    assert record["action"] == "person.enroll"
    assert (record["person_ids"], record["face_ids"]) == ([person], [face])
    assert (record["collection"], record["model"]) == (collection, enrolled["model"])

    found, record = asked("POST", "/identify", files={"image": hanks}, data=here)
    assert (record["action"], record["faces"]) == ("identify", [[person]])
    assert record["threshold"] == found["threshold"]
    _, record = asked(
        "POST", "/identify", files={"image": astronaut}, data={**here, "threshold": "0.99"}
    )
    assert record["faces"] == [[]]
    other = f"{collection}-b"
    client.post("/enroll", files={"images": astronaut}, data={"collection": other})
    data = {"collections": [collection, other], "person_ids": [person]}
    _, record = asked("POST", "/identify", files={"image": hanks}, data=data)
    assert (record["collections"], record["revisions"]) == ([collection, other], [1, 1])
    assert (record["faces"], record["among"]) == ([[person]], 1)

    data = {**here, "person_id": person, "threshold": "0.99"}
    _, record = asked("POST", "/verify", files={"image": astronaut}, data=data)
    assert (record["action"], record["verified"]) == ("verify", False)
    assert (record["person_ids"], record["threshold"]) == ([person], 0.99)
    both = {"source": hanks, "target": hanks}
    assert asked("POST", "/verify", files=both)[1]["verified"] is True

    assert asked("POST", "/detect", files={"image": hanks})[1]["action"] == "detect"
    assert asked("POST", "/embeddings", files={"image": hanks})[1]["action"] == "embed"
    assert asked("GET", f"/persons/{person}")[1]["action"] == "person.read"
    assert asked("GET", f"/persons/{person}/faces")[1]["action"] == "person.faces"
    assert asked("GET", f"/collections/{collection}/persons")[1]["action"] == "person.list"
    _, record = asked("PATCH", f"/persons/{person}", json={"name": "Somebody"})
    assert (record["action"], record["fields"]) == ("person.edit", ["name"])
    assert asked("DELETE", f"/faces/{face}")[1]["face_ids"] == [face]
    assert asked("DELETE", f"/persons/{person}")[1]["person_ids"] == [person]
    assert asked("DELETE", f"/collections/{collection}")[1]["action"] == "collection.erase"
    assert asked("GET", "/keys")[1] | {"sequence": 0, "at": "", "request_id": ""} == {
        "action": "refused",
        "key": key,
        "scopes": ["admin"],
        "sequence": 0,
        "at": "",
        "request_id": "",
    }


def test_the_record_holds_no_name_no_image_and_no_embedding(
    admin: httpx.Client, caller: Callable[..., httpx.Client], collection: str, hanks: bytes
) -> None:
    client = caller("enroll", "identify", "embeddings")
    wish = {"collection": collection, "name": "Kanarienvogel", "external_id": "Kanarienvogel-1"}
    client.post("/enroll", files={"images": hanks}, data=wish)
    client.post("/embeddings", files={"image": hanks})
    last = client.post("/identify", files={"image": hanks}, data={"collection": collection})
    newest(admin, last.headers["x-request-id"])
    text = json.dumps(records(admin))
    assert "Kanarienvogel" not in text
    assert '"embedding"' not in text
    assert max(len(json.dumps(one)) for one in records(admin)) < 2000


def test_the_record_is_read_in_pages_newest_first(admin: httpx.Client) -> None:
    for _ in range(5):
        admin.post("/keys", json={"name": "page", "scopes": ["read"]})
    numbers: list[int] = []
    cursor: str | None = ""
    while cursor is not None and len(numbers) < 6:
        page = admin.get("/audit", params={"cursor": cursor, "limit": 2}).json()
        numbers += [row["sequence"] for row in page["records"]]
        cursor = page["next_cursor"]
    assert numbers == list(range(numbers[0], numbers[0] - len(numbers), -1))


# -- the command line -----------------------------------------------------------------------


def test_the_chain_is_proved_exported_and_pruned_on_the_command_line(
    serve: Callable[..., Service], hanks: bytes, tmp_path: Path
) -> None:
    service = serve()
    with service.client() as client:
        for _ in range(4):
            client.post("/enroll", files={"images": hanks})
    assert service.terminate() == 0
    head = run(service, "audit", "verify").split("head ")[1].strip()
    file = tmp_path / "audit.jsonl"
    run(service, "audit", "export", str(file))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["sequence"] for row in rows] == [1, 2, 3, 4]
    assert {"at", "action", "collection", "person_ids", "digest"} <= set(rows[0])
    assert head in run(service, "audit", "verify", "--file", str(file), "--anchor", head)
    run(service, "audit", "prune", "--before", "4", "--exported", str(file))
    assert "records 4 to 4" in run(service, "audit", "verify", "--anchor", head)
    file.write_text(file.read_text().replace("person.enroll", "person.edited"))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(service, "audit", "verify", "--file", str(file))
    assert "broken: record 1 was changed" in refused.value.stdout


# -- nothing answered is unrecorded -------------------------------------------------------------


def test_what_was_answered_is_recorded_also_after_kill_9(
    serve: Callable[..., Service], hanks: bytes
) -> None:
    """The database is stopped from taking records, so that they wait in the journal."""
    service = serve()
    answered = set()
    with service.client() as client:
        client.post("/enroll", files={"images": hanks})
        for _ in range(10):
            answer = client.post("/identify", files={"image": hanks})
            answered.add(answer.headers["x-request-id"])
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
    again = serve(ROLLCALL_DATA_DIR=service.settings["ROLLCALL_DATA_DIR"])
    with again.client() as client:
        wait_until(lambda: answered <= {one["request_id"] for one in records(client)})
        ids = [one["request_id"] for one in records(client) if one["action"] == "identify"]
        assert len(ids) == len(set(ids))


def test_a_journal_that_cannot_be_written_answers_nothing(
    serve: Callable[..., Service], hanks: bytes
) -> None:
    service = serve()
    folder = Path(service.settings["ROLLCALL_DATA_DIR"]) / "audit"
    with service.client() as client:
        assert client.post("/detect", files={"image": hanks}).status_code == 200
        time.sleep(1)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        folder.write_text("in the way")
        refused = client.post("/detect", files={"image": hanks})
        assert (refused.status_code, refused.json()["code"]) == (503, "audit_unavailable")
        folder.unlink()
        folder.mkdir()
        assert client.post("/detect", files={"image": hanks}).status_code == 200
