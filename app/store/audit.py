"""The audit record: who did what, in a chain that shows every later change.

Each row's digest is SHA-256 over the digest before it, its own number and its record, so a row that
is changed, removed or put in between breaks the chain from there on. Who may rewrite the whole
table can make a new chain: the head is logged and can be kept elsewhere (docs/security.md).
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Row, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import tables
from app.types import Caller

_a = tables.audit.c
LOCK: Final = 7_255_267_443_902
"""Of the advisory lock of the chain: whoever appends holds it until its transaction ends."""
BEGINNING: Final = sha256(b"rollcall audit").digest()
_CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that was done. Ids and counts only: no image, no embedding, no name of a person."""

    action: str
    key: str | None
    request_id: str
    facts: Mapping[str, Any]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    id: UUID = field(default_factory=uuid4)

    def text(self) -> str:
        """As it is stored, exported and hashed: JSON, keys sorted, without white space."""
        body = {
            "at": self.at.isoformat(timespec="milliseconds"),
            "action": self.action,
            "key": self.key,
            "request_id": self.request_id,
            **self.facts,
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)


def record_of(caller: Caller, action: str, **facts: Any) -> Record:
    """What `caller` did; facts that are None are left out."""
    return Record(
        action,
        caller.key_id,
        caller.request_id,
        {name: value for name, value in facts.items() if value is not None},
    )


@dataclass(frozen=True, slots=True)
class Link:
    """A row of the chain."""

    sequence: int
    id: UUID
    record: str
    parent: bytes
    digest: bytes


def digest_of(parent: bytes, sequence: int, record_id: UUID, record: str) -> bytes:
    digest = sha256(parent + sequence.to_bytes(8, "big") + record_id.bytes)
    digest.update(record.encode())
    return digest.digest()


async def append(connection: AsyncConnection, records: Sequence[tuple[UUID, str]]) -> None:
    """Put (id, text) of records at the end of the chain; those that are there already stay once.

    Takes the chain's lock until the transaction ends, so let it be its last statement.
    """
    if not records:
        return
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    await append_locked(connection, records)


async def append_locked(connection: AsyncConnection, records: Sequence[tuple[UUID, str]]) -> None:
    """As `append`, where an earlier statement of the transaction took the lock."""
    last = select(_a.sequence, _a.digest).order_by(_a.sequence.desc()).limit(1)
    there = select(func.array_agg(_a.id)).where(_a.id.in_([id for id, _ in records]))
    found = await connection.execute(last.add_columns(there.scalar_subquery().label("there")))
    row = found.one_or_none()
    sequence, parent = (0, BEGINNING) if row is None else (row.sequence, row.digest)
    known = set(() if row is None else row.there or ())
    rows = []
    for record_id, record in records:
        if record_id in known:
            continue
        known.add(record_id)
        sequence += 1
        digest = digest_of(parent, sequence, record_id, record)
        rows.append(
            {
                "sequence": sequence,
                "id": record_id,
                "record": record,
                "parent": parent,
                "digest": digest,
            }
        )
        parent = digest
    if rows:
        await connection.execute(insert(tables.audit), rows)


async def links(
    connection: AsyncConnection, after: int = 0, limit: int | None = None
) -> AsyncIterator[Link]:
    """The chain from `after` on, in order; at most `limit` rows."""
    left = limit
    while left is None or left > 0:
        size = _CHUNK if left is None else min(_CHUNK, left)
        query = select(tables.audit).where(_a.sequence > after).order_by(_a.sequence).limit(size)
        rows = (await connection.execute(query)).all()
        for row in rows:
            yield _read(row)
        if len(rows) < size:
            return
        after = rows[-1].sequence
        left = None if left is None else left - size


async def newest(connection: AsyncConnection, before: int | None, limit: int) -> Sequence[Link]:
    """The last records, or the last before a number, newest first."""
    query = select(tables.audit).order_by(_a.sequence.desc()).limit(limit)
    if before is not None:
        query = query.where(_a.sequence < before)
    return [_read(row) for row in await connection.execute(query)]


@dataclass(slots=True)
class Walk:
    """A walk along a chain, row by row. `last` and `digest` are where it stands.

    A chain whose beginning was pruned is sound from its first row on.
    """

    first: int = 0
    last: int = 0
    digest: bytes = BEGINNING

    def take(self, link: Link) -> str | None:
        """Go on to `link`; what is wrong with it, None where it follows."""
        if not self.first:
            self.first = link.sequence
            if link.sequence > 1:  # what came before was pruned
                self.last, self.digest = link.sequence - 1, link.parent
        if link.sequence != self.last + 1:
            return f"record {self.last + 1} is missing"
        if link.parent != self.digest:
            return f"record {link.sequence} does not follow the one before it"
        if digest_of(link.parent, link.sequence, link.id, link.record) != link.digest:
            return f"record {link.sequence} was changed"
        self.last, self.digest = link.sequence, link.digest
        return None


async def prune(connection: AsyncConnection, before: int) -> int:
    """Remove records up to `before`, exclusive; how many. The service's own role may not."""
    await connection.execute(text("SET LOCAL rollcall.prune = 'on'"))
    gone = await connection.execute(delete(tables.audit).where(_a.sequence < before))
    return gone.rowcount


def _read(row: Row[Any]) -> Link:
    return Link(row.sequence, row.id, row.record, row.parent, row.digest)
