"""Data keys as rows: made, read, rewrapped and dropped, inside a transaction of the caller.

Keys are read with what they open, in the same snapshot of the database, and not kept: so a key that
was rotated or destroyed elsewhere is never used here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import CannotStart
from app.store import tables
from app.store.errors import TemplateUnreadable
from app.vault import DataKey, KeyName, SecretUnknown, Unreadable, Vault, WrappedKey

log = structlog.get_logger()

KEYCHAIN: Final = "rollcall_keychain"
"""The execution option of a connection that holds its Keychain."""

COLLECTION: Final = "collection"
"""The purpose of the keys that templates, crops and snapshots are sealed with."""

_k = tables.vault_keys.c


class Keychain:
    """What the connections of one database share: the vault, and secrets of the installation."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.secrets: dict[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class KeyCensus:
    """A key row as an operator sees it; `collection` is None for one of the installation."""

    purpose: str
    collection: str | None
    version: int
    secret_id: str
    templates: int


async def keys_of(connection: AsyncConnection, collection_id: UUID) -> dict[int, DataKey]:
    """All versions of a collection's key. Raises TemplateUnreadable."""
    query = select(tables.vault_keys).where(_k.collection_id == collection_id)
    rows = (await connection.execute(query.order_by(_k.version))).all()
    return {row.version: opened(connection, row) for row in rows}


async def newest(connection: AsyncConnection, collection_id: UUID) -> DataKey | None:
    """The key to seal with, None where there is none yet. Raises TemplateUnreadable."""
    query = select(tables.vault_keys).where(_k.collection_id == collection_id)
    row = (await connection.execute(query.order_by(_k.version.desc()).limit(1))).one_or_none()
    return None if row is None else opened(connection, row)


async def for_writing(connection: AsyncConnection, collection_id: UUID) -> DataKey:
    """The newest key of a collection, made if it has none. The collection's row must be locked.

    Raises TemplateUnreadable.
    """
    return await newest(connection, collection_id) or await _make(connection, collection_id, 1)


async def add_version(connection: AsyncConnection, collection_id: UUID) -> DataKey:
    """A new key that is used from now on. The collection's row must be locked."""
    query = select(func.max(_k.version)).where(_k.collection_id == collection_id)
    before = (await connection.execute(query)).scalar_one() or 0
    return await _make(connection, collection_id, before + 1)


async def drop_unused(connection: AsyncConnection, collection_id: UUID) -> int:
    """Destroy the older keys that nothing is sealed with; how many. The row must be locked."""
    used = [
        exists().where(each.c.collection_id == _k.collection_id, each.c.key_version == _k.version)
        for each in (tables.templates, tables.crops)
    ]
    latest = select(func.max(_k.version)).where(_k.collection_id == collection_id)
    gone = await connection.execute(
        delete(tables.vault_keys).where(
            _k.collection_id == collection_id,
            _k.version < latest.scalar_subquery(),
            *(~each for each in used),
        )
    )
    return gone.rowcount


async def secret_of(connection: AsyncConnection, purpose: str) -> bytes:
    """32 random bytes of the installation for one purpose, made when first asked for.

    Raises TemplateUnreadable when the row does not open.
    """
    keychain = keychain_of(connection)
    if purpose in keychain.secrets:
        return keychain.secrets[purpose]
    made = _wrapped(keychain.vault, keychain.vault.make(KeyName(purpose, b"", 1)))
    await connection.execute(
        upsert(tables.vault_keys)
        .values(purpose=purpose, collection_id=None, version=1, **made)
        .on_conflict_do_nothing(index_elements=[_k.purpose], index_where=_k.collection_id.is_(None))
    )
    row = (
        await connection.execute(
            select(tables.vault_keys, (_k.created_at < func.now()).label("settled")).where(
                _k.purpose == purpose, _k.collection_id.is_(None)
            )
        )
    ).one()
    material = opened(connection, row).material
    if row.settled:  # one that this very transaction made may yet be rolled back
        keychain.secrets[purpose] = material
    return material


