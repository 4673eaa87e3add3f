"""Keys, the record of what was done, and whether the service lives."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from app import types
from app.store.keys import ApiKey


class Key(BaseModel):
    """An API key, without its text. `collections` null means all, a limit null means none."""

    id: str
    name: str
    scopes: list[types.Scope]
    collections: list[str] | None
    requests_a_minute: int | None
    concurrency: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def fields_of(cls, key: ApiKey) -> Any:
        return {
            "id": key.id,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "collections": None if key.collections is None else sorted(key.collections),
            "requests_a_minute": key.requests_a_minute,
            "concurrency": key.concurrency,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "last_used_at": key.last_used_at,
        }


class KeyAnswer(Key):
    request_id: str


class CallerAnswer(BaseModel):
    """Who asks. `id` is null where no key was shown and none is needed; `collections` null means
    all."""

    id: str | None
    scopes: list[types.Scope]
    collections: list[str] | None
    request_id: str


class NewKeyAnswer(KeyAnswer):
    """`secret` is what callers send. It is shown this once and kept nowhere."""

    secret: str


class KeyPage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    keys: list[Key]
    next_cursor: str | None
    request_id: str


class AuditRecord(BaseModel):
    """`digest` is chained over this record and all before it."""

    sequence: int
    digest: str
    record: Mapping[str, Any]


class AuditPage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    records: list[AuditRecord]
    next_cursor: str | None
    request_id: str


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    ready: bool
    waiting_for: list[str]
