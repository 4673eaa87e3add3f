"""Keys and secrets change while the service runs, is written to, and answers as before."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from PIL import Image

from tests.service import ROOT, SECRET, VAULT, Service, environment
from tests.waiting import wait_until

NEW_SECRET = "c4b1a09f8e7d6c5b4a39281706f5e4d3c2b1a0918273645566778899aabbccdd"  # noqa: S105


def secrets(*arguments: str, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "app", "secrets", *arguments],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(url: str, query: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    return asyncio.run(fetch())


def candidates(client: httpx.Client, image: bytes) -> Any:
    answer = client.post("/identify", files={"image": image}, data={"threshold": "-1"})
    assert answer.status_code == 200, answer.text
    return {
        one["person"]["id"]: one["similarity"]
        for face in answer.json()["faces"]
        for one in face["candidates"]
    }


class Writer:
    """Enrols, asks and deletes until it is stopped; every status that it was answered."""

    def __init__(self, service: Service, image: bytes) -> None:
        self.statuses: list[int] = []
        self._service = service
        self._image = image
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        with self._service.client() as client:
            while not self._enough.is_set():
                made = client.post(
                    "/enroll", files={"images": self._image}, data={"face": "largest"}
                )
                person = made.json()["person"]["id"]
                verified = client.post(
                    "/verify", files={"image": self._image}, data={"person_id": person}
                )
                gone = client.delete(f"/persons/{person}")
                self.statuses += [made.status_code, verified.status_code, gone.status_code]

    def stop(self) -> None:
        self._enough.set()
        self._thread.join()


def test_keys_are_rotated_under_writes_beside_a_service_with_its_own_postgres(
    tiny_pack: Path, short_folder: Path, hanks: bytes, astronaut: bytes
) -> None:
    data = short_folder / "data"
    settings = {
        "ROLLCALL_PACK": str(tiny_pack),
        "ROLLCALL_DATA_DIR": str(data),
        "ROLLCALL_KEEP_CROPS": "true",
        "ROLLCALL_SNAPSHOT_INTERVAL": "0.5",
    }
    service = Service(settings)
    try:
        service.wait_until_ready()
        url = f"postgresql://postgres@/rollcall?host={data / 'postgres' / 'socket'}"
        with service.client() as client:
            enrolled = client.post("/enroll", files={"images": hanks}).json()
            face = enrolled["faces"][0]["id"]
            crop = client.get(f"/faces/{face}/crop")
            assert crop.headers["content-type"] == "image/png"
            assert Image.open(BytesIO(crop.content)).size == (112, 112)
            before = candidates(client, hanks)
            [snapshot] = _appears(data / "snapshots")
            old_snapshot = snapshot.read_bytes()

            writer = Writer(service, astronaut)
            try:
                for _ in range(2):
                    said = secrets("rotate", "--collection", "default", **settings)
                    assert "1 older keys destroyed" in said
            finally:
                writer.stop()
            assert writer.statuses
            assert set(writer.statuses) == {200, 201}

            [key] = rows(url, "SELECT version FROM vault_keys WHERE collection_id IS NOT NULL")
            assert key["version"] == 3
            for table in ("templates", "crops"):
                versions = rows(url, f"SELECT DISTINCT key_version FROM {table}")
                assert [row["key_version"] for row in versions] == [3]
            assert candidates(client, hanks) == before
            assert client.get(f"/faces/{face}/crop").content == crop.content
        status = secrets("status", **settings)
        assert "keys of collection default  version 3: 1 templates" in status
        assert service.terminate() == 0
        assert b'"key_version": 3' in snapshot.read_bytes()

        # A snapshot of the key that is gone is worth nothing, and hurts nobody.
        snapshot.write_bytes(old_snapshot)
    finally:
        service.kill()
    again = Service(settings)
    try:
        again.wait_until_ready()
        with again.client() as client:
            assert candidates(client, hanks) == before
        assert "its key is not there any more" in again.output()
        assert again.terminate() == 0
    finally:
        again.kill()


def _appears(folder: Path) -> list[Path]:
    wait_until(lambda: any(folder.glob("*.snapshot")), "no snapshot was written")
    return list(folder.glob("*.snapshot"))


def test_replicas_move_to_another_secret_one_by_one_without_a_pause(
    serve: Callable[..., Service], database_url: str, hanks: bytes, astronaut: bytes
) -> None:
    new, old = {"ROLLCALL_SECRET": NEW_SECRET}, {"ROLLCALL_SECRET": SECRET}
    # 1. Every replica is given the new secret beside the old one.
    one = serve(**old, ROLLCALL_OTHER_SECRETS=f'["{NEW_SECRET}"]')
    with one.client() as client:
        client.post("/enroll", files={"images": hanks})
        before = candidates(client, hanks)
    # 2. One by one they get the new one as their first; both kinds work side by side.
    other = serve(**new, ROLLCALL_OTHER_SECRETS=f'["{SECRET}"]')
    with one.client() as here, other.client() as there:
        for client, name in ((here, "made by the first"), (there, "made by the second")):
            made = client.post(
                "/enroll", files={"images": astronaut}, data={"collection": name.replace(" ", "-")}
            )
            assert made.status_code == 201, made.text
        assert candidates(there, hanks) == before
        # 3. Every key is wrapped anew, and the old secret may go.
        settings = {**new, "ROLLCALL_DATABASE_URL": database_url}
        both = {**settings, "ROLLCALL_OTHER_SECRETS": f'["{SECRET}"]'}
        assert f"secret {VAULT.primary}  wraps 0 keys" not in secrets("status", **both)
        secrets("rewrap", **both)
        assert f"secret {VAULT.primary}  wraps 0 keys" in secrets("status", **both)
        assert candidates(here, hanks) == candidates(there, hanks) == before
    last = serve(**new)
    with last.client() as client:
        assert candidates(client, hanks) == before
