"""Fill a collection with made-up persons at the speed of COPY, for benchmarks of large galleries.

    python -m benchmarks.filling --data-dir DIR --pack PACK [--templates 1000000] [--name people]

DIR is the data directory of a service that is not running: its embedded PostgreSQL is started,
filled and stopped, and a service that is started on DIR then has the collection. What is written is
what so many enrolments would have written: every template sealed under the collection's key, and a
gap-free history of changes with its digests. Only the access log says nothing of it, and foreign
keys and indexes are not looked at while rows arrive: indexes are built at the end.

Vectors are random and of length one; `members` makes them again without a database.
"""

import argparse
import asyncio
import io
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray

from app import logs
from app.opening import open_database
from app.settings import Settings
from app.store import collections, migrate, vaultkeys
from app.store.change import chain
from app.store.database import Database
from app.store.sealing import TemplateSeals
from app.types import Floats, Position
from app.vision.pack import read_pack

BATCH: Final = 10_000
"""Persons of one change."""

_TABLES: Final = ("persons", "faces", "templates")
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_FLOAT4: Final = 700  # the type's number in PostgreSQL
_QUALITY: Final = (
    b'\x01{"size": 90.0, "sharpness": 120.0, "brightness": 0.5, "yaw": 0.0, "pitch": 0.0, '
    b'"roll": 0.0, "detection_score": 0.9}'
)

Ids = NDArray[np.uint8]
"""UUIDs as uint8[N, 16]."""


def members(seed: int, count: int, dimension: int) -> Iterator[tuple[Ids, Ids, Floats]]:
    """Face ids, person ids and vectors float32[<= BATCH, D] of `count` persons, batch by batch.

    The same for the same arguments, and a smaller count is the beginning of a larger one.
    """
    for number, begin in enumerate(range(0, count, BATCH)):
        size = min(BATCH, count - begin)
        random = np.random.default_rng((seed, number))
        yield (_uuids(random)[:size], _uuids(random)[:size], unit(random, size, dimension))


