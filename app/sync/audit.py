"""Is an index what PostgreSQL holds? Compared template by template, at one revision."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from app.gallery.checksum import Checksum, checksum_of
from app.gallery.comparison import Comparison, Differences
from app.gallery.index import State
from app.store import history
from app.store.collections import Collection


@dataclass(frozen=True, slots=True)
class Audit:
    """A collection at one revision, the checksums of both sides, and the faces that differ."""

    collection: Collection
    index: Checksum
    database: Checksum
    differences: Differences

    @property
    def equal(self) -> bool:
        return self.index == self.database


async def compare(
    connection: AsyncConnection, collection: Collection, state: State | None
) -> Audit:
    """Compare `state` with the templates of the collection in this snapshot of the database.

    Templates are read once, and a second time only where the sums differ. Memory: a chunk of
    rows, and 33 bytes a template for the second reading. Raises DatabaseUnavailable, and
    TemplateUnreadable where PostgreSQL holds what cannot be opened.
    """
    if collection.model is None or state is None:
        return Audit(collection, Checksum(), Checksum(), Differences())
    dimension = await history.dimension_of(connection, collection)
    database = Checksum()
    async with aclosing(history.load(connection, collection, dimension)) as chunks:
        async for rows in chunks:
            database += await asyncio.to_thread(checksum_of, rows)
    index = await asyncio.to_thread(state.checksum)
    differences = Differences()
    if index != database:
        comparison = await asyncio.to_thread(Comparison, state)
        async with aclosing(history.load(connection, collection, dimension)) as chunks:
            async for rows in chunks:
                await asyncio.to_thread(comparison.show, rows)
        differences = await asyncio.to_thread(comparison.differences)
    return Audit(collection, index, database, differences)
