"""How the service starts, refuses to start, stops and starts again."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.commands.serve import _bound
from app.settings import Settings
from tests.service import ROOT, SECRET, VAULT, Service


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: v for name, v in os.environ.items() if not name.startswith("ROLLCALL_")}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env={**clean, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_embedded_postgres_comes_up_goes_down_and_keeps_its_data(
    tiny_pack: Path, tmp_path: Path, hanks: bytes
) -> None:
    data = tmp_path / "data"
    settings = {"ROLLCALL_PACK": str(tiny_pack), "ROLLCALL_DATA_DIR": str(data)}
    first = Service(settings)
    try:
        first.wait_until_ready()
        with first.client() as client:
            client.post("/enroll", files={"images": hanks}, data={"name": "Tom"})

        refused = run("serve", **settings, ROLLCALL_PORT="0")
        assert refused.returncode == 1
        assert "Another Rollcall works on" in refused.stderr

        assert first.terminate() == 0
        assert not (data / "postgres" / "data" / "postmaster.pid").exists()
        assert list((data / "snapshots").glob("*.snapshot"))
    finally:
        first.kill()

    second = Service(settings)
    try:
        second.wait_until_ready()
        with second.client() as client:
            found = client.post("/identify", files={"image": hanks}).json()
        assert found["faces"][0]["candidates"][0]["person"]["name"] == "Tom"
        assert second.terminate() == 0
    finally:
        second.kill()


def test_a_snapshot_is_believed_only_if_it_fits(
    serve: Callable[..., Service], tmp_path: Path, hanks: bytes, astronaut: bytes
) -> None:
    data = tmp_path / "data0"
    first = serve()
    with first.client() as client:
        client.post("/enroll", files={"images": hanks})
    assert first.terminate() == 0
    [snapshot] = (data / "snapshots").glob("*.snapshot")

    # Used as it is, with the changes that came after it.
    other = serve()
    with other.client() as client:
        client.post("/enroll", files={"images": astronaut})
    again = serve(ROLLCALL_DATA_DIR=str(data))
    with again.client() as client:
        assert client.post("/identify", files={"image": hanks}).json()["gallery_size"] == 2
    assert "snapshot_unusable" not in again.output()
    assert again.terminate() == 0

    # With one bit flipped it is dropped, and the index read from PostgreSQL.
    spoilt = bytearray(snapshot.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    snapshot.write_bytes(spoilt)
    last = serve(ROLLCALL_DATA_DIR=str(data))
    with last.client() as client:
        assert client.post("/identify", files={"image": hanks}).json()["gallery_size"] == 2
    assert "snapshot_unusable" in last.output()


def test_an_erased_person_leaves_the_snapshot(
    serve: Callable[..., Service], tmp_path: Path, hanks: bytes
) -> None:
    service = serve(ROLLCALL_SNAPSHOT_INTERVAL="0.2")
    with service.client() as client:
        person = client.post("/enroll", files={"images": hanks}).json()["person"]["id"]
        folder = tmp_path / "data0" / "snapshots"
        while not (files := list(folder.glob("*.snapshot"))):
            pass
        with_person = files[0].stat().st_size
        client.delete(f"/persons/{person}")
        while not (files := list(folder.glob("*.snapshot"))):
            pass
        assert files[0].stat().st_size < with_person


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ROLLCALL_PORT": "many"}, "ROLLCALL_PORT"),
        ({"ROLLCALL_PROT": "8000"}, "There is no setting ROLLCALL_PROT"),
        ({"ROLLCALL_QUALITY__MIN_FACE_SIZ": "8"}, "ROLLCALL_QUALITY__MIN_FACE_SIZ"),
        ({"ROLLCALL_DATABASE_URL": "mysql://x"}, "must begin with postgresql://"),
        ({"ROLLCALL_PACK": "no-such-pack"}, "no-such-pack"),
        ({"ROLLCALL_DEVICE": "cuda"}, "provider_unavailable"),
        ({"ROLLCALL_SEARCH_DEVICE": "cuda"}, "provider_unavailable"),
        (
            {"ROLLCALL_SEARCH_DEVICE": "cuda", "ROLLCALL_GALLERY_STORAGE": "int8"},
            "A GPU searches float32 rows in one stage",
        ),
        (
            {
                "ROLLCALL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
                "ROLLCALL_DATABASE_WAIT": "1",
            },
            "PostgreSQL did not answer",
        ),
        ({"ROLLCALL_DATABASE_URL": "no-such-database"}, "Check ROLLCALL_DATABASE_URL"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_a_wrong_installation_is_refused_by_name(
    tiny_pack: Path, postgres: str, tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    if settings.get("ROLLCALL_DATABASE_URL") == "no-such-database":
        settings = {"ROLLCALL_DATABASE_URL": postgres.format("no_such_database")}
    base = {
        "ROLLCALL_PACK": str(tiny_pack),
        "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
        "ROLLCALL_PORT": "0",
        "ROLLCALL_SECRET": SECRET,
    }
    refused = run("serve", **{**base, **settings})
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_that_is_taken_is_named(tiny_pack: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("serve", ROLLCALL_PORT=port, ROLLCALL_DATA_DIR=str(tmp_path))
    assert refused.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in refused.stderr


def test_settings_are_listed_and_secrets_masked() -> None:
    told = run("config", ROLLCALL_DATABASE_URL="postgresql://rollcall:s3cret@db/rollcall")
    assert told.returncode == 0
    assert "ROLLCALL_DATABASE_URL=********** " in told.stdout.replace("  [", " [")
    assert "s3cret" not in told.stdout + told.stderr
    assert "ROLLCALL_PORT=8000  [default]" in told.stdout


def test_help_helps() -> None:
    told = run("--help")
    assert told.returncode == 0
    for command in ("serve", "migrate", "config"):
        assert command in told.stdout


def test_a_secret_is_made_only_where_nobody_else_needs_it(
    tiny_pack: Path, database_url: str, tmp_path: Path
) -> None:
    base = {"ROLLCALL_PACK": str(tiny_pack), "ROLLCALL_PORT": "0"}
    for number, settings in enumerate(
        ({"ROLLCALL_DATABASE_URL": database_url}, {"ROLLCALL_HOST": "0.0.0.0"})  # noqa: S104
    ):
        data = tmp_path / str(number)
        refused = run("serve", **base, **settings, ROLLCALL_DATA_DIR=str(data))
        assert refused.returncode == 1
        assert "ROLLCALL_SECRET is not set" in refused.stderr
        assert not (data / "secret").exists()


def test_a_database_of_another_secret_is_refused(
    serve: Callable[..., Service], tiny_pack: Path, database_url: str, tmp_path: Path, hanks: bytes
) -> None:
    service = serve()
    with service.client() as client:
        assert client.post("/enroll", files={"images": hanks}).status_code == 201
    assert service.terminate() == 0
    settings = {
        "ROLLCALL_PACK": str(tiny_pack),
        "ROLLCALL_PORT": "0",
        "ROLLCALL_DATABASE_URL": database_url,
        "ROLLCALL_DATA_DIR": str(tmp_path / "other"),
        "ROLLCALL_SECRET": SECRET[::-1],
    }
    refused = run("serve", **settings)
    assert refused.returncode == 1
    assert f"another ROLLCALL_SECRET: {VAULT.primary}" in refused.stderr
    for secret in (SECRET, SECRET[::-1]):
        assert secret not in refused.stdout + refused.stderr
    told = run("config", **settings, ROLLCALL_OTHER_SECRETS=f'["{SECRET}"]')
    assert "ROLLCALL_OTHER_SECRETS" in told.stdout
    wrong = run("config", **settings, ROLLCALL_OTHER_SECRETS=SECRET)
    assert wrong.returncode == 1
    for secret in (SECRET, SECRET[::-1]):
        assert secret not in told.stdout + told.stderr + wrong.stdout + wrong.stderr


def test_answers_do_not_wait_for_an_acknowledgement() -> None:
    # asyncio turns Nagle off where a socket says that it is TCP; what is accepted says the same.
    with _bound(Settings(port=0)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.proto == socket.IPPROTO_TCP
