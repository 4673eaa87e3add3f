"""What the door refuses before a handler is asked, with the application behind it left out."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.api.door import Door
from app.api.intake import FIELDS, Intake
from app.api.loopback import CrossSite, is_loopback_host, refuse_other_sites
from app.api.metrics import Requests
from app.errors import Overloaded
from app.main import create_app
from app.settings import Settings

SMALL = {"max_image_bytes": 30_000, "max_images": 3, "body_memory": 1_200_000}
Headers = list[tuple[bytes, bytes]]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


async def swallow(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body and says how long it was."""
    count = 0
    while True:
        message = await receive()
        count += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"code": count}).encode()})


def door(
    app: Any = swallow,
    admit: Callable[[], None] = lambda: None,
    keyless: bool = False,
    **settings: Any,
) -> Door:
    return Door(
        app,
        requests=Requests(CollectorRegistry()),
        intake=Intake(Settings(**settings)),
        admit=admit,
        keyless=keyless,
    )


class Caller:
    """Sends a body in pieces, each when it is told to, and keeps what it hears."""

    def __init__(
        self, path: str, *pieces: bytes, method: str = "POST", headers: Headers | None = None
    ) -> None:
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": headers or [(b"host", b"localhost")],
            "query_string": b"",
        }
        self.pieces = list(pieces)
        self.read = 0
        self.go = asyncio.Event()
        self.leave = asyncio.Event()
        self.heard: list[Any] = []

    async def receive(self) -> Any:
        if self.read < len(self.pieces):
            self.read += 1
            last = self.read == len(self.pieces)
            body = self.pieces[self.read - 1]
            return {"type": "http.request", "body": body, "more_body": not last or self.go_on}
        if self.go_on and not self.go.is_set():
            waits = [asyncio.ensure_future(each.wait()) for each in (self.go, self.leave)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()
            if self.go.is_set():
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.disconnect"}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    go_on = False
    """Whether the end of the body waits until `go` is set."""

    async def send(self, message: Any) -> None:
        self.heard.append(message)

    async def ask(self, through: Door) -> Answer:
        await through(self.scope, self.receive, self.send)
        start = self.heard[0]
        return Answer(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in self.heard[1:]),
        )


def ask(through: Door, *given: Any, **named: Any) -> Answer:
    return asyncio.run(Caller(*given, **named).ask(through))


def chunks(total: int) -> list[bytes]:
    return [b"x" * min(50_000, total - at) for at in range(0, total, 50_000)]


ROUTES = [
    ("/identify", 1),
    ("/detect", 1),
    ("/embeddings", 1),
    ("/verify", 2),
    ("/enroll", 3),
    ("/collections", 0),
    ("/persons/7", 0),
    ("/nowhere", 0),
]


@pytest.mark.parametrize(("path", "images"), ROUTES)
def test_a_route_takes_the_bytes_of_its_images_and_no_more(path: str, images: int) -> None:
    most = FIELDS + images * 40_000
    assert ask(door(**SMALL), path, *chunks(most)).status == 200
    streamed = Caller(path, *chunks(most + 1), *chunks(10_000_000))
    refused = asyncio.run(streamed.ask(door(**SMALL)))
    assert (refused.status, refused.code) == (413, "body_too_large")
    assert refused.headers["connection"] == "close"
    assert streamed.read < 40, "the rest was not read"


@pytest.mark.parametrize(("path", "images"), ROUTES)
def test_a_promise_of_too_many_bytes_is_refused_unread(path: str, images: int) -> None:
    length = str(FIELDS + images * 40_000 + 1).encode()
    caller = Caller(path, b"x", headers=[(b"host", b"localhost"), (b"content-length", length)])
    refused = asyncio.run(caller.ask(door(**SMALL)))
    assert (refused.status, refused.code) == (413, "body_too_large")
    assert refused.headers["connection"] == "close"
    assert caller.read == 0


def test_every_operation_that_takes_images_has_room_for_them() -> None:
    settings = Settings()
    documented = {
        path
        for path, operations in create_app(settings).openapi()["paths"].items()
        if '"binary"' in json.dumps(operations.get("post", {}).get("requestBody", {}))
    }
    assert {"/identify", "/detect", "/verify", "/enroll"} <= documented
    assert documented <= set(Intake(settings).images)


def test_bodies_in_flight_share_a_memory_and_give_it_back() -> None:
    async def work() -> None:
        through = door(**SMALL)
        first = Caller("/collections", *chunks(900_000))
        first.go_on = True
        asking = asyncio.create_task(first.ask(through))
        await asyncio.sleep(0.05)
        for headers in ([], [(b"content-length", b"500000")]):
            second = Caller(
                "/collections", *chunks(500_000), headers=[(b"host", b"localhost"), *headers]
            )
            refused = await second.ask(through)
            assert (refused.status, refused.code) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.headers["connection"] == "close"
            assert second.read == 0 if headers else second.read < 10
        small = await Caller("/collections", b"{}").ask(through)
        assert small.status == 200, "what fits is let in"
        first.go.set()
        assert (await asking).status == 200
        assert through._intake.memory.held == 0
        assert (await Caller("/collections", *chunks(500_000)).ask(through)).status == 200

    asyncio.run(work())


