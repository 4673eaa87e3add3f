"""Clients of the shared service, and a way to it on which things go wrong as they are told to."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from rollcall_client import Rollcall

from tests.service import Service

Fault = Callable[[httpx.Request, httpx.HTTPTransport], httpx.Response]


class Road(httpx.BaseTransport):
    """The way to the real service. Each request meets the next fault of the script, if one is
    left; what was sent is kept."""

    def __init__(self, *script: Fault) -> None:
        self._script = list(script)
        self._way = httpx.HTTPTransport()
        self.sent: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.sent.append(request)
        if self._script:
            return self._script.pop(0)(request, self._way)
        return self._way.handle_request(request)

    def close(self) -> None:
        self._way.close()


def not_connected(request: httpx.Request, _: httpx.HTTPTransport) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def answer_is_lost(request: httpx.Request, way: httpx.HTTPTransport) -> httpx.Response:
    """The service does what it is asked, and nobody hears of it."""
    way.handle_request(request).read()
    raise httpx.ReadTimeout("the answer is lost", request=request)


def answers(response: httpx.Response) -> Fault:
    """What another service, a proxy, or this one on another day would answer."""
    return lambda _request, _way: response


def refused(status: int, code: str, **headers: str) -> Fault:
    body = {"code": code, "detail": "as the script says", "request_id": "r1"}
    return answers(httpx.Response(status, json=body, headers=headers))


ByRoad = Callable[..., tuple[Rollcall, Road]]


@pytest.fixture
def rollcall(shared_service: Service) -> Iterator[Rollcall]:
    with Rollcall(shared_service.url) as client:
        yield client


@pytest.fixture
def by_road(shared_service: Service) -> Iterator[ByRoad]:
    """A client whose requests meet faults, and the road they take."""
    clients: list[Rollcall] = []

    def go(*script: Fault, **options: Any) -> tuple[Rollcall, Road]:
        road = Road(*script)
        clients.append(Rollcall(shared_service.url, transport=road, **options))
        return clients[-1], road

    yield go
    for client in clients:
        client.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a blocking client would have waited; time is not spent on it."""
    waited: list[float] = []
    monkeypatch.setattr("rollcall_client.client.time.sleep", waited.append)
    return waited
