"""API keys as rows, and what was used of their limits, inside a transaction of the caller.

A key reads `rc_ID_SECRET`. The id is public; of the secret (256 random bits) only an HMAC-SHA256
under a server secret is kept, so that neither the table nor a backup of it opens anything.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import tables, vaultkeys
from app.store.database import Database
from app.store.errors import KeyNotFound
from app.types import Scope

PREFIX: Final = "rc"
PURPOSE: Final = "api-keys"
"""Of the server secret that digests are made with."""

_k = tables.api_keys.c
_l = tables.key_limits.c


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is to be. `collections` None means all, a limit None means none."""

    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    requests_a_minute: int | None = None
    concurrency: int | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: everything but its secret."""

    id: str
    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None
    requests_a_minute: int | None
    concurrency: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    digest: bytes
    previous_digest: bytes | None
    previous_until: datetime | None

    def opens(self, proof: bytes, now: datetime) -> bool:
        """Whether `proof` is the digest of this key, which is neither revoked nor expired.

        Compared in constant time, and every comparison made whatever the others found.
        """
        current = hmac.compare_digest(self.digest, proof)
        previous = hmac.compare_digest(self.previous_digest or b"", proof)
        return (current or (previous and self._graced(now))) and self.alive(now)

    def alive(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def signing_secrets(self, pepper: bytes, now: datetime) -> list[str]:
        """What requests may be signed with at `now`: the secret of the key as it is, and in the
        grace after a rotation that of the key as it was. None of a key that is at its end."""
        if not self.alive(now):
            return []
        digests = [self.digest]
        if self.previous_digest is not None and self._graced(now):
            digests.append(self.previous_digest)
        return [signing_secret(pepper, self.id, digest) for digest in digests]

    def _graced(self, now: datetime) -> bool:
        return self.previous_until is not None and now < self.previous_until


def parse(token: str) -> tuple[str, str] | None:
    """Id and secret of a key as callers send it; None where it is no key."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != PREFIX or not all(parts):
        return None
    return parts[1], parts[2]


def proof(pepper: bytes, key_id: str, secret: str) -> bytes:
    """The HMAC-SHA256 that is kept of a secret; the id is in it, so that rows cannot be swapped."""
    return hmac.digest(pepper, f"{key_id}:{secret}".encode(), "sha256")


def signing_secret(pepper: bytes, key_id: str, digest: bytes) -> str:
    """The secret that a key's requests are signed with where they must be signed and not only
    carry the key (AWS's protocol): both sides need it, so it cannot be the key's own, of which
    only `digest` is known here.

    It is made of the pepper and that digest, never stored, and another with every rotation. No
    proof of a key can be the same: those begin with the key's id.
    """
    made = hmac.digest(pepper, b"signing\0" + key_id.encode() + b"\0" + digest, "sha256")
    return urlsafe_b64encode(made).rstrip(b"=").decode()


# What every process asks again and again.
_USABLE: Final = """
SELECT id, name, scopes, collections, requests_a_minute, concurrency, created_at, expires_at,
    revoked_at, last_used_at, digest, previous_digest, previous_until
FROM api_keys WHERE revoked_at IS NULL
"""
_SPENT: Final = """
SELECT key_id, bucket, extract(epoch FROM spent_until - now())::float8 AS ahead
FROM key_limits WHERE spent_until > now()
"""


async def create(connection: AsyncConnection, new: NewKey) -> tuple[ApiKey, str]:
    """A new key, and its text: nobody can be shown that again."""
    pepper = await vaultkeys.secret_of(connection, PURPOSE)
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    row = (
        await connection.execute(
            insert(tables.api_keys)
            .values(
                id=key_id,
                name=new.name,
                digest=proof(pepper, key_id, secret),
                scopes=sorted(new.scopes),
                collections=None if new.collections is None else sorted(new.collections),
                requests_a_minute=new.requests_a_minute,
                concurrency=new.concurrency,
                expires_at=new.expires_at,
            )
            .returning(tables.api_keys)
        )
    ).one()
    return _read(row._asdict()), _text(key_id, secret)


