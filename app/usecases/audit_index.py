"""Is what this installation searches what PostgreSQL holds?"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path

from app.store import collections
from app.store.audit import record_of
from app.store.database import Database
from app.store.errors import CollectionNotFound, TemplateUnreadable
from app.sync.audit import Audit
from app.sync.follow import snapshot_path
from app.sync.index import CollectionIndex
from app.types import Caller
from app.usecases.looking import known_to
from app.usecases.rooms import Rooms


@dataclass(frozen=True, slots=True)
class StartAudit:
    """What the next start would have of a collection.

    `fault` says why it would not begin with the snapshot file, or why it would have nothing and
    `audit` is None; it is None where all is well.
    """

    collection: str
    audit: Audit | None
    fault: str | None


async def audit_collection(rooms: Rooms, caller: Caller, name: str) -> Audit:
    """Compare this process's index with PostgreSQL. Nothing is changed.

    Raises CollectionNotFound, DatabaseUnavailable, TemplateUnreadable, Overloaded.
    """
    known_to(caller, name)
    audit = await rooms.sync.audit(name)
    await rooms.journal.write(
        record_of(
            caller,
            "collection.audit",
            collection=name,
            revision=audit.collection.position.revision,
            equal=audit.equal,
        )
    )
    return audit


async def audit_start(
    database: Database, snapshots: Path, names: Collection[str]
) -> AsyncIterator[StartAudit]:
    """Load collections as a start would, the named ones or all, and compare each with PostgreSQL.

    As at a start, a snapshot that holds what was erased since is removed. Raises
    CollectionNotFound, DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        heads = await collections.heads(connection)
    missing = set(names) - {collection.name for collection in heads}
    if missing:
        raise collections.missing(min(missing))
    for collection in heads:
        if names and collection.name not in names:
            continue
        path = snapshot_path(snapshots, collection)
        there = path.exists()
        index = CollectionIndex(collection, database, path)
        try:
            audit = await index.audit()
        except CollectionNotFound:  # dropped since it was listed
            continue
        except TemplateUnreadable as fault:
            yield StartAudit(collection.name, None, f"{fault.code}: {fault.detail}")
            continue
        yield StartAudit(collection.name, audit, index.snapshot_fault if there else None)
