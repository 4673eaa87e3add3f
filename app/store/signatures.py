"""Signatures of requests as rows, inside a transaction of the caller: each is good once."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import tables

_s = tables.used_signatures.c


@dataclass(frozen=True, slots=True)
class Used:
    """That a signature was used before: what its request was called then, and seconds ago."""

    attempt: str | None
    seconds: float


async def use(
    connection: AsyncConnection, signature: bytes, attempt: str | None, dead_at: datetime
) -> Used | None:
    """Note that a signature is used; None where it is for the first time.

    Remembered until `dead_at`, when it must be refused for its age. Two that come together wait
    for each other, and one of them is the first.
    """
    first = await connection.execute(
        insert(tables.used_signatures)
        .values(signature=signature, attempt=attempt, dead_at=dead_at)
        .on_conflict_do_nothing(index_elements=[_s.signature])
        .returning(_s.signature)
    )
    if first.one_or_none() is not None:
        return None
    # The time of the statement: that of the transaction may lie before the other's.
    age = func.extract("epoch", func.clock_timestamp() - _s.used_at)
    query = select(_s.attempt, age.label("seconds")).where(_s.signature == signature)
    row = (await connection.execute(query)).one()
    return Used(row.attempt, max(0.0, float(row.seconds)))


async def sweep(connection: AsyncConnection) -> int:
    """Forget signatures that are too old to be taken; how many."""
    gone = await connection.execute(delete(tables.used_signatures).where(_s.dead_at < func.now()))
    return gone.rowcount
