"""Who may come in: the key of a request, its scope and its limits, before anything else is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from app.api.deps import request_id, rooms
from app.errors import Forbidden, Unauthenticated
from app.store.audit import record_of
from app.store.keys import ApiKey
from app.types import SCOPES, Caller, Scope
from app.usecases.rooms import Rooms

credentials_of = HTTPBearer(
    auto_error=False,
    scheme_name="api_key",
    description="`Authorization: Bearer rc_…`, made with `python -m app keys create`.",
)


class ScopeMissing(Forbidden):
    """The key is good, and not for this."""

    code = "scope_missing"


async def admitted(
    request: Request,
    asked: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(credentials_of)],
) -> AsyncIterator[Caller]:
    """`entering` as a dependency of FastAPI's."""
    async with entering(request, asked.scopes, credentials) as caller:
        yield caller


@asynccontextmanager
async def entering(
    request: Request, scopes: list[str], credentials: HTTPAuthorizationCredentials | None
) -> AsyncIterator[Caller]:
    """Whoever asks, once let in; the request counts as under way until it is answered.

    Raises Unauthenticated, ScopeMissing, RateLimited, ConcurrencyLimited.
    """
    house = await rooms(request)
    if not house.settings.keys_required and credentials is None:
        yield Caller(None, frozenset(SCOPES), None, await request_id(request))
        return
    if credentials is None:
        raise Unauthenticated("Send an API key: Authorization: Bearer rc_… (docs/access.md).")
    key = await house.access.find(credentials.credentials)
    async with holding(request, scopes, key) as caller:
        yield caller


@asynccontextmanager
async def holding(request: Request, scopes: list[str], key: ApiKey) -> AsyncIterator[Caller]:
    """Whoever has proved to hold `key`, once let in. Raises ScopeMissing, RateLimited,
    ConcurrencyLimited."""
    house = await rooms(request)
    request.scope["rollcall.key"] = key.id
    caller = Caller(key.id, key.scopes, key.collections, await request_id(request))
    with house.access.admit(key):
        await _require(house, caller, cast("list[Scope]", scopes))
        yield caller


async def _require(house: Rooms, caller: Caller, scopes: list[Scope]) -> None:
    lacking = [scope for scope in scopes if scope not in caller.scopes]
    if lacking:
        await house.journal.write(record_of(caller, "refused", scopes=lacking))
        raise ScopeMissing(
            f"This key lacks the scope {', '.join(lacking)}. Ask whoever runs the service for a "
            "key that has it.",
            scopes=lacking,
        )


def _with(*scopes: Scope) -> Any:
    return Security(admitted, scopes=list(scopes))


# The first parameter of every handler but those of health: FastAPI resolves in this order, so that
# nobody's body is read before it is known who sends it.
Identifier = Annotated[Caller, _with("identify")]
Verifier = Annotated[Caller, _with("verify")]
Enroller = Annotated[Caller, _with("enroll")]
Reader = Annotated[Caller, _with("read")]
Eraser = Annotated[Caller, _with("delete")]
Merger = Annotated[Caller, _with("enroll", "delete")]
Exporter = Annotated[Caller, _with("admin", "embeddings")]
Importer = Annotated[Caller, _with("admin", "enroll")]
Embedder = Annotated[Caller, _with("embeddings")]
Watcher = Annotated[Caller, _with("metrics")]
Admin = Annotated[Caller, _with("admin")]
Anyone = Annotated[Caller, _with()]
"""Whatever the key may do."""
