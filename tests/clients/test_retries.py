"""What is sent again, when, and what never is."""

import asyncio
from itertools import pairwise

import httpx
import pytest
from rollcall_client import AsyncRollcall, Rollcall
from rollcall_client.codes import DatabaseUnavailable, Overloaded, RateLimited
from rollcall_client.errors import TimedOut, UnexpectedAnswer, Unreachable
from rollcall_client.exchange import LONGEST_PAUSE

from tests.clients.conftest import (
    ByRoad,
    Fault,
    Road,
    answer_is_lost,
    answers,
    not_connected,
    refused,
)
from tests.service import Service


def keys_of(road: Road) -> list[str]:
    sent = [request.headers.get("idempotency-key") for request in road.sent]
    return [key for key in sent if key]


def test_an_enrolment_whose_answer_was_lost_happens_once(
    by_road: ByRoad, pauses: list[float], collection: str, hanks: bytes
) -> None:
    client, road = by_road(answer_is_lost, answer_is_lost)
    person = client.enroll(hanks, collection=collection).person
    assert [each.id for each in client.persons(collection)] == [person.id]
    assert client.collection(collection).revision == 1
    assert (len(keys_of(road)), len(set(keys_of(road)))) == (3, 1)
    assert len(pauses) == 2


def test_two_enrolments_have_two_keys_and_the_callers_own_is_kept(
    by_road: ByRoad, pauses: list[float], collection: str, hanks: bytes
) -> None:
    client, road = by_road()
    client.enroll(hanks, collection=collection)
    client.enroll(hanks, collection=collection)
    first = client.enroll(hanks, collection=collection, idempotency_key="mine")
    again = client.enroll(hanks, collection=collection, idempotency_key="mine")
    assert first.person.id == again.person.id
    assert len(set(keys_of(road))) == 3
    assert keys_of(road)[2:] == ["mine", "mine"]


def test_the_awaited_client_repeats_alike(
    shared_service: Service, collection: str, hanks: bytes
) -> None:
    class Flaky(httpx.AsyncHTTPTransport):
        sent = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.sent += 1
            if self.sent == 1:
                raise httpx.ConnectError("connection refused", request=request)
            answer = await super().handle_async_request(request)
            if self.sent == 2:
                await answer.aread()
                raise httpx.ReadError("the answer is lost", request=request)
            return answer

    async def use() -> tuple[int, int]:
        road = Flaky()
        async with AsyncRollcall(shared_service.url, transport=road) as rollcall:
            await rollcall.enroll(hanks, collection=collection)
            sent = road.sent
            return sent, (await rollcall.collection(collection)).person_count

    assert asyncio.run(use()) == (3, 1)


def test_an_erasure_whose_answer_was_lost_is_not_sent_again(
    by_road: ByRoad, rollcall: Rollcall, pauses: list[float], collection: str, hanks: bytes
) -> None:
    person = rollcall.enroll(hanks, collection=collection).person
    client, road = by_road(answer_is_lost)
    with pytest.raises(TimedOut):
        client.delete_person(person.id)
    assert len(road.sent) == 1
    assert list(rollcall.persons(collection)) == []


@pytest.mark.parametrize("fault", [not_connected, refused(429, "rate_limited")])
def test_an_erasure_that_never_began_is_sent_again(
    by_road: ByRoad, pauses: list[float], collection: str, fault: Fault
) -> None:
    client, road = by_road(fault, refused(503, "overloaded", **{"Retry-After": "1"}))
    client.make_collection(collection)
    assert len(road.sent) == 3


def test_an_erasure_of_which_it_is_not_known_is_left_alone(
    by_road: ByRoad, pauses: list[float], collection: str
) -> None:
    client, road = by_road(refused(503, "database_unavailable", **{"Retry-After": "1"}))
    with pytest.raises(DatabaseUnavailable):
        client.delete_collection(collection)
    assert len(road.sent) == 1
    assert pauses == []


def test_what_the_service_asks_to_wait_is_waited(by_road: ByRoad, pauses: list[float]) -> None:
    client, road = by_road(
        refused(429, "rate_limited", **{"Retry-After": "3"}),
        refused(503, "overloaded", **{"Retry-After": "2"}),
        refused(409, "idempotency_key_in_flight", **{"Retry-After": "1"}),
    )
    assert client.models().models
    assert len(road.sent) == 4
    assert [int(each) for each in pauses] == [3, 2, 1]


def test_pauses_grow_to_a_bound_and_end(by_road: ByRoad, pauses: list[float]) -> None:
    client, road = by_road(*[not_connected] * 20, retries=12)
    with pytest.raises(Unreachable, match="unreachable: The service cannot be reached"):
        client.models()
    assert len(road.sent) == 13
    assert 0.1 < pauses[0] < 0.3
    assert all(later <= 4 * earlier for earlier, later in pairwise(pauses))
    assert LONGEST_PAUSE / 2 <= pauses[-1] <= LONGEST_PAUSE
    assert len(set(pauses)) == 12


def test_with_no_retries_the_first_fault_is_the_last(by_road: ByRoad, pauses: list[float]) -> None:
    client, road = by_road(refused(503, "overloaded"), retries=0)
    with pytest.raises(Overloaded):
        client.models()
    assert len(road.sent) == 1


def test_a_limit_that_takes_longer_is_told_at_once(
    rollcall: Rollcall, shared_service: Service, pauses: list[float]
) -> None:
    key = rollcall.make_key("slow", ["read"], requests_a_minute=1).secret.get_secret_value()
    with Rollcall(shared_service.url, key) as slow:
        slow.models()
        with pytest.raises(RateLimited) as limited:
            slow.models()
    assert limited.value.retry_after is not None
    assert limited.value.retry_after > LONGEST_PAUSE
    assert pauses == []


def test_a_retry_after_may_be_a_date(by_road: ByRoad, pauses: list[float]) -> None:
    client, _ = by_road(
        refused(503, "overloaded", **{"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}),
        refused(503, "overloaded", **{"Retry-After": "soon"}),
    )
    assert client.models().models
    assert all(each < 1 for each in pauses)


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://elsewhere.example/enroll", "elsewhere.example"),
        ("/enroll/", "another path"),
    ],
)
def test_a_redirect_is_not_followed(
    by_road: ByRoad, pauses: list[float], location: str, named: str
) -> None:
    client, road = by_road(answers(httpx.Response(307, headers={"Location": location})))
    with pytest.raises(UnexpectedAnswer, match=rf"redirects \(307\) to {named}, which"):
        client.models()
    assert len(road.sent) == 1


def test_not_being_ready_is_an_answer(by_road: ByRoad, pauses: list[float]) -> None:
    waiting = {"ready": False, "waiting_for": ["index"]}
    client, _ = by_road(answers(httpx.Response(503, json=waiting)))
    assert client.ready().waiting_for == ["index"]
    assert pauses == []
