"""A change is one transaction: one revision, one link of the chain, one model."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.store import collections
from app.store.change import chain, changing, lock_or_make
from app.store.database import Database
from app.store.errors import ExternalIdTaken, ModelChanged
from app.store.persons import NewPerson
from app.types import Box, Face, Floats, Position, Quality
from tests.service import VAULT

MODEL = "0123456789abcdef"
FACE = Face(
    Box(0, 0, 10, 10),
    np.zeros((5, 2), np.float32),
    0.9,
    Quality(10, 20, 0.5, 0, 0, 0, 0.9),
    np.zeros((112, 112, 3), np.uint8),
)
VECTOR: Floats = np.array([[1, 0, 0, 0]], np.float32)


def run(url: str, work: Callable[[Database], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        database = Database(url, pool=8, vault=VAULT)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(inside())


async def enrol(database: Database, *, model: str = MODEL, external_id: str | None = None) -> int:
    async with changing(database, lock_or_make("people")) as change:
        person = await change.add_person(NewPerson(external_id=external_id))
        await change.add_faces(person, model, [FACE], VECTOR)
    return change.revision


def test_revisions_have_no_gap_and_the_chain_holds_however_many_write(database_url: str) -> None:
    async def work(database: Database) -> None:
        revisions = await asyncio.gather(*(enrol(database) for _ in range(24)))
        assert sorted(revisions) == list(range(1, 25))
        async with database.transaction() as connection:
            log = (await connection.execute(text("SELECT * FROM changes ORDER BY revision"))).all()
            [head] = await collections.heads(connection)
        parents = [collections.beginning(head.id).digest, *(entry.digest for entry in log)]
        assert [entry.parent for entry in log] == parents[:-1]
        assert head.position == Position(24, parents[-1])

    run(database_url, work)


def test_a_change_that_fails_leaves_no_trace(database_url: str) -> None:
    async def work(database: Database) -> None:
        await enrol(database, external_id="x1")
        with pytest.raises(ExternalIdTaken):
            await enrol(database, external_id="x1")
        with pytest.raises(RuntimeError):
            async with changing(database, lock_or_make("others")) as change:
                await change.add_person(NewPerson())
                raise RuntimeError
        async with database.transaction() as connection:
            [head] = await collections.heads(connection)
            counts = [
                (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
                for table in ("persons", "faces", "templates", "changes")
            ]
        assert (head.name, head.position.revision) == ("people", 1)
        assert counts == [1, 1, 1, 1]
        assert await enrol(database) == 2

    run(database_url, work)


def test_a_template_of_another_model_is_refused_by_code_and_by_constraint(
    database_url: str,
) -> None:
    async def work(database: Database) -> None:
        await enrol(database)
        with pytest.raises(ModelChanged):
            await enrol(database, model="fedcba9876543210")
        with pytest.raises(IntegrityError, match="templates_collection_id_model_fkey"):
            async with database.transaction() as connection:
                await connection.execute(
                    text(
                        "INSERT INTO templates SELECT face_id, 'fedcba9876543210', "
                        "collection_id, person_id, vector FROM templates"
                    )
                )

    run(database_url, work)


ids = st.builds(uuid4)
links = st.lists(st.tuples(ids, ids, st.binary(max_size=8)), max_size=4)


@given(links, st.lists(ids, max_size=4), st.randoms())
def test_the_digest_is_of_what_was_done_and_not_of_its_order(
    added: list[tuple[UUID, UUID, bytes]], removed: list[UUID], random: Any
) -> None:
    parent = Position(3, b"p" * 32)
    one = chain(parent, added, removed)
    shuffled = random.sample(added, len(added)), random.sample(removed, len(removed))
    assert chain(parent, *shuffled) == one
    assert one.revision == 4
    assert chain(Position(3, b"q" * 32), added, removed) != one
    assert chain(Position(4, b"p" * 32), added, removed).digest != one.digest
    if added:
        assert chain(parent, added[1:], removed) != one
        face, person, vector = added[0]
        assert chain(parent, [(face, person, vector + b"x"), *added[1:]], removed) != one
    if removed:
        assert chain(parent, added, removed[1:]) != one
