"""What is erased is not in any file of the data directory, and templates never were."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from PIL import Image

from app.store import collections, history
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres
from app.vault import Vault, read_secret
from tests.service import Service
from tests.waiting import wait_until

WINDOW = 32
"""Bytes of a needle: a part of a template or picture that small is taken for all of it."""


def needles(body: bytes) -> list[bytes]:
    """Three parts of `body` that nothing else holds by chance: what repeats itself is left out."""
    parts = [body[at : at + WINDOW] for at in range(0, len(body) - WINDOW + 1, WINDOW)]
    telling = [part for part in parts if len(set(part)) > WINDOW // 4]
    assert telling
    return telling[:: max(1, len(telling) // 3)][:3]


def found_in(paths: Iterable[Path], wanted: Mapping[str, list[bytes]]) -> dict[str, set[str]]:
    """What of `wanted` is in which files: any needle counts."""
    found: dict[str, set[str]] = {}
    for path in paths:
        try:
            body = path.read_bytes()
        except FileNotFoundError:  # the server may remove one while we look
            continue
        for what, parts in wanted.items():
            if any(part in body for part in parts):
                found.setdefault(what, set()).add(str(path))
    return found


def files_of(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def plain_forms(vector: bytes) -> list[bytes]:
    """A template as float32 and float16, in both byte orders."""
    values = np.frombuffer(vector, "<f4")
    return [
        part
        for kind in ("<f4", ">f4", "<f2", ">f2")
        for part in needles(values.astype(kind).tobytes())
    ]


def pixel_forms(png: bytes) -> list[bytes]:
    """A crop as the PNG, without what all PNGs begin and end with, and as RGB and BGR pixels."""
    pixels = np.asarray(Image.open(BytesIO(png)).convert("RGB"))
    raw = (pixels.tobytes(), pixels[..., ::-1].tobytes())
    return needles(png[64:-16]) + [part for body in raw for part in needles(body)]


def on(url: str, *statements: str) -> list[Any]:
    """Run them on a connection of its own; the rows of the last."""

    async def work() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return list(await connection.fetch(statements[-1]))
        finally:
            await connection.close()

    return asyncio.run(work())


def plain_templates(url: str, secret: str) -> list[bytes]:
    """Every template, opened as the service opens them."""

    async def work() -> list[bytes]:
        database = Database(url, pool=2, vault=Vault(read_secret(secret, "the file")))
        try:
            async with database.snapshot() as connection:
                return [
                    vector.tobytes()
                    for home in await collections.heads(connection)
                    if home.model is not None
                    for dimension in [await history.dimension_of(connection, home)]
                    async for rows in history.load(connection, home, dimension)
                    for vector in rows.vectors
                ]
        finally:
            await database.close()

    return asyncio.run(work())


def enrol(service: Service, image: bytes, canary: str, collection: str = "default") -> Any:
    with service.client() as client:
        answer = client.post(
            "/enroll",
            files={"images": image},
            data={
                "collection": collection,
                "face": "largest",
                "name": f"{canary}-name",
                "external_id": f"{canary}-external",
                "metadata": json.dumps({"note": f"{canary}-metadata"}),
            },
            headers={"Idempotency-Key": f"key-{canary[::-1]}"},
        )
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def service(tiny_pack: Path, short_folder: Path) -> Any:
    service = Service(
        {
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(short_folder / "data"),
            "ROLLCALL_KEEP_CROPS": "true",
            "ROLLCALL_SNAPSHOT_INTERVAL": "0.3",
            "ROLLCALL_LOG_LEVEL": "debug",
        }
    )
    yield service
    service.kill()


def test_no_file_holds_a_template_or_a_crop_nor_anything_of_who_was_erased(
    service: Service, short_folder: Path, hanks: bytes, astronaut: bytes, group: bytes
) -> None:
    data = short_folder / "data"
    service.wait_until_ready()
    url = f"postgresql://postgres@/rollcall?host={data / 'postgres' / 'socket'}"

    kept = enrol(service, hanks, "Zaunkoenig")
    erased = enrol(service, astronaut, "Kanarienvogel")
    dropped = enrol(service, group, "Rotkehlchen", collection="dropped")
    everyone = (kept, erased, dropped)
    largest = {"face": "largest"}
    with service.client() as client:
        second = client.post(
            "/enroll",
            files={"images": group},
            data={**largest, "person_id": kept["person"]["id"]},
        ).json()["faces"][0]["id"]
        faces = [one["faces"][0]["id"] for one in everyone] + [second]
        crops = [client.get(f"/faces/{face}/crop").content for face in faces]
        _await_snapshots(data / "snapshots", 2)
        templates = plain_templates(url, (data / "secret").read_text())
        sealed = on(
            url,
            "SELECT face_id::text, vector, picture FROM templates JOIN crops USING (face_id)",
        )
        assert len(templates) == len(sealed) == len(crops) == 4

        assert client.delete(f"/persons/{erased['person']['id']}").status_code == 200
        assert client.delete(f"/faces/{second}").status_code == 200
        assert client.delete("/collections/dropped").status_code == 200

    plain = {
        **{f"template {n}": plain_forms(body) for n, body in enumerate(templates)},
        **{f"crop {n}": pixel_forms(body) for n, body in enumerate(crops)},
    }
    words = {
        f"{canary} {part}": [f"{canary}-{part}".encode()]
        for canary in ("Kanarienvogel", "Rotkehlchen")
        for part in ("name", "external", "metadata")
    }
    gone = [row for row in sealed if row["face_id"] != kept["faces"][0]["id"]]
    assert len(gone) == 3
    words |= {f"sealed {n}": needles(row["vector"]) for n, row in enumerate(gone)}
    words |= {f"sealed crop {n}": needles(row["picture"]) for n, row in enumerate(gone)}

    # At once, whatever the server does with its files: nothing of it was ever there in plain.
    on(url, "VACUUM", "CHECKPOINT")
    assert found_in([*files_of(data), service.log], plain) == {}
    assert on(url, "SELECT answer FROM idempotency WHERE answer::text LIKE '%Kanarienvogel%'") == []
    assert on(url, "SELECT 1 FROM vault_keys WHERE version = 1 AND purpose = 'collection'") != []

    # What stays behind in free space and in the log of writes goes when both are made anew.
    on(url, "VACUUM (FULL, ANALYZE)", "CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT")
    assert service.terminate() == 0
    everything = [*files_of(data), service.log]
    assert found_in(everything, plain) == {}
    assert found_in(everything, words) == {}

    # The scan finds what is there: a name that is kept, and a template that is stored in plain.
    there = found_in(everything, {"kept": [b"Zaunkoenig-name"]})
    assert any("/postgres/data/base/" in path for path in there["kept"])
    store_in_plain(data, kept["faces"][0]["id"], templates[0])
    assert found_in(files_of(data), {"template": plain_forms(templates[0])}) != {}


def _await_snapshots(folder: Path, count: int) -> None:
    wait_until(
        lambda: len(list(folder.glob("*.snapshot"))) >= count, "the snapshots were not written"
    )


def store_in_plain(data: Path, face: str, template: bytes) -> None:
    """As a version without encryption would have."""

    async def work() -> None:
        server = EmbeddedPostgres(data / "postgres")
        url = await server.start()
        try:
            connection = await asyncpg.connect(url)
            await connection.execute(
                "UPDATE templates SET vector = $1, key_version = NULL WHERE face_id = $2",
                template,
                face,
            )
            await connection.execute("CHECKPOINT")
            await connection.close()
        finally:
            await server.stop()

    asyncio.run(work())
