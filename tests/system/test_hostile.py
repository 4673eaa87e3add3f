"""Broken and hostile files through HTTP: the right answer or a clear 4xx, and no growth."""

import re

import httpx

from tests.hostile import hostile_files


def memory(client: httpx.Client) -> float:
    found = re.search(r"^process_resident_memory_bytes (\S+)", client.get("/metrics").text, re.M)
    assert found
    return float(found[1])


def test_hostile_files_get_a_clear_answer_and_memory_stays_flat(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    files = hostile_files(hanks)
    assert len(files) >= 50
    before = memory(client)
    for each in files:
        answer = client.post("/detect", files={"image": each.data})
        if each.expect is None:
            assert answer.status_code == 200, (each.name, answer.text)
        else:
            assert answer.status_code in (413, 415, 422), (each.name, answer.text)
            assert answer.json()["code"] == each.expect, each.name
            assert answer.json()["image"] == "image"
        enrolled = client.post(
            "/enroll", files={"images": each.data}, data={"collection": collection}
        )
        assert enrolled.status_code in (201, 422), (each.name, enrolled.text)
    grown = memory(client) - before
    assert grown < 200e6, f"{grown / 1e6:.0f} MB"
    assert client.get("/healthz").status_code == 200
