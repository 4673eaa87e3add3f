"""Refusals come as exceptions of their own, with what the service had to say."""

import pickle
import re
from typing import Any

import httpx
import pytest
from rollcall_client import Rollcall, RollcallError, codes, errors

from tests.clients.conftest import ByRoad, answers
from tests.service import Service


def test_an_enrolment_of_nothing_says_why_image_by_image(
    rollcall: Rollcall, collection: str, group: bytes, faceless: bytes
) -> None:
    with pytest.raises(codes.NothingEnrolled) as refused:
        rollcall.enroll([group, faceless], collection=collection)
    reasons = [each["reasons"] for each in refused.value.facts["rejected"]]
    assert reasons == [["several_faces"], ["face_not_found"]]
    assert refused.value.status == 422


def test_a_look_alike_is_named(rollcall: Rollcall, collection: str, hanks: bytes) -> None:
    person = rollcall.enroll(hanks, collection=collection).person
    with pytest.raises(codes.DuplicatePerson) as refused:
        rollcall.enroll(hanks, collection=collection, on_duplicate="reject")
    assert isinstance(refused.value, errors.Conflict)
    assert refused.value.facts["duplicates"][0]["person_id"] == str(person.id)


def test_an_image_that_is_none_is_named(rollcall: Rollcall, hanks: bytes) -> None:
    with pytest.raises(codes.ImageTypeUnsupported) as refused:
        rollcall.verify(hanks, b"no image")
    assert refused.value.facts["image"] == "target"
    assert refused.value.request_id
    assert str(refused.value).startswith("image_type_unsupported: The content is no image")
    assert refused.value.request_id in str(refused.value)


def test_a_key_that_is_unknown_or_for_something_else_is_told_apart(
    rollcall: Rollcall, shared_service: Service, hanks: bytes
) -> None:
    with Rollcall(shared_service.url, "rc_0123456789abcdef_nonsense") as stranger:
        with pytest.raises(codes.KeyInvalid) as refused:
            stranger.models()
        assert isinstance(refused.value, errors.Unauthenticated)
    reader = rollcall.make_key("reader", ["read"]).secret.get_secret_value()
    with Rollcall(shared_service.url, reader) as client:
        with pytest.raises(codes.ScopeMissing) as forbidden:
            client.identify(hanks)
        assert isinstance(forbidden.value, errors.Forbidden)
        assert forbidden.value.facts["scopes"] == ["identify"]


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (304, errors.UnexpectedAnswer),
        (400, errors.BadRequest),
        (401, errors.Unauthenticated),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (418, errors.BadRequest),
        (429, errors.TooManyRequests),
        (500, errors.ServerFault),
        (501, errors.ServerFault),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
    ],
)
@pytest.mark.parametrize("body", [b"<html>a proxy's page</html>", b"[]", b'{"code": 1}'])
def test_an_answer_of_somebody_else_is_of_its_statuss_family(
    by_road: ByRoad, status: int, family: type[RollcallError], body: bytes
) -> None:
    client, _ = by_road(answers(httpx.Response(status, content=body)), retries=0)
    with pytest.raises(family, match="without a problem of Rollcall's") as refused:
        client.models()
    assert (refused.value.status, refused.value.code) == (status, family.code)


def test_a_code_of_a_newer_service_is_kept(by_road: ByRoad) -> None:
    new = {"code": "not_thought_of", "detail": "Something new.", "request_id": "r7", "more": [1]}
    client, _ = by_road(answers(httpx.Response(409, json=new)))
    with pytest.raises(errors.Conflict) as refused:
        client.models()
    assert (refused.value.code, refused.value.facts) == ("not_thought_of", {"more": [1]})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"status": None}, "status: Input should be a valid string"),
        ({}, "status: Field required"),
    ],
)
def test_an_answer_without_its_fields_is_refused(
    by_road: ByRoad, change: dict[str, Any], complaint: str
) -> None:
    client, _ = by_road(answers(httpx.Response(200, json=change)))
    with pytest.raises(errors.UnexpectedAnswer, match=re.escape(complaint)):
        client.health()


def test_an_answer_with_more_fields_is_taken(by_road: ByRoad) -> None:
    client, _ = by_road(answers(httpx.Response(200, json={"status": "ok", "new": {}})))
    assert client.health().status == "ok"


def test_an_error_comes_whole_through_another_process() -> None:
    error = codes.ScopeMissing("No.", status=403, request_id="r1", facts={"scopes": ["read"]})
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert type(again) is codes.ScopeMissing
    assert vars(again) == vars(error)
    assert str(again) == str(error) == "scope_missing: No. (request r1)"