def test_memory_is_given_back_by_who_leaves_and_by_who_fails() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("a fault of ours")

    async def work() -> None:
        through = door(**SMALL)
        leaver = Caller("/collections", *chunks(900_000))
        leaver.go_on = True
        asking = asyncio.create_task(through(leaver.scope, leaver.receive, leaver.send))
        await asyncio.sleep(0.05)
        assert through._intake.memory.held == 900_000
        leaver.leave.set()
        await asking
        assert through._intake.memory.held == 0
        failing = door(broken, **SMALL)
        assert (await Caller("/collections", *chunks(900_000)).ask(failing)).status == 500
        assert failing._intake.memory.held == 0

    asyncio.run(work())


def test_a_body_that_stops_is_a_timeout_and_the_application_taking_its_time_is_not() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.5)
        await swallow(scope, receive, send)

    async def work() -> None:
        stopped = Caller("/collections", b"{")
        stopped.go_on = True
        refused = await stopped.ask(door(body_seconds=0.2))
        assert (refused.status, refused.code) == (408, "body_timeout")
        assert refused.headers["connection"] == "close"
        assert await Caller("/collections", *chunks(300_000)).ask(door(slow, body_seconds=0.2))
        patient = await Caller("/collections", b"{", b"}").ask(door(slow, body_seconds=0.2))
        assert patient.status == 200

    asyncio.run(work())


def too_busy() -> None:
    raise Overloaded("Stage 'look' is busy for 2.3 s.", retry_after=3)


@pytest.mark.parametrize(("path", "images"), ROUTES)
def test_where_images_would_wait_too_long_they_are_refused_unread(path: str, images: int) -> None:
    caller = Caller(path, *chunks(30_000))
    answer = asyncio.run(caller.ask(door(admit=too_busy)))
    if images:
        assert (answer.status, answer.code) == (503, "overloaded")
        assert answer.headers["retry-after"] == "3"
        assert answer.headers["connection"] == "close", "the unread body must not be a request"
        assert caller.read == 0
    else:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/persons", "/detect"])
def test_what_has_no_image_is_never_shed(path: str) -> None:
    assert ask(door(admit=too_busy), path, b"", method="GET").status == 200


OWN = [b"localhost", b"LOCALHOST:8000", b"127.0.0.1", b"127.0.0.1:80", b"127.8.9.1", b"[::1]:8000"]
FOREIGN = [
    b"evil.example",
    b"evil.example:8000",
    b"localhost.evil.example",
    b"127.0.0.1.evil.example",
    b"localhost@evil.example",
    b"192.168.0.4:8000",
    b"0.0.0.0",
    b"2130706433",
    b"[fe80::1]",
    b"",
    b"localhost, evil.example",
    b"\xff",
]


@pytest.mark.parametrize("host", OWN)
def test_a_loopback_name_is_let_in(host: bytes) -> None:
    refuse_other_sites([(b"host", host)])


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_was_made_to_point_here_is_refused(host: bytes) -> None:
    with pytest.raises(CrossSite):
        refuse_other_sites([(b"host", host)])
    assert not is_loopback_host(host.decode("latin-1"))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"localhost"), (b"host", b"localhost")],
        [(b"host", b"localhost:8000"), (b"origin", b"http://evil.example")],
        [(b"host", b"localhost:8000"), (b"origin", b"http://localhost:3000")],
        [(b"host", b"localhost:8000"), (b"origin", b"null")],
        [(b"host", b"localhost:8000"), (b"sec-fetch-site", b"cross-site")],
        [(b"host", b"localhost:8000"), (b"sec-fetch-site", b"same-site")],
    ],
)
def test_a_request_of_another_site_is_refused(headers: Headers) -> None:
    with pytest.raises(CrossSite):
        refuse_other_sites(headers)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8000")],
        [(b"host", b"localhost:8000"), (b"sec-fetch-site", b"same-origin")],
        [(b"host", b"127.0.0.1:8000"), (b"sec-fetch-site", b"none")],
    ],
)
def test_the_pages_of_the_service_itself_may_ask(headers: Headers) -> None:
    refuse_other_sites(headers)


def test_the_guard_stands_where_there_are_no_keys_and_only_there() -> None:
    headers = [(b"host", b"evil.example")]
    refused = ask(door(keyless=True), "/detect", b"", headers=headers)
    assert (refused.status, refused.code) == (403, "cross_site")
    assert ask(door(keyless=False), "/detect", b"", headers=headers).status == 200


@pytest.mark.parametrize(
    ("settings", "required"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "127.0.0.2"}, False),
        ({"host": "::1"}, False),
        ({"host": "0.0.0.0"}, True),  # noqa: S104
        ({"host": "::"}, True),
        ({"host": "10.0.0.1"}, True),
        ({"host": "rollcall.internal"}, True),
        ({"require_keys": True}, True),
    ],
)
def test_keys_are_required_beyond_loopback_and_where_asked_for(
    settings: dict[str, Any], required: bool
) -> None:
    assert Settings(**settings).keys_required is required
