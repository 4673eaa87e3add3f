"""A key leaves the client in one header, and in nothing else."""

import logging
import traceback
from pathlib import Path

import httpx
import pytest
from rollcall_client import AsyncRollcall, Rollcall, RollcallError

from tests.clients.conftest import ByRoad, answers, not_connected

SECRET = "rc_0123456789abcdef_BpQ7"  # noqa: S105


def test_the_key_is_in_no_log_no_repr_and_no_exception(
    by_road: ByRoad, caplog: pytest.LogCaptureFixture, pauses: list[float]
) -> None:
    caplog.set_level(logging.DEBUG)
    away = httpx.Response(302, headers={"Location": "https://elsewhere.example/"})
    for script in ([], [answers(away)], [not_connected] * 2, [answers(httpx.Response(200))]):
        client, road = by_road(*script, key=SECRET, retries=1)
        with pytest.raises(RollcallError) as refused:
            client.models()
        assert road.sent[0].headers["authorization"] == f"Bearer {SECRET}"
        told = "".join(traceback.format_exception(refused.value))
        for text in (repr(client), repr(vars(client)), told, repr(vars(refused.value))):
            assert SECRET not in text
    assert caplog.records
    assert SECRET not in caplog.text


@pytest.mark.parametrize("key", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}é", ""])
@pytest.mark.parametrize("kind", [Rollcall, AsyncRollcall])
def test_a_key_that_no_header_can_hold_is_refused_unseen(
    kind: type[Rollcall | AsyncRollcall], key: str
) -> None:
    with pytest.raises(ValueError, match="the key has characters") as refused:
        kind("http://localhost", key)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "", "http://", "/models"])
def test_an_address_without_scheme_or_host_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="begins with http"):
        Rollcall(url)


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(ValueError, match="leave user and password out"):
        Rollcall("http://me:secret@localhost")


def test_a_new_key_is_shown_to_who_asks_for_it_alone(rollcall: Rollcall) -> None:
    key = rollcall.make_key("door", ["identify"])
    secret = key.secret.get_secret_value()
    assert secret.startswith("rc_")
    assert secret not in repr(key)
    assert secret not in str(key)


def test_the_path_of_a_file_stays_at_home(by_road: ByRoad, tmp_path: Path, hanks: bytes) -> None:
    path = tmp_path / "Tom Hanks in court.png"
    path.write_bytes(hanks)
    client, road = by_road()
    client.detect(path)
    assert b"court" not in road.sent[0].content
