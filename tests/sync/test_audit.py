"""An audit finds every template in which an index differs from PostgreSQL, and no other."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from app.errors import Overloaded
from app.gallery.blocks import View, as_bytes
from app.gallery.comparison import Differences, Faces
from app.gallery.snapshot import write_snapshot
from app.store import vaultkeys
from app.store.database import Database
from app.store.errors import TemplateUnreadable
from app.store.sealing import TemplateSeals
from app.sync.index import CollectionIndex
from app.usecases.audit_index import audit_start
from tests.sync.people import (
    NAME,
    collection,
    enrol,
    enrol_secretly,
    erase_face,
    index_of,
    sql,
    vectors,
    with_database,
)
from tests.sync.test_oracle import Replica

Damage = Callable[[CollectionIndex], Differences]


def one(face: UUID) -> Faces:
    return Faces(1, (face,))


def view_of(index: CollectionIndex) -> View:
    assert index.state is not None
    [view] = index.state.views
    return view


def face_at(index: CollectionIndex, row: int) -> UUID:
    return UUID(bytes=as_bytes(view_of(index).block.faces[:, row : row + 1])[0])


def lose_the_last_row(index: CollectionIndex) -> Differences:
    assert index.gallery is not None and index.state is not None
    view = view_of(index)
    lost = face_at(index, view.used - 1)
    shorter = View(view.block, view.used - 1, view.dead)
    index.gallery._state = replace(index.state, views=(shorter,), size=index.state.size - 1)
    return Differences(missing=one(lost))


def flip_a_bit_of_a_vector(index: CollectionIndex) -> Differences:
    view_of(index).block.stored.take(slice(None)).view(np.uint32)[2, 3] ^= 1
    return Differences(different=one(face_at(index, 2)))


def give_a_face_to_somebody_else(index: CollectionIndex) -> Differences:
    block = view_of(index).block
    block.persons[:, 1] = block.persons[:, 4]
    return Differences(different=one(face_at(index, 1)))


def rename_a_face(index: CollectionIndex) -> Differences:
    before = face_at(index, 3)
    view_of(index).block.faces[0, 3] ^= np.uint64(1)
    return Differences(missing=one(before), extra=one(face_at(index, 3)))


DAMAGES = [
    lose_the_last_row,
    flip_a_bit_of_a_vector,
    give_a_face_to_somebody_else,
    rename_a_face,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_in_memory_is_named(database_url: str, tmp_path: Path, damage: Damage) -> None:
    async def work(database: Database) -> None:
        for seed in range(6):
            await enrol(database, seed)
        index = await index_of(database, tmp_path)
        await index.catch_up()
        before = await index.audit()
        assert before.equal and before.differences == Differences()
        assert before.index.count == before.database.count == 6

        expected = damage(index)
        audit = await index.audit()
        assert not audit.equal
        assert audit.differences == expected
        assert audit.database == before.database

    with_database(database_url, work)


def test_what_was_changed_in_postgresql_behind_the_service_is_named(
    database_url: str, tmp_path: Path
) -> None:
    async def work(database: Database) -> None:
        faces = [face for seed in range(4) for face in await enrol(database, seed, 2)]
        index = await index_of(database, tmp_path)
        await index.catch_up()

        [added] = await enrol_secretly(database, 9)
        await sql(database_url, "DELETE FROM templates WHERE face_id = $1", faces[5])
        audit = await index.audit()
        assert audit.differences == Differences(missing=one(added), extra=one(faces[5]))
        assert (audit.index.count, audit.database.count) == (8, 8)

    with_database(database_url, work)


def test_a_vector_that_was_exchanged_in_postgresql_is_refused_and_never_called_equal(
    database_url: str, tmp_path: Path
) -> None:
    """A sealed template does not open in the place of another."""

    async def work(database: Database) -> None:
        first, second = await enrol(database, 1, 2)
        await enrol(database, 2, name="others")
        index = await index_of(database, tmp_path)
        await index.catch_up()
        await sql(
            database_url,
            "UPDATE templates SET vector = other.vector FROM templates AS other "
            "WHERE templates.face_id = $1 AND other.face_id = $2",
            first,
            second,
        )
        with pytest.raises(TemplateUnreadable):
            await index.audit()
        others, people = [each async for each in audit_start(database, tmp_path, ())]
        assert (others.collection, others.fault) == ("others", None)
        assert people.audit is None
        assert "template_unreadable" in (people.fault or "")

    with_database(database_url, work)


def test_a_vector_that_was_exchanged_by_who_has_the_key_is_named(
    database_url: str, tmp_path: Path
) -> None:
    async def work(database: Database) -> None:
        first, _ = await enrol(database, 1, 2)
        index = await index_of(database, tmp_path)
        await index.catch_up()
        async with database.transaction() as connection:
            keys = await vaultkeys.keys_of(connection, index.collection_id)
        seals = TemplateSeals(index.collection_id, index.model or "", keys)
        other = seals.seal(1, first.bytes, vectors(99, 1).tobytes())
        await sql(database_url, "UPDATE templates SET vector = $2 WHERE face_id = $1", first, other)
        audit = await index.audit()
        assert not audit.equal
        assert audit.differences == Differences(different=one(first))

    with_database(database_url, work)


def test_an_audit_comes_to_the_newest_revision_first(database_url: str, tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        [face] = await enrol(database, 0)
        index = await index_of(database, tmp_path)
        await index.catch_up()
        await enrol(database, 1, 3)
        await erase_face(database, face)
        audit = await index.audit()
        assert audit.equal
        assert (audit.collection.position.revision, audit.index.count) == (3, 3)
        assert index.position == audit.collection.position == (await collection(database)).position

    with_database(database_url, work)


def test_audits_under_a_stream_of_changes_find_nothing(database_url: str, tmp_path: Path) -> None:
    """Both sides are read at one revision, whatever is committed in between."""

    async def work(database: Database) -> None:
        await enrol(database, 0)
        index = await index_of(database, tmp_path)
        done = False

        async def write() -> None:
            seed = 0
            while not done:
                seed += 1
                faces = await enrol(database, seed, 3)
                await erase_face(database, faces[1])

        async def follow() -> None:
            while not done:
                await index.catch_up()

        others = [asyncio.create_task(each()) for each in (write, write, follow)]
        revisions = []
        try:
            for _ in range(25):
                audit = await index.audit()
                assert audit.equal, audit.differences
                revisions.append(audit.collection.position.revision)
        finally:
            done = True
            await asyncio.gather(*others)
        assert revisions == sorted(revisions)
        assert revisions[-1] > revisions[0] + 5

    with_database(database_url, work)


def test_a_collection_without_a_model_is_equal(database_url: str, tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        from app.store import collections

        async with database.transaction() as connection:
            await collections.create(connection, NAME)
        audit = await (await index_of(database, tmp_path)).audit()
        assert audit.equal
        assert (audit.collection.model, audit.index.count) == (None, 0)

    with_database(database_url, work)


def test_one_audit_at_a_time(database_url: str, tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        await enrol(database, 0)
        replica = Replica(database_url, tmp_path)
        try:
            answers = await asyncio.gather(
                *(replica.sync.audit(NAME) for _ in range(3)), return_exceptions=True
            )
            assert [type(each) for each in answers[1:]] == [Overloaded, Overloaded]
            assert (await replica.sync.audit(NAME)).equal
        finally:
            await replica.stop()

    with_database(database_url, work)


def test_what_the_next_start_would_load_is_compared(database_url: str, tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        for name in ("absent", "bent", "good", "spoilt", "strange"):
            for seed in range(6):
                await enrol(database, seed, name=name)
        indexes = {
            name: await index_of(database, tmp_path, name)
            for name in ("bent", "good", "spoilt", "strange")
        }
        for index in indexes.values():
            await index.catch_up()
        expected = flip_a_bit_of_a_vector(indexes["bent"])
        for index in indexes.values():
            await index.save()
        spoilt = indexes["spoilt"].snapshot
        spoilt.write_bytes(spoilt.read_bytes()[:-1])
        stranger = indexes["good"].state
        assert stranger is not None
        async with database.transaction() as connection:
            key = await vaultkeys.newest(connection, indexes["strange"].collection_id)
        assert key is not None
        write_snapshot(
            indexes["strange"].snapshot,
            stranger,
            key,
            collection=str(indexes["good"].collection_id),
            model=indexes["good"].model or "",
        )

        found = [each async for each in audit_start(database, tmp_path, ())]
        audits = {each.collection: each.audit for each in found if each.audit is not None}
        faults = {each.collection: each.fault for each in found}
        assert sorted(audits) == ["absent", "bent", "good", "spoilt", "strange"]
        assert not audits["bent"].equal
        assert audits["bent"].differences == expected
        assert faults["bent"] is None
        for name in ("absent", "good", "spoilt", "strange"):
            assert audits[name].equal, name
            assert audits[name].index.count == 6
        assert faults["absent"] is None and faults["good"] is None
        assert "cannot be used" in (faults["spoilt"] or "")
        assert "history" in (faults["strange"] or "")

    with_database(database_url, work)
