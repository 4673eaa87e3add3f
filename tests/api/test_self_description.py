"""What the service tells programs of itself, so that they can offer what is possible."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.settings import QualityLimits
from app.types import SCOPES
from app.usecases.thresholds import rates_between


def test_a_key_learns_what_it_may_do(
    make_key: Callable[..., Any], caller: Callable[..., httpx.Client]
) -> None:
    narrow = caller("identify", "read", collections=["staff"]).get("/keys/self").json()
    assert narrow["scopes"] == ["identify", "read"]
    assert narrow["collections"] == ["staff"]
    wide = caller("metrics").get("/keys/self").json()
    assert (wide["scopes"], wide["collections"]) == (["metrics"], None)
    assert wide["id"] != narrow["id"]
    assert "secret" not in wide


def test_nobody_may_do_everything_where_no_key_is_asked_for(client: httpx.Client) -> None:
    answer = client.get("/keys/self").json()
    assert answer["id"] is None
    assert set(answer["scopes"]) == set(SCOPES)


def test_limits_are_those_that_refuse(client: httpx.Client, hanks: bytes) -> None:
    limits = client.get("/limits").json()
    assert limits["quality"] == QualityLimits().model_dump()
    too_many = [("images", hanks)] * (limits["max_images"] + 1)
    refused = client.post("/enroll", files=too_many)
    assert f"at most {limits['max_images']}" in refused.json()["detail"]
    assert (limits["require_consent"], limits["keep_crops"]) == (False, False)


def test_without_a_calibration_there_is_one_threshold_and_no_targets(
    client: httpx.Client, hanks: bytes, collection: str
) -> None:
    assert client.get(f"/collections/{collection}/thresholds").status_code == 404
    client.post("/enroll", files={"images": hanks}, data={"collection": collection})
    told = client.get(f"/collections/{collection}/thresholds").json()
    used = client.post("/identify", files={"image": hanks}, data={"collection": collection}).json()
    assert told["default"] == {"threshold": used["threshold"], "target_fpir": None}
    assert told["targets"] == []
    assert (told["gallery_size"], told["model"]) == (used["gallery_size"], used["model"])


def test_a_pack_without_a_card_says_so(client: httpx.Client) -> None:
    model = client.get("/models").json()["models"][0]["model"]
    for name in (model, "0123456789abcdef"):
        answer = client.get(f"/models/{name}/card")
        assert (answer.status_code, answer.json()["code"]) == (404, "card_not_found")


@pytest.mark.parametrize(
    ("least", "most", "also"), [(0.01, 0.2, 0.01), (0.003, 0.5, 0.01), (0.0123, 0.0124, 0.01235)]
)
def test_rates_begin_and_end_where_the_calibration_does(
    least: float, most: float, also: float
) -> None:
    rates = rates_between(least, most, also=also)
    assert (rates[0], rates[-1]) == (least, most)
    assert also in rates
    assert rates == sorted(set(rates))
    assert len(rates) < 40
