"""Make, list, rotate and revoke API keys, from the API and from the command line."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.errors import BadRequest
from app.store import audit, keys, signatures, vaultkeys
from app.store.audit import record_of
from app.store.database import Database
from app.store.keys import ApiKey, NewKey
from app.store.signatures import Used
from app.types import Caller


class KeyWishInvalid(BadRequest):
    """A key that could not keep what it promises."""

    code = "invalid_request"


async def create(database: Database, caller: Caller, new: NewKey) -> tuple[ApiKey, str]:
    """A new key and its text, which nobody sees again. Raises KeyWishInvalid."""
    if not new.scopes:
        raise KeyWishInvalid("scopes: name at least one.")
    wide = new.scopes & {"admin", "metrics"}
    if new.collections is not None and wide:
        raise KeyWishInvalid(
            f"collections: {' and '.join(sorted(wide))} concern the whole service, so such a key "
            "cannot be limited to collections. Make two keys."
        )
    if new.expires_at is not None and new.expires_at <= keys.utc_now():
        raise KeyWishInvalid("expires_at: must be in the future.")
    async with database.transaction() as connection:
        key, text = await keys.create(connection, new)
        record = record_of(
            caller,
            "key.create",
            made=key.id,
            scopes=sorted(key.scopes),
            collections=None if key.collections is None else sorted(key.collections),
        )
        await audit.append(connection, [(record.id, record.text())])
    return key, text


async def rotate(
    database: Database, caller: Caller, key_id: str, grace: timedelta
) -> tuple[ApiKey, str]:
    """A new text for a key; the old one goes on for `grace`. Raises KeyNotFound."""
    async with database.transaction() as connection:
        key, text = await keys.rotate(connection, key_id, grace)
        record = record_of(caller, "key.rotate", rotated=key.id, grace=grace.total_seconds())
        await audit.append(connection, [(record.id, record.text())])
    return key, text


async def revoke(database: Database, caller: Caller, key_id: str) -> ApiKey:
    """Let a key open nothing any more. Raises KeyNotFound."""
    async with database.transaction() as connection:
        key = await keys.revoke(connection, key_id)
        record = record_of(caller, "key.revoke", revoked=key.id)
        await audit.append(connection, [(record.id, record.text())])
    return key


async def signing_secret(database: Database, caller: Caller, key_id: str) -> str:
    """What requests of a key are signed with where a protocol wants that, until its next rotation.

    Raises KeyNotFound.
    """
    async with database.transaction() as connection:
        key = await keys.get(connection, key_id)
        pepper = await vaultkeys.secret_of(connection, keys.PURPOSE)
        record = record_of(caller, "key.signing_secret", shown=key.id)
        await audit.append(connection, [(record.id, record.text())])
    return keys.signing_secret(pepper, key.id, key.digest)


async def use_signature(
    database: Database, signature: bytes, attempt: str | None, forget_at: datetime
) -> Used | None:
    """None where a signed request comes for the first time, here or anywhere. Its signature is
    remembered until `forget_at`, by when it must be refused for its age.

    Raises DatabaseUnavailable: what cannot be known to be new is not taken.
    """
    async with database.transaction() as connection:
        return await signatures.use(connection, signature, attempt, forget_at)


async def page(database: Database, after: str, limit: int) -> Sequence[ApiKey]:
    """Keys by id, revoked ones too."""
    async with database.transaction() as connection:
        return await keys.page(connection, after, limit)
