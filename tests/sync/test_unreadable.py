"""A collection with a row that does not open is out of service, and only that one."""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import text

import app.sync.index
from app.store.change import changing, lock_or_make
from app.store.errors import TemplateUnreadable
from app.store.persons import NewPerson
from tests.sync.test_oracle import FACE, MODEL, Replica, vectors

SPOIL = "UPDATE templates SET vector = set_byte(vector, 20, get_byte(vector, 20) # 1)"
ONE = f"{SPOIL} WHERE collection_id = (SELECT id FROM collections WHERE name = 'broken')"


def test_nothing_is_answered_from_it_until_it_opens_again(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.sync.index, "_UNREADABLE_SECONDS", 0.0)

    async def work() -> None:
        first = Replica(database_url, tmp_path / "first")
        for name in ("broken", "whole"):
            async with changing(first.database, lock_or_make(name)) as change:
                person = await change.add_person(NewPerson())
                await change.add_faces(person, MODEL, [FACE] * 3, vectors(1, 3))
        async with first.database.transaction() as connection:
            await connection.execute(text(ONE))
        await first.stop()

        replica = Replica(database_url, tmp_path / "second")
        try:
            with pytest.raises(TemplateUnreadable):
                await replica.sync.view("broken")
            assert (await replica.sync.view("whole")).size == 3
            async with replica.database.transaction() as connection:
                await connection.execute(text(ONE))  # the same bit once more: as it was
            give_up = time.monotonic() + 30
            while True:
                try:
                    view = await replica.sync.view("broken")
                    break
                except TemplateUnreadable:
                    assert time.monotonic() < give_up
                    await asyncio.sleep(0.05)
            assert view.size == 3
        finally:
            await replica.stop()

    asyncio.run(work())
