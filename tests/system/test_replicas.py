"""Two processes on one database give the same answers."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.service import Service
from tests.waiting import wait_until


def enroll(client: httpx.Client, image: bytes, **fields: str) -> Any:
    answer = client.post("/enroll", files={"images": image}, data={"face": "largest", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def identify(client: httpx.Client, image: bytes, **fields: str) -> Any:
    answer = client.post("/identify", files={"image": image}, data={"threshold": "-1", **fields})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    body.pop("request_id")
    return body


def test_what_one_process_enrols_the_other_finds(
    serve: Callable[..., Service], hanks: bytes, astronaut: bytes, group: bytes
) -> None:
    with serve().client() as one, serve().client() as other:
        first = enroll(one, hanks, name="Tom")
        seen = identify(other, hanks, min_revision=str(first["revision"]))
        assert seen["faces"][0]["candidates"][0]["person"]["name"] == "Tom"

        # Written through both, in turns and at once.
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(lambda n: enroll((one, other)[n % 2], (astronaut, group)[n % 2]), range(8))
            )
        revision = str(max(answer["revision"] for answer in answers))
        assert sorted(answer["revision"] for answer in answers) == list(range(2, 10))
        for image in (hanks, astronaut, group):
            here = identify(one, image, min_revision=revision)
            assert here == identify(other, image, min_revision=revision)
            assert here["gallery_size"] == 9

        # Erased through one, never again returned by the other.
        erased = one.delete(f"/persons/{first['person']['id']}").json()
        after = identify(other, hanks, min_revision=str(erased["revision"]))
        assert first["person"]["id"] not in str(after)
        assert after["gallery_size"] == 8


def test_a_process_follows_without_being_asked(serve: Callable[..., Service], hanks: bytes) -> None:
    with serve().client() as one, serve().client() as other:
        enroll(one, hanks)
        one_template = 'rollcall_gallery_templates{collection="default"} 1.0'
        wait_until(
            lambda: one_template in other.get("/metrics").text,
            "the follower did not move by itself",
        )


def test_a_collection_dropped_and_made_again_elsewhere_is_the_new_one(
    serve: Callable[..., Service], hanks: bytes, astronaut: bytes
) -> None:
    with serve().client() as one, serve().client() as other:
        enroll(one, hanks)
        assert identify(other, hanks)["gallery_size"] == 1
        assert one.delete("/collections/default").status_code == 200
        fresh = enroll(one, astronaut)
        give_up = time.monotonic() + 10
        while True:
            seen = identify(other, astronaut)
            found = [one["person"]["id"] for one in seen["faces"][0]["candidates"]]
            if found == [fresh["person"]["id"]]:
                break
            assert time.monotonic() < give_up, seen
            time.sleep(0.1)
