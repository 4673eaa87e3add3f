"""Idempotency keys: a retry gets the first answer, or does the work once, never twice.

A key is reserved in a transaction of its own, then the work is done, and the answer is written
in the transaction of the change. A holder that died leaves a lease that runs out; whoever takes
it over becomes the holder, and the late one's change cannot commit any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.failpoints import hit
from app.store import tables
from app.store.errors import KeyInFlight, KeyReused

_i = tables.idempotency.c


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to answer for a key, once."""

    key: str
    holder: UUID


async def reserve(
    connection: AsyncConnection, key: str, fingerprint: bytes, lease: float
) -> Reservation | Mapping[str, Any]:
    """The reservation for `key`, or the answer that was given for it.

    `fingerprint` is a hash over the whole request, `lease` the seconds the work may take.
    Raises KeyReused when the key came with another request, KeyInFlight when it is being
    worked on.
    """
    holder = uuid4()
    values = {
        "fingerprint": fingerprint,
        "holder": holder,
        "lease_until": func.now() + timedelta(seconds=lease),
    }
    # One statement decides: insert, or take over what ran out, or neither.
    won = (
        await connection.execute(
            insert(tables.idempotency)
            .values(key=key, **values)
            .on_conflict_do_update(
                index_elements=[_i.key],
                set_=values,
                where=(_i.answer.is_(None))
                & (_i.lease_until < func.now())
                & (_i.fingerprint == fingerprint),
            )
            .returning(_i.key)
        )
    ).one_or_none()
    if won is not None:
        return Reservation(key, holder)
    row = (await connection.execute(select(tables.idempotency).where(_i.key == key))).one_or_none()
    if row is not None and row.fingerprint != fingerprint:
        raise KeyReused(
            "This Idempotency-Key was used with another request. Use a new key for a new request."
        )
    if row is None or row.answer is None:
        raise KeyInFlight(
            "A request with this Idempotency-Key is being worked on. Ask again in a moment."
        )
    answer: Mapping[str, Any] = row.answer
    return answer


async def fulfil(
    connection: AsyncConnection,
    reservation: Reservation,
    answer: Mapping[str, Any],
    person_id: UUID | None,
) -> None:
    """Store the answer beside the change that it speaks of. Raises KeyInFlight when taken over."""
    written = await connection.execute(
        update(tables.idempotency)
        .where(_i.key == reservation.key, _i.holder == reservation.holder, _i.answer.is_(None))
        .values(answer=dict(answer), person_id=person_id)
    )
    if not written.rowcount:
        raise KeyInFlight("Another request with this Idempotency-Key took over. Ask again.")
    hit("idempotency.fulfilled")


async def release(connection: AsyncConnection, reservation: Reservation) -> None:
    """Give up a reservation whose work came to nothing, so that a retry need not wait."""
    await connection.execute(
        delete(tables.idempotency).where(
            _i.key == reservation.key, _i.holder == reservation.holder, _i.answer.is_(None)
        )
    )


async def release_all(connection: AsyncConnection) -> None:
    """Give up the reservations of processes that died, where it is known that all of them did.

    One whose transaction is just being committed is waited for, and keeps its answer.
    """
    await connection.execute(delete(tables.idempotency).where(_i.answer.is_(None)))


async def hand_over(connection: AsyncConnection, person_id: UUID, to: UUID) -> None:
    """Answers that speak of a person hang on another from then on, and go with that one."""
    await connection.execute(
        update(tables.idempotency).where(_i.person_id == person_id).values(person_id=to)
    )


async def sweep(connection: AsyncConnection, hours: float) -> int:
    """Forget answers older than `hours`; how many."""
    gone = await connection.execute(
        delete(tables.idempotency).where(_i.created_at < func.now() - timedelta(hours=hours))
    )
    return gone.rowcount