async def require_openable(connection: AsyncConnection) -> None:
    """Raises CannotStart unless the secrets given open every key of this database."""
    vault = keychain_of(connection).vault
    missing: set[str] = set()
    for row in (await connection.execute(select(tables.vault_keys))).all():
        try:
            _unwrap(vault, row)
        except SecretUnknown as unknown:
            missing.add(unknown.secret_id)
        except Unreadable as reason:
            raise CannotStart(
                f"Key {row.id} of the database is damaged: {reason}. Restore vault_keys from a "
                "backup."
            ) from None
    if missing:
        raise CannotStart(
            f"This database was made with another ROLLCALL_SECRET: {_listed(missing)}. Given "
            f"here: {_listed(vault.secret_ids)}. Set ROLLCALL_SECRET to the one it was made "
            "with, or name that in ROLLCALL_OTHER_SECRETS."
        )


async def rewrap(connection: AsyncConnection) -> int:
    """Wrap every key under the primary secret; how many were under another.

    Raises TemplateUnreadable.
    """
    vault = keychain_of(connection).vault
    others = select(tables.vault_keys).where(_k.secret_id != vault.primary).with_for_update()
    rows = (await connection.execute(others)).all()
    for row in rows:
        wrapped = vault.wrap(opened(connection, row))
        await connection.execute(
            update(tables.vault_keys)
            .where(_k.id == row.id)
            .values(secret_id=wrapped.secret_id, wrapped=wrapped.body)
        )
    return len(rows)


async def census(connection: AsyncConnection) -> Sequence[KeyCensus]:
    """Every key with how many templates it seals, by collection and version."""
    t = tables.templates.c
    counted = (
        select(func.count())
        .where(t.collection_id == _k.collection_id, t.key_version == _k.version)
        .scalar_subquery()
    )
    home = tables.collections.c
    query = (
        select(tables.vault_keys, home.name, counted.label("templates"))
        .outerjoin(tables.collections, home.id == _k.collection_id)
        .order_by(home.name.nulls_first(), _k.purpose, _k.version)
    )
    return [
        KeyCensus(row.purpose, row.name, row.version, row.secret_id, row.templates)
        for row in await connection.execute(query)
    ]


async def plain_templates(connection: AsyncConnection) -> Sequence[tuple[str, int]]:
    """Collections with templates that an older version stored in plain, and how many."""
    t, home = tables.templates.c, tables.collections.c
    query = (
        select(home.name, func.count())
        .join(tables.templates, t.collection_id == home.id)
        .where(t.key_version.is_(None))
        .group_by(home.name)
        .order_by(home.name)
    )
    return [(row[0], row[1]) for row in await connection.execute(query)]


def keychain_of(connection: AsyncConnection) -> Keychain:
    # None only before a connection is begun, and every one that comes here is.
    found: Keychain = connection.sync_connection.get_execution_options()[KEYCHAIN]  # type: ignore[union-attr]
    return found


def opened(connection: AsyncConnection, row: Row[Any]) -> DataKey:
    """The data key of a row of vault_keys. Raises TemplateUnreadable."""
    try:
        return _unwrap(keychain_of(connection).vault, row)
    except Unreadable as reason:
        log.error("key.unreadable", key_id=str(row.id), reason=str(reason))
        raise TemplateUnreadable(
            "A key of the database does not open with the secrets of this service. "
            "The operator finds its id in the log."
        ) from None


def _unwrap(vault: Vault, row: Row[Any]) -> DataKey:
    owner = b"" if row.collection_id is None else row.collection_id.bytes
    return vault.unwrap(
        KeyName(row.purpose, owner, row.version), WrappedKey(row.secret_id, row.wrapped)
    )


async def _make(connection: AsyncConnection, collection_id: UUID, version: int) -> DataKey:
    vault = keychain_of(connection).vault
    key = vault.make(KeyName(COLLECTION, collection_id.bytes, version))
    await connection.execute(
        insert(tables.vault_keys).values(
            purpose=COLLECTION, collection_id=collection_id, version=version, **_wrapped(vault, key)
        )
    )
    return key


def _wrapped(vault: Vault, key: DataKey) -> dict[str, Any]:
    wrapped = vault.wrap(key)
    return {"id": uuid4(), "secret_id": wrapped.secret_id, "wrapped": wrapped.body}


def _listed(names: "Sequence[str] | set[str]") -> str:
    return ", ".join(sorted(names))
