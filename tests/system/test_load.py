"""Many at once: everyone gets their own answer."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import cv2
import httpx
import numpy as np

from app.types import Pixels

PROBES = 150


def placed(face: Pixels, number: int) -> bytes:
    """A picture like no other: the face at a place of its own on a canvas of its own shade."""
    x, y = 6 * (number % 25), 8 * (number // 25)
    canvas = np.full((320, 320, 3), 40 + number % 150, np.uint8)
    canvas[y : y + face.shape[0], x : x + face.shape[1]] = face
    encoded, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert encoded
    return data.tobytes()


def test_hundreds_at_once_each_get_their_own_faces_back(
    client: httpx.Client, collection: str, astronaut: bytes
) -> None:
    photo = cv2.imdecode(np.frombuffer(astronaut, np.uint8), cv2.IMREAD_COLOR)
    face = cv2.resize(photo[0:260, 120:340], (132, 156), interpolation=cv2.INTER_AREA)
    pictures = [placed(face, number) for number in range(PROBES)]
    enrolled = client.post(
        "/enroll", files={"images": pictures[0]}, data={"collection": collection}
    )
    assert enrolled.status_code == 201, enrolled.text
    limits = httpx.Limits(max_connections=PROBES)
    with httpx.Client(base_url=client.base_url, timeout=300, limits=limits) as wide:

        def ask(picture: bytes) -> Any:
            while True:
                answer = wide.post(
                    "/identify",
                    files={"image": picture},
                    data={"collection": collection, "threshold": "0.5"},
                )
                if answer.status_code == 503:  # a full queue says so; asking again is its answer
                    sleep(int(answer.headers["retry-after"]))
                    continue
                assert answer.status_code == 200, answer.text
                if not answer.json()["details"]:  # PostgreSQL was too slow to give the names
                    continue
                return answer.json()["faces"]

        alone = [ask(picture) for picture in pictures]
        with ThreadPoolExecutor(PROBES) as pool:
            together = list(pool.map(ask, pictures))

    assert together == alone
    assert len({str(faces[0]["bounding_box"]) for faces in alone}) == PROBES, "no two alike"
    person = enrolled.json()["person"]["id"]
    assert all(faces[0]["candidates"][0]["person"]["id"] == person for faces in alone)


def test_a_full_queue_says_so_at_once(serve: Any, group: bytes) -> None:
    service = serve(ROLLCALL_QUEUE_DEPTH="1", ROLLCALL_WORKERS="1")
    with service.client() as client, ThreadPoolExecutor(16) as pool:

        def ask(_: int) -> httpx.Response:
            return client.post("/detect", files={"image": group})

        answers = list(pool.map(ask, range(16)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert any(answer.status_code == 200 for answer in answers)
    assert refused
    for answer in refused:
        assert answer.json()["code"] == "overloaded"
        assert int(answer.headers["retry-after"]) >= 1


def test_who_has_left_is_dropped_before_the_next_stage(serve: Any, group: bytes) -> None:
    service = serve(ROLLCALL_WORKERS="1")
    with service.client() as client:
        request = client.build_request("POST", "/detect", files={"image": group})
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        raw = f"POST /detect HTTP/1.1\r\n{head}\r\n".encode() + request.read()
        address = (request.url.host, request.url.port or 80)
        callers = [socket.create_connection(address) for _ in range(40)]
        for caller in callers:
            caller.sendall(raw)
        sleep(1)  # long enough to be read, not to be answered: one thread works for all
        for caller in callers:
            caller.close()
        assert client.post("/detect", files={"image": group}).status_code == 200
        metrics = client.get("/metrics").text
    for name in ("departed_requests_total", 'queue_dropped_total{queue="look"}'):
        found = re.search(rf"^rollcall_{re.escape(name)} (\S+)$", metrics, re.MULTILINE)
        assert found, name
        assert float(found[1]) >= 1, name
