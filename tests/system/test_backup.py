"""Back up and restore a whole installation, and erase again what came back with it."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from app.store import backup, backup_manifest, collections, erasures
from app.store.backup_manifest import BackupManifest
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres, binaries
from app.store.errors import BackupFailed, RestoreRefused
from tests.conftest import TEMPLATE, execute
from tests.service import SECRET, Service
from tests.system.test_start import run
from tests.waiting import wait_until


@pytest.fixture
def empty_url(postgres: str) -> Iterator[str]:
    """A second database: migrated, and without a row."""
    name = f"test_{uuid4().hex[:12]}"
    asyncio.run(execute(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield postgres.format(name)
    asyncio.run(execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def beside() -> Iterator[Path]:
    """A folder for embedded servers: another session of pytest would close its own to them."""
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-backup-"))
    yield folder
    shutil.rmtree(folder)


def back_up(folder: Path, pack: Path, **settings: str) -> Any:
    """Its manifest."""
    done = run("backup", str(folder), ROLLCALL_PACK=str(pack), **_with_secret(settings))
    assert done.returncode == 0, done.stderr
    assert "NOT in it: the root secret" in done.stdout
    return json.loads((folder / "manifest.json").read_text())


def restore(folder: Path, pack: Path, *arguments: str, **settings: str) -> Any:
    return run(
        "restore", str(folder), *arguments, ROLLCALL_PACK=str(pack), **_with_secret(settings)
    )


def _with_secret(settings: dict[str, str]) -> dict[str, str]:
    """A named database comes with a secret that is named; an embedded one keeps its own."""
    return ({"ROLLCALL_SECRET": SECRET} if "ROLLCALL_DATABASE_URL" in settings else {}) | settings


def answer_of(service: Service, image: bytes, collection: str) -> Any:
    """What identify says, less what is another each time."""
    with service.client() as client:
        said = client.post("/identify", files={"image": image}, data={"collection": collection})
    assert said.status_code == 200, said.text
    return {name: value for name, value in said.json().items() if name != "request_id"}


class Writer:
    """Enrols without pause while it is entered; `answered` are the ids of persons, in order."""

    def __init__(self, url: str, image: bytes) -> None:
        self.answered: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._enrol, args=(url, image))

    def __enter__(self) -> "Writer":
        self._thread.start()
        self.wait_for_more(3)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def wait_for_more(self, count: int) -> None:
        until = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= until, "the service answered no enrolment")

    def _enrol(self, url: str, image: bytes) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not self._stopped.is_set():
                answer = client.post(
                    "/enroll", files={"images": image}, data={"on_duplicate": "allow"}
                )
                if answer.status_code == 201:
                    self.answered.append(answer.json()["person"]["id"])


def test_an_installation_is_backed_up_while_it_is_written_to_and_restored_elsewhere(
    tiny_pack: Path, beside: Path, hanks: bytes, astronaut: bytes
) -> None:
    first, second, folder = beside / "first", beside / "second", beside / "backup"
    settings = {"ROLLCALL_PACK": str(tiny_pack), "ROLLCALL_DATA_DIR": str(first)}
    service = Service(settings)
    try:
        service.wait_until_ready()
        with service.client() as client:
            client.post(
                "/enroll",
                files={"images": astronaut},
                data={"name": "Eileen", "collection": "crew"},
            )
        before = answer_of(service, astronaut, "crew")
        with Writer(service.url, hanks) as writer:
            answered = list(writer.answered)
            manifest = back_up(folder, tiny_pack, ROLLCALL_DATA_DIR=str(first))
            writer.wait_for_more(1)  # the backup left service and database alone
        # What an operator keeps elsewhere: the root secret of an embedded installation.
        secret = (first / "secret").read_bytes()
        assert_nowhere_in(folder, secret.strip())
    finally:
        service.kill()
        asyncio.run(EmbeddedPostgres(first / "postgres").stop())
    while (first / "postgres" / "data" / "postmaster.pid").exists():
        time.sleep(0.1)
    shutil.rmtree(first)

    second.mkdir(mode=0o700)
    (second / "secret").touch(mode=0o600)
    (second / "secret").write_bytes(secret)
    # The pack that lies in the backup is the one that the templates need.
    pack = folder / manifest["packs"][0]["folder"]
    restored = restore(folder, pack, ROLLCALL_DATA_DIR=str(second))
    assert restored.returncode == 0, restored.stderr
    assert "WHO WAS ERASED AFTER" in restored.stdout
    proved = run("audit", "verify", ROLLCALL_DATA_DIR=str(second))
    rows = manifest["state"]["rows"]["audit"]
    assert f"sound: records 1 to {rows}, head {rows}:" in proved.stdout

    service = Service({"ROLLCALL_PACK": str(pack), "ROLLCALL_DATA_DIR": str(second)})
    try:
        service.wait_until_ready()
        assert answer_of(service, astronaut, "crew") == before
        with service.client() as client:
            for person in answered:
                assert client.get(f"/persons/{person}").json()["face_count"] == 1
            [crew, default] = client.get("/collections").json()["collections"]
        for shown, promised in zip((crew, default), manifest["state"]["collections"], strict=True):
            assert shown["name"] == promised["name"]
            assert shown["revision"] == promised["revision"]
            assert shown["face_count"] == promised["faces"] == promised["templates"]
        assert len(answered) <= default["face_count"] <= len(writer.answered)
        assert answer_of(service, hanks, "default")["gallery_size"] == default["face_count"]
        assert service.terminate() == 0
    finally:
        service.kill()
        asyncio.run(EmbeddedPostgres(second / "postgres").stop())


def assert_nowhere_in(folder: Path, secret: bytes) -> None:
    dumped = subprocess.run(
        [binaries() / "pg_restore", "--file=-", folder / "database.dump"],
        capture_output=True,
        check=True,
    ).stdout
    assert b"COPY public.templates" in dumped
    for content in (dumped, *(f.read_bytes() for f in folder.rglob("*") if f.is_file())):
        assert secret not in content


def test_who_was_erased_after_the_backup_is_erased_again(
    serve: Callable[..., Service],
    database_url: str,
    empty_url: str,
    tiny_pack: Path,
    tmp_path: Path,
    hanks: bytes,
    astronaut: bytes,
    group: bytes,
) -> None:
    folder, log = tmp_path / "backup", tmp_path / "access.jsonl"
    service = serve()

    def enrol(image: bytes, collection: str = "default") -> str:
        with service.client() as client:
            answer = client.post(
                "/enroll",
                files={"images": image},
                data={"collection": collection, "on_duplicate": "allow", "face": "largest"},
            )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["person"]["id"])

    erased, expired, stays = enrol(hanks), enrol(hanks), enrol(astronaut)
    faceless = enrol(group)
    enrol(hanks, "visitors")
    with service.client() as client:
        [face] = client.get(f"/persons/{faceless}/faces").json()["faces"]
    enrol(hanks, "staff")
    old_staff, visitors = (
        collection_id(database_url, "staff"),
        collection_id(database_url, "visitors"),
    )
    with service.client() as client:
        client.delete("/collections/staff")
    enrol(hanks, "staff")  # another collection, by the name of an erased one
    back_up(folder, tiny_pack, ROLLCALL_DATABASE_URL=database_url)
    lines: list[dict[str, Any]] = [
        {"action": "collection.erase", "collection": "staff", "collection_id": old_staff},
        {"action": "person.erase", "person_ids": [erased]},
        {"action": "person.expire", "person_ids": [expired], "digest": "00"},
        {"action": "identify", "person_ids": [stays]},
        {"action": "face.erase", "face_ids": [face["id"]]},
        {"action": "collection.erase", "collection": "visitors", "collection_id": visitors},
        {"action": "person.erase", "person_ids": [str(uuid4())]},
    ]
    log.write_text(
        "".join(json.dumps({"sequence": n, **line}) + "\n" for n, line in enumerate(lines))
    )

    done = restore(folder, tiny_pack, "--erasures", str(log), ROLLCALL_DATABASE_URL=empty_url)
    assert done.returncode == 0, done.stderr
    assert "erased again: 2 persons, 1 faces, 1 collections" in done.stdout

    again = serve(ROLLCALL_DATABASE_URL=empty_url)
    with again.client() as client:
        for person in (erased, expired):
            assert client.get(f"/persons/{person}").status_code == 404
        assert client.get(f"/persons/{stays}").json()["face_count"] == 1
        assert client.get(f"/persons/{faceless}").json()["face_count"] == 0
        left = [each["name"] for each in client.get("/collections").json()["collections"]]
        assert left == ["default", "staff"]
        seen = client.post("/identify", files={"image": hanks}).json()
    assert seen["gallery_size"] == 1
    assert all(
        candidate["person"]["id"] == stays
        for found in seen["faces"]
        for candidate in found["candidates"]
    )
    repeated = asyncio.run(_repeat(empty_url, log))
    assert repeated == erasures.Repeated(persons=0, faces=0, collections=0)


def collection_id(url: str, name: str) -> str:
    async def find() -> str:
        database = Database(url, pool=2)
        try:
            async with database.transaction() as connection:
                return str((await collections.get(connection, name)).id)
        finally:
            await database.close()

    return asyncio.run(find())


async def _repeat(url: str, log: Path) -> erasures.Repeated:
    database = Database(url, pool=2)
    try:
        return await erasures.repeat(database, erasures.read(log))
    finally:
        await database.close()


def test_a_restore_refuses_what_it_should(
    serve: Callable[..., Service],
    database_url: str,
    empty_url: str,
    tiny_pack: Path,
    tmp_path: Path,
    hanks: bytes,
) -> None:
    whole, log = tmp_path / "whole", tmp_path / "log"
    service = serve()
    with service.client() as client:
        client.post("/enroll", files={"images": hanks})
    back_up(whole, tiny_pack, ROLLCALL_DATABASE_URL=database_url)
    again = run(
        "backup",
        str(whole),
        ROLLCALL_PACK=str(tiny_pack),
        ROLLCALL_DATABASE_URL=database_url,
        ROLLCALL_SECRET=SECRET,
    )
    assert "is not empty" in again.stderr
    refused = restore(whole, tiny_pack, ROLLCALL_DATABASE_URL=database_url)
    assert "A Rollcall works on this database" in refused.stderr
    assert service.terminate() == 0
    refused = restore(whole, tiny_pack, ROLLCALL_DATABASE_URL=database_url)
    assert refused.returncode == 1
    assert "The database is not empty" in refused.stderr

    log.write_text('{"sequence": 1}\n')
    refused = restore(whole, tiny_pack, "--erasures", str(log), ROLLCALL_DATABASE_URL=empty_url)
    assert "line 1: not an entry of the access log" in refused.stderr

    # A backup that lies of its content is found out when it is in.
    edit(whole, lambda manifest: manifest["state"]["collections"][0].update(digest="00"))
    refused = restore(whole, tiny_pack, ROLLCALL_DATABASE_URL=empty_url)
    assert "not what the backup promised" in refused.stderr


def test_a_restore_with_another_root_secret_says_so_and_the_right_one_still_serves(
    serve: Callable[..., Service],
    database_url: str,
    empty_url: str,
    tiny_pack: Path,
    tmp_path: Path,
    hanks: bytes,
) -> None:
    service = serve()
    with service.client() as client:
        client.post("/enroll", files={"images": hanks}, data={"name": "Tom"})
    back_up(tmp_path / "backup", tiny_pack, ROLLCALL_DATABASE_URL=database_url)
    done = restore(
        tmp_path / "backup",
        tiny_pack,
        ROLLCALL_DATABASE_URL=empty_url,
        ROLLCALL_SECRET=token_hex(32),
    )
    assert done.returncode == 1
    assert "Everything is restored, but" in done.stderr
    again = serve(ROLLCALL_DATABASE_URL=empty_url)
    found = answer_of(again, hanks, "default")
    assert found["faces"][0]["candidates"][0]["person"]["name"] == "Tom"


def edit(folder: Path, change: Callable[[Any], Any]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def flip_a_bit(folder: Path) -> None:
    dump = bytearray((folder / "database.dump").read_bytes())
    dump[len(dump) // 2] ^= 1
    (folder / "database.dump").write_bytes(dump)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (flip_a_bit, "database.dump has another SHA-256"),
        (lambda folder: (folder / "packs" / "0-p" / "f").unlink(), "packs/0-p/f is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "no complete backup"),
        (lambda folder: edit(folder, lambda m: m.update(format=2)), "format"),
        (lambda folder: edit(folder, lambda m: m.update(files={})), "names no database.dump"),
        (
            lambda folder: edit(folder, lambda m: m["state"].update(schema_revision="9999")),
            "newer Rollcall",
        ),
    ],
    ids=["flipped bit", "lost file", "no manifest", "other format", "no dump", "newer schema"],
)
def test_a_damaged_or_newer_backup_is_refused(
    database_url: str, tmp_path: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    folder = tmp_path / "backup"
    (folder / "packs" / "0-p").mkdir(parents=True)
    (folder / "packs" / "0-p" / "f").write_text("weights")

    async def work() -> None:
        database = Database(database_url, pool=2)
        try:
            state = await backup.dump(database, folder / "database.dump")
            files = backup_manifest.hashes(folder)
            backup_manifest.write(
                folder, BackupManifest(rollcall="0", state=state, packs=(), files=files)
            )
            backup_manifest.read(folder)
            spoil(folder)
            with pytest.raises(RestoreRefused, match=said):
                manifest = backup_manifest.read(folder)
                await backup.restore(database, folder / "database.dump", manifest.state)
        finally:
            await database.close()

    asyncio.run(work())


def test_a_dump_that_is_cut_short_is_no_backup(database_url: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.dump", tmp_path / "cut.dump"

    async def dump() -> backup.State:
        database = Database(database_url, pool=2)
        try:
            return await backup.dump(database, whole)
        finally:
            await database.close()

    state = asyncio.run(dump())
    assert backup.rows_in(whole) == state.rows
    content = whole.read_bytes()
    for end in (100, len(content) // 2, len(content) - 1):
        cut.write_bytes(content[:end])
        with pytest.raises(BackupFailed):
            assert backup.rows_in(cut) == state.rows


def test_there_must_be_something_to_back_up(tiny_pack: Path, tmp_path: Path) -> None:
    refused = run(
        "backup",
        str(tmp_path / "backup"),
        ROLLCALL_PACK=str(tiny_pack),
        ROLLCALL_DATA_DIR=str(tmp_path / "nothing"),
    )
    assert refused.returncode == 1
    assert "There is no database in" in refused.stderr
    assert not (tmp_path / "nothing").exists()


def test_the_password_is_on_no_command_line(
    database_url: str, tiny_pack: Path, tmp_path: Path
) -> None:
    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in psutil.process_iter(["name", "cmdline"]):
                if process.info["name"] in ("pg_dump", "pg_restore"):
                    seen.append(" ".join(process.info["cmdline"] or []))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        back_up(
            tmp_path / "backup",
            tiny_pack,
            ROLLCALL_DATABASE_URL=database_url.replace("postgres@", "postgres:s3cret@"),
        )
    finally:
        done.set()
        watching.join()
    assert any("--format=custom" in line for line in seen)
    assert "s3cret" not in "".join(seen)
