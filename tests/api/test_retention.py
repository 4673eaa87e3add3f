"""Consent and expiry: nobody is enrolled or kept against what was agreed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.service import Service
from tests.waiting import wait_until


def in_(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_consent_and_expiry_are_kept_shown_and_edited(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    wish = {"collection": collection, "consent": "form 17", "expires_at": "2031-05-01T00:00:00Z"}
    person = client.post("/enroll", files={"images": hanks}, data=wish).json()["person"]
    assert (person["consent"], person["expires_at"]) == ("form 17", "2031-05-01T00:00:00Z")
    edited = client.patch(
        f"/persons/{person['id']}", json={"consent": "form 18", "expires_at": None}
    ).json()
    assert (edited["consent"], edited["expires_at"]) == ("form 18", None)


@pytest.mark.parametrize("when", ["2020-01-01T00:00:00Z", "2031-05-01T00:00:00", "tomorrow", ""])
def test_an_expiry_that_is_past_or_without_a_zone_is_refused(
    client: httpx.Client, collection: str, hanks: bytes, when: str
) -> None:
    wish = {"collection": collection, "expires_at": when}
    answer = client.post("/enroll", files={"images": hanks}, data=wish)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "expires_at")


def test_whoever_is_past_their_time_is_not_identified_any_more_and_is_erased(
    serve: Callable[..., Service], hanks: bytes, astronaut: bytes
) -> None:
    service = serve()
    with service.client() as client:

        def enroll(image: bytes, **wish: str) -> Any:
            return client.post("/enroll", files={"images": image}, data=wish).json()["person"]

        kept = enroll(astronaut, expires_at=in_(3600))
        short = enroll(hanks, expires_at=in_(4))

        def names() -> list[str]:
            found = client.post("/identify", files={"image": hanks}, data={"threshold": "-1"})
            return [one["person"]["id"] for one in found.json()["faces"][0]["candidates"]]

        assert short["id"] in names()
        wait_until(lambda: short["id"] not in names())
        # The sweep runs each minute; at a start it runs at once.
    assert service.terminate() == 0
    with serve(ROLLCALL_DATA_DIR=service.settings["ROLLCALL_DATA_DIR"]).client() as client:
        wait_until(lambda: client.get(f"/persons/{short['id']}").status_code == 404)
        assert client.get(f"/persons/{kept['id']}").status_code == 200
        actions = [row["record"] for row in client.get("/audit").json()["records"]]
        [expired] = [one for one in actions if one["action"] == "person.expire"]
        assert expired["person_ids"] == [short["id"]]


def test_where_consent_is_mandatory_nobody_is_enrolled_without(
    serve: Callable[..., Service], hanks: bytes
) -> None:
    with serve(ROLLCALL_REQUIRE_CONSENT="true").client() as client:
        refused = client.post("/enroll", files={"images": hanks})
        assert (refused.status_code, refused.json()["code"]) == (422, "consent_missing")
        agreed = client.post("/enroll", files={"images": hanks}, data={"consent": "form 17"})
        assert agreed.status_code == 201
        person = agreed.json()["person"]["id"]
        more = {"files": {"images": hanks}, "data": {"person_id": person}}
        assert client.post("/enroll", **more).status_code == 201
        client.patch(f"/persons/{person}", json={"consent": None})
        assert client.post("/enroll", **more).status_code == 422
