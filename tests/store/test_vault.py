"""Templates lie sealed in the database, and open only with the secret and where they belong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import CannotStart
from app.store import collections, crops, faces, history, migrate, resealing, vaultkeys
from app.store.change import changing, lock_or_make
from app.store.database import Database
from app.store.errors import CropNotKept, EnrolledFaceNotFound, TemplateUnreadable
from app.store.persons import NewPerson
from app.types import Floats
from app.vault import Vault
from tests.service import SECRET, VAULT
from tests.store.test_change import FACE, MODEL


def run(url: str, work: Callable[[Database], Awaitable[Any]], vault: Vault = VAULT) -> Any:
    async def inside() -> Any:
        database = Database(url, pool=8, vault=vault)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(inside())


def vectors(count: int, dimension: int = 16) -> Floats:
    raw = np.random.default_rng(count).normal(size=(count, dimension))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


async def enrol(
    database: Database, embeddings: Floats, *, to: str = "people", pictures: bool = False
) -> tuple[UUID, list[UUID]]:
    async with changing(database, lock_or_make(to)) as change:
        person = await change.add_person(NewPerson())
        faces = await change.add_faces(person, MODEL, [FACE] * len(embeddings), embeddings)
        if pictures:
            await crops.keep(
                change.connection, change.collection.id, faces, [b"png" + f.bytes for f in faces]
            )
    return person, faces


async def sql(database: Database, statement: str, **values: Any) -> Any:
    async with database.transaction() as connection:
        found = await connection.execute(text(statement), values)
        return found.all() if found.returns_rows else None


async def loaded(database: Database, name: str = "people") -> dict[bytes, bytes]:
    """Face id -> template, as a follower loads them."""
    async with database.snapshot() as connection:
        collection = await collections.get(connection, name)
        dimension = await history.dimension_of(connection, collection)
        return {
            face.tobytes(): vector.tobytes()
            async for rows in history.load(connection, collection, dimension)
            for face, vector in zip(rows.faces, rows.vectors, strict=True)
        }


async def home_of(database: Database, name: str = "people") -> UUID:
    async with database.transaction() as connection:
        return (await collections.get(connection, name)).id


def truth(faces: list[UUID], embeddings: Floats) -> dict[bytes, bytes]:
    return {face.bytes: row.tobytes() for face, row in zip(faces, embeddings, strict=True)}


async def make_plain(connection: AsyncConnection, faces: list[UUID], embeddings: Floats) -> None:
    """As a version without encryption stored them."""
    for face, row in zip(faces, embeddings, strict=True):
        await connection.execute(
            text("UPDATE templates SET vector = :v, key_version = NULL WHERE face_id = :f"),
            {"v": row.tobytes(), "f": face},
        )


def test_a_template_is_nowhere_in_its_row_and_read_back_exactly(database_url: str) -> None:
    async def work(database: Database) -> None:
        embeddings = vectors(5)
        person, ids = await enrol(database, embeddings)
        for row in await sql(database, "SELECT * FROM templates"):
            assert row.key_version == 1
            assert len(row.vector) == 4 * 16 + 28
            for embedding in embeddings:
                assert embedding.tobytes()[:16] not in row.vector
        assert await loaded(database) == truth(ids, embeddings)
        async with database.transaction() as connection:
            read = await faces.templates_of(connection, person, MODEL)
        assert read.face_ids == ids
        assert np.array_equal(read.vectors, embeddings)

    run(database_url, work)


def test_collections_have_keys_of_their_own_which_go_with_them(database_url: str) -> None:
    async def work(database: Database) -> None:
        for name in ("one", "two"):
            await enrol(database, vectors(2), to=name, pictures=True)
        keys = await sql(database, "SELECT collection_id, wrapped FROM vault_keys")
        assert len({row.wrapped for row in keys}) == len({row.collection_id for row in keys}) == 2
        async with database.transaction() as connection:
            await collections.drop(connection, "one")
        [left] = await sql(database, "SELECT collection_id FROM vault_keys")
        assert left.collection_id == await home_of(database, "two")
        assert await sql(database, "SELECT 1 FROM crops WHERE collection_id <> :c", c=left[0]) == []

    run(database_url, work)


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE templates t SET vector = o.vector FROM templates o WHERE o.face_id <> t.face_id",
        "UPDATE templates SET vector = set_byte(vector, 20, get_byte(vector, 20) # 1)",
        "UPDATE templates SET vector = substring(vector FROM 1 FOR 40)",
        "UPDATE templates SET key_version = NULL",
        "UPDATE vault_keys SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1)",
    ],
    ids=["swapped", "one bit", "cut", "called plain", "key changed"],
)
def test_a_row_that_was_tampered_with_is_refused_by_every_reader(
    database_url: str, spoil: str
) -> None:
    async def work(database: Database) -> None:
        person, _ = await enrol(database, vectors(2))
        home = await home_of(database)
        await sql(database, spoil)
        with pytest.raises(TemplateUnreadable):
            await loaded(database)
        with pytest.raises(TemplateUnreadable):
            async with database.transaction() as connection:
                await faces.templates_of(connection, person, MODEL)
        with pytest.raises(TemplateUnreadable):
            async with database.snapshot() as connection:
                start = collections.beginning(home)
                await history.since(connection, home, MODEL, 16, start)

    run(database_url, work)


def test_templates_of_an_older_version_are_read_and_then_sealed(database_url: str) -> None:
    async def work(database: Database) -> None:
        embeddings = vectors(resealing.BATCH + 10)
        _, faces = await enrol(database, embeddings)
        async with database.transaction() as connection:
            await make_plain(connection, faces, embeddings)
            await connection.execute(text("DELETE FROM vault_keys"))
        before = await loaded(database)
        done = await resealing.reseal(database, await home_of(database))
        assert (done.templates, done.keys_destroyed) == (len(faces), 0)
        assert await sql(database, "SELECT 1 FROM templates WHERE key_version IS NULL") == []
        assert await loaded(database) == before == truth(faces, embeddings)

    run(database_url, work)


def test_a_rotation_seals_everything_anew_and_destroys_the_old_key(database_url: str) -> None:
    async def work(database: Database) -> None:
        embeddings = vectors(20)
        _, faces = await enrol(database, embeddings, pictures=True)
        home = await home_of(database)
        [old] = await sql(database, "SELECT wrapped FROM vault_keys")
        head = await sql(database, "SELECT revision, digest FROM collections")
        done = await resealing.rotate(database, home)
        assert (done.templates, done.crops, done.keys_destroyed) == (20, 20, 1)
        [key] = await sql(database, "SELECT version, wrapped FROM vault_keys")
        assert key.version == 2 and key.wrapped != old.wrapped
        assert await loaded(database) == truth(faces, embeddings)
        async with database.transaction() as connection:
            assert await crops.get(connection, faces[3]) == b"png" + faces[3].bytes
        # It is no change of the collection: what was read and written before stays valid.
        assert await sql(database, "SELECT revision, digest FROM collections") == head

    run(database_url, work)


def test_a_key_that_something_is_sealed_with_cannot_be_deleted(database_url: str) -> None:
    async def work(database: Database) -> None:
        await enrol(database, vectors(1))
        with pytest.raises(Exception, match="templates_collection_id_key_version_fkey"):
            await sql(database, "DELETE FROM vault_keys")

    run(database_url, work)


def test_another_secret_is_refused_by_its_id_and_rewrapping_takes_over(database_url: str) -> None:
    async def first(database: Database) -> Any:
        embeddings = vectors(3)
        _, faces = await enrol(database, embeddings)
        async with database.transaction() as connection:
            pepper = await vaultkeys.secret_of(connection, "api-keys")
        return truth(faces, embeddings), pepper

    rows, pepper = run(database_url, first)

    async def check(database: Database) -> None:
        async with database.transaction() as connection:
            await vaultkeys.require_openable(connection)

    new = bytes(range(90, 130))
    with pytest.raises(CannotStart, match=f"another ROLLCALL_SECRET: {VAULT.primary}"):
        run(database_url, check, Vault(new))

    async def take_over(database: Database) -> int:
        async with database.transaction() as connection:
            await vaultkeys.require_openable(connection)
            return await vaultkeys.rewrap(connection)

    assert run(database_url, take_over, Vault(new, [bytes.fromhex(SECRET)])) == 2

    async def after(database: Database) -> None:
        await check(database)
        assert await loaded(database) == rows
        async with database.transaction() as connection:
            assert await vaultkeys.secret_of(connection, "api-keys") == pepper

    run(database_url, after, Vault(new))
    with pytest.raises(CannotStart, match=Vault(new).primary):
        run(database_url, check)


def test_a_damaged_key_stops_the_start(database_url: str) -> None:
    async def work(database: Database) -> None:
        await enrol(database, vectors(1))
        await sql(database, "UPDATE vault_keys SET wrapped = set_byte(wrapped, 30, 0)")
        await sql(database, "UPDATE vault_keys SET wrapped = set_byte(wrapped, 31, 0)")
        async with database.transaction() as connection:
            with pytest.raises(CannotStart, match="is damaged"):
                await vaultkeys.require_openable(connection)

    run(database_url, work)


def test_a_secret_of_the_installation_is_one_however_many_ask(database_url: str) -> None:
    async def ask(database: Database) -> bytes:
        async with database.transaction(20) as connection:
            return await vaultkeys.secret_of(connection, "api-keys")

    async def work(database: Database) -> set[bytes]:
        with pytest.raises(RuntimeError):
            async with database.transaction() as connection:
                lost = await vaultkeys.secret_of(connection, "api-keys")
                assert await vaultkeys.secret_of(connection, "api-keys") == lost
                raise RuntimeError
        found = set(await asyncio.gather(*(ask(database) for _ in range(8))))
        assert lost not in found
        assert await ask(database) in found
        return found

    first = run(database_url, work)
    assert len(first) == 1
    assert len(first.pop()) == 32


def test_crops_are_sealed_and_read_by_face(database_url: str) -> None:
    async def work(database: Database) -> None:
        _, [kept] = await enrol(database, vectors(1), pictures=True)
        _, [not_kept] = await enrol(database, vectors(1))
        [row] = await sql(database, "SELECT picture FROM crops")
        assert b"png" + kept.bytes not in row.picture
        async with database.transaction() as connection:
            assert await crops.get(connection, kept) == b"png" + kept.bytes
            with pytest.raises(CropNotKept):
                await crops.get(connection, not_kept)
            with pytest.raises(EnrolledFaceNotFound):
                await crops.get(connection, UUID(int=1))
            await connection.execute(text("UPDATE crops SET face_id = :f"), {"f": not_kept})
            with pytest.raises(TemplateUnreadable):
                await crops.get(connection, not_kept)

    run(database_url, work)


def test_the_schema_does_not_go_back_while_templates_are_sealed(database_url: str) -> None:
    async def work(database: Database) -> None:
        _, faces = await enrol(database, vectors(2))
        with pytest.raises(CannotStart, match="2 templates are encrypted"):
            await migrate.downgrade(database, "0001")
        async with database.transaction() as connection:
            await make_plain(connection, faces, vectors(2))
        await migrate.downgrade(database, "0001")
        await migrate.upgrade(database)
        assert await loaded(database) == truth(faces, vectors(2))

    run(database_url, work)