def unit(random: np.random.Generator, count: int, dimension: int) -> Floats:
    """Vectors of length one, evenly spread over the sphere: float32[N, D]."""
    vectors = random.standard_normal((count, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


async def fill(
    database: Database, name: str, model: str, dimension: int, count: int, *, seed: int = 0
) -> None:
    """Make collection `name`, bound to `model`, of the `count` persons of `members`.

    The database must be migrated, without a collection of that name, and its role a superuser, as
    in the embedded server.
    """
    async with database.transaction() as connection:
        collection = await collections.create(connection, name)
        await collections.bind(connection, collection, model, dimension)
        key = await vaultkeys.for_writing(connection, collection.id)
    seals = TemplateSeals(collection.id, model, {key.version: key})
    batches = members(seed, count, dimension)

    def prepare() -> _Batch | None:
        batch = next(batches, None)
        return None if batch is None else _prepare(collection.id, model, seals, key.version, *batch)

    position = collection.position
    driver = await asyncpg.connect(database.url)  # of its own: it gets settings that no other may
    try:
        await driver.execute("SET synchronous_commit = off; SET session_replication_role = replica")
        await driver.execute("SET allow_system_table_mods = on; SET maintenance_work_mem = '256MB'")
        for table in _TABLES:
            await driver.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            await driver.execute(
                "UPDATE pg_index SET indisready = false WHERE indrelid = $1::text::regclass", table
            )
        batch = await asyncio.to_thread(prepare)
        while batch is not None:
            upcoming = asyncio.create_task(asyncio.to_thread(prepare))
            parent, position = position, chain(position, batch.added, [])
            await _write(driver, collection.id, batch, parent, position)
            batch = await upcoming
        # As years of writing, autovacuum and checkpoints leave them.
        for table in _TABLES:
            await driver.execute(f"REINDEX TABLE {table}")
            await driver.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)")
            await driver.execute(f"VACUUM (ANALYZE) {table}")
        await driver.execute("CHECKPOINT")
    finally:
        await driver.close()


@dataclass(frozen=True, slots=True)
class _Batch:
    """One change: what the chain of digests has of it, and the bodies to copy by table."""

    added: Sequence[tuple[UUID, UUID, bytes]]
    bodies: Mapping[str, tuple[Sequence[str], bytes]]


def _prepare(
    home: UUID,
    model: str,
    seals: TemplateSeals,
    version: int,
    faces: Ids,
    persons: Ids,
    vectors: Floats,
) -> _Batch:
    count = len(faces)
    plain = [vector.tobytes() for vector in vectors.astype("<f4", copy=False)]
    face_ids = [face.tobytes() for face in faces]
    sealed = b"".join(
        seals.seal(version, face, vector) for face, vector in zip(face_ids, plain, strict=True)
    )
    names = b"".join(b"Person " + person.tobytes().hex()[:12].encode() for person in persons)
    collection = np.broadcast_to(np.frombuffer(home.bytes, np.uint8), (count, 16))
    return _Batch(
        [
            (UUID(bytes=face), UUID(bytes=person.tobytes()), vector)
            for face, person, vector in zip(face_ids, persons, plain, strict=True)
        ],
        {
            "persons": _rows(
                count,
                id=persons,
                collection_id=collection,
                name=_split(names, count),
                metadata=b"\x01{}",
            ),
            "faces": _rows(
                count,
                id=faces,
                collection_id=collection,
                person_id=persons,
                bounding_box=_reals(80.0, 70.0, 90.0, 120.0),
                landmarks=_reals(*range(10)),
                detection_score=struct.pack(">f", 0.9),
                quality=_QUALITY,
            ),
            "templates": _rows(
                count,
                face_id=faces,
                model=model.encode(),
                collection_id=collection,
                person_id=persons,
                key_version=struct.pack(">i", version),
                vector=_split(sealed, count),
            ),
        },
    )


async def _write(
    driver: "asyncpg.Connection[asyncpg.Record]",
    home: UUID,
    batch: _Batch,
    parent: Position,
    position: Position,
) -> None:
    async with driver.transaction():
        for table, (columns, body) in batch.bodies.items():
            await driver.copy_to_table(
                table, source=io.BytesIO(body), columns=columns, format="binary"
            )
        await driver.execute(
            "INSERT INTO changes (collection_id, revision, parent, digest, added, removed) "
            "VALUES ($1, $2, $3, $4, $5, '{}')",
            home,
            position.revision,
            parent.digest,
            position.digest,
            [face for face, _, _ in batch.added],
        )
        await driver.execute(
            "UPDATE collections SET revision = $2, digest = $3 WHERE id = $1",
            home,
            position.revision,
            position.digest,
        )


def _rows(count: int, **columns: bytes | NDArray[np.uint8]) -> tuple[Sequence[str], bytes]:
    """The columns' names, and `count` rows in COPY's binary format.

    A column is uint8[count, width], or the bytes that every row has.
    """
    parts = [np.frombuffer(struct.pack(">h", len(columns)), np.uint8)]
    for column in columns.values():
        cells = np.frombuffer(column, np.uint8) if isinstance(column, bytes) else column
        parts += [np.frombuffer(struct.pack(">i", cells.shape[-1]), np.uint8), cells]
    wide = [np.broadcast_to(part, (count, part.shape[-1])) for part in parts]
    body = np.concatenate(wide, axis=1).tobytes()
    return list(columns), _HEADER + body + _TRAILER


def _split(body: bytes, count: int) -> NDArray[np.uint8]:
    return np.frombuffer(body, np.uint8).reshape(count, -1)


def _reals(*values: float) -> bytes:
    """real[N] as PostgreSQL sends and takes it."""
    head = struct.pack(">iiiii", 1, 0, _FLOAT4, len(values), 1)
    return head + b"".join(struct.pack(">if", 4, value) for value in values)


def _uuids(random: np.random.Generator) -> Ids:
    """BATCH random ones, of version 4."""
    ids = random.integers(0, 256, (BATCH, 16), np.uint8)
    ids[:, 6] = ids[:, 6] & 0x0F | 0x40
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids


async def fill_folder(
    data_dir: Path, name: str, model: str, dimension: int, count: int, *, seed: int = 0
) -> None:
    """As `fill`, in the embedded server of a data directory, which is started and stopped."""
    async with open_database(Settings(data_dir=data_dir)) as database:
        await migrate.upgrade(database)
        await fill(database, name, model, dimension, count, seed=seed)


def main() -> None:
    root = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    root.add_argument("--data-dir", type=Path, required=True)
    root.add_argument("--pack", type=Path, required=True, help="a pack's folder: whose templates")
    root.add_argument("--templates", type=int, default=1_000_000)
    root.add_argument("--name", default="people")
    given = root.parse_args()
    logs.configure("warning")
    pack = read_pack(given.pack)
    begin = time.monotonic()
    asyncio.run(
        fill_folder(
            given.data_dir, given.name, pack.model, pack.recognizer.dimension, given.templates
        )
    )
    took = time.monotonic() - begin
    print(f"{given.templates} templates in {took:.1f} s, {given.templates / took:,.0f} a second")


if __name__ == "__main__":
    main()
