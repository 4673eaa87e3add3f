"""/keys: API keys, for those who run the service."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from app.api import schemas
from app.api.body import Ask, body_of, documented
from app.api.deps import House, Limit, RequestId
from app.api.fields import CollectionName, Cursor, Future, Name
from app.api.guard import Admin, Anyone
from app.store.keys import NewKey
from app.types import Scope
from app.usecases import keys

router = APIRouter(prefix="/keys", tags=["access"])

InPath = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


class KeyAsk(Ask):
    """A key may do what its scopes say, in its collections; none named means all."""

    name: Name = Field(description="what the key is for, for people")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    collections: tuple[CollectionName, ...] | None = Field(None, min_length=1)
    requests_a_minute: int | None = Field(None, ge=1, le=1_000_000)
    concurrency: int | None = Field(None, ge=1, le=10_000)
    expires_at: Future | None = None


class RotationAsk(Ask):
    grace_seconds: int = Field(
        3600, ge=0, le=30 * 86400, description="how long the old key goes on beside the new one"
    )


@router.post("", status_code=201, openapi_extra=documented(KeyAsk), summary="Make an API key")
async def post(
    caller: Admin,
    ask: Annotated[KeyAsk, Depends(body_of(KeyAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.NewKeyAnswer:
    """The answer holds the key's text, this once."""
    new = NewKey(
        name=ask.name,
        scopes=frozenset(ask.scopes),
        collections=None if ask.collections is None else frozenset(ask.collections),
        requests_a_minute=ask.requests_a_minute,
        concurrency=ask.concurrency,
        expires_at=ask.expires_at,
    )
    key, text = await keys.create(house.database, caller, new)
    await house.access.refresh()
    return schemas.NewKeyAnswer(secret=text, request_id=request_id, **schemas.Key.fields_of(key))


@router.get("", summary="List the API keys")
async def get_all(
    caller: Admin,
    house: House,
    request_id: RequestId,
    cursor: Annotated[Cursor, Query()] = "",
    limit: Limit = 100,
) -> schemas.KeyPage:
    """By id, in pages, revoked ones too."""
    found = await keys.page(house.database, cursor, limit + 1)
    return schemas.KeyPage(
        keys=[schemas.Key(**schemas.Key.fields_of(key)) for key in found[:limit]],
        next_cursor=found[limit - 1].id if len(found) > limit else None,
        request_id=request_id,
    )


@router.get("/self", summary="What may the caller do?")
async def get_self(caller: Anyone, request_id: RequestId) -> schemas.CallerAnswer:
    """Any key may ask; so may nobody, where no key is asked for: then `id` is null."""
    return schemas.CallerAnswer(
        id=caller.key_id,
        scopes=sorted(caller.scopes),
        collections=None if caller.collections is None else sorted(caller.collections),
        request_id=request_id,
    )


@router.post(
    "/{key_id}/rotate", openapi_extra=documented(RotationAsk), summary="Give a key a new secret"
)
async def rotate(
    caller: Admin,
    key_id: InPath,
    ask: Annotated[RotationAsk, Depends(body_of(RotationAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.NewKeyAnswer:
    """Id, scopes and limits stay. The old text goes on for `grace_seconds`."""
    grace = timedelta(seconds=ask.grace_seconds)
    key, text = await keys.rotate(house.database, caller, key_id, grace)
    await house.access.refresh()
    return schemas.NewKeyAnswer(secret=text, request_id=request_id, **schemas.Key.fields_of(key))


@router.delete("/{key_id}", summary="Revoke a key")
async def delete(
    caller: Admin, key_id: InPath, house: House, request_id: RequestId
) -> schemas.KeyAnswer:
    """It opens nothing here from now on, and nowhere after a poll interval. There is no undo."""
    key = await keys.revoke(house.database, caller, key_id)
    await house.access.refresh()
    return schemas.KeyAnswer(request_id=request_id, **schemas.Key.fields_of(key))