async def rotate(connection: AsyncConnection, key_id: str, grace: timedelta) -> tuple[ApiKey, str]:
    """A new secret for a key; the old one goes on for `grace`. Raises KeyNotFound.

    Id, scopes and limits stay, and with them what was counted and written down under the id.
    """
    pepper = await vaultkeys.secret_of(connection, PURPOSE)
    secret = secrets.token_urlsafe(32)
    row = (
        await connection.execute(
            update(tables.api_keys)
            .where(_k.id == key_id, _k.revoked_at.is_(None))
            .values(
                digest=proof(pepper, key_id, secret),
                previous_digest=_k.digest,
                previous_until=func.now() + grace,
            )
            .returning(tables.api_keys)
        )
    ).one_or_none()
    if row is None:
        raise missing(key_id)
    return _read(row._asdict()), _text(key_id, secret)


async def revoke(connection: AsyncConnection, key_id: str) -> ApiKey:
    """Let a key open nothing any more, for good. Raises KeyNotFound."""
    row = (
        await connection.execute(
            update(tables.api_keys)
            .where(_k.id == key_id)
            .values(revoked_at=func.coalesce(_k.revoked_at, func.now()))
            .returning(tables.api_keys)
        )
    ).one_or_none()
    if row is None:
        raise missing(key_id)
    return _read(row._asdict())


async def get(connection: AsyncConnection, key_id: str) -> ApiKey:
    """A key that may be used. Raises KeyNotFound for one that is unknown, revoked or expired."""
    row = (await connection.execute(select(tables.api_keys).where(_k.id == key_id))).one_or_none()
    key = None if row is None else _read(row._asdict())
    if key is None or not key.alive(utc_now()):
        raise missing(key_id)
    return key


async def page(connection: AsyncConnection, after: str, limit: int) -> Sequence[ApiKey]:
    """Keys by id, revoked ones too."""
    query = select(tables.api_keys).where(_k.id > after).order_by(_k.id).limit(limit)
    return [_read(row._asdict()) for row in await connection.execute(query)]


async def usable(database: Database) -> Mapping[str, ApiKey]:
    """By id, every key that is not revoked, in one roundtrip. Raises DatabaseUnavailable."""
    return {row["id"]: _read(dict(row)) for row in await database.fetch(_USABLE)}


async def used(connection: AsyncConnection, when: Mapping[str, datetime]) -> None:
    """Note when keys were last used."""
    for key_id, at in sorted(when.items()):
        await connection.execute(
            update(tables.api_keys)
            .where(_k.id == key_id)
            .values(last_used_at=func.greatest(_k.last_used_at, at))
        )


async def spend(connection: AsyncConnection, key_id: str, bucket: str, seconds: float) -> None:
    """Move a bucket `seconds` ahead; uses counted by several processes add up."""
    await connection.execute(
        text(
            "INSERT INTO key_limits (key_id, bucket, spent_until) "
            "SELECT id, :bucket, now() + make_interval(secs => :seconds) FROM api_keys "
            "WHERE id = :key ON CONFLICT (key_id, bucket) DO UPDATE SET spent_until = "
            "greatest(key_limits.spent_until, now()) + make_interval(secs => :seconds)"
        ),
        {"key": key_id, "bucket": bucket, "seconds": seconds},
    )


async def spent(database: Database) -> Mapping[tuple[str, str], float]:
    """By key and bucket, the seconds that each is ahead of now, in one roundtrip; those that are
    not are left out. Raises DatabaseUnavailable."""
    rows = await database.fetch(_SPENT)
    return {(row["key_id"], row["bucket"]): row["ahead"] for row in rows}


async def sweep(connection: AsyncConnection) -> None:
    """Forget buckets that are whole again."""
    await connection.execute(delete(tables.key_limits).where(_l.spent_until < func.now()))


def missing(key_id: str) -> KeyNotFound:
    return KeyNotFound(f"There is no key {key_id} that is in use.", key=key_id)


def utc_now() -> datetime:
    return datetime.now(UTC)


def _text(key_id: str, secret: str) -> str:
    return f"{PREFIX}_{key_id}_{secret}"


def _read(columns: Mapping[str, Any]) -> ApiKey:
    names = columns["collections"]
    return ApiKey(
        **{
            **columns,
            "scopes": frozenset(columns["scopes"]),
            "collections": None if names is None else frozenset(names),
        }
    )
