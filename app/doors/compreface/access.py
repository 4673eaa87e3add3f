"""Who comes by this door: the text of a key in x-api-key, and the collection that it stands for."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.datastructures import QueryParams

from app.api.guard import entering
from app.errors import BadRequest
from app.types import Caller, Scope

HEADER: Final = "x-api-key"
_DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Guest:
    """A caller. There, a key names a service, and a service is one collection of faces."""

    caller: Caller

    @property
    def collection(self) -> str:
        """The one that the key knows of, or `default`. Raises BadRequest where it is unclear."""
        known = self.caller.collections
        if known is None or _DEFAULT in known:
            return _DEFAULT
        if len(known) > 1:
            raise BadRequest(
                "This key knows of several collections, and a service has one. Use a key that is "
                "made for one: keys create --collection NAME."
            )
        return next(iter(known))


def plugins_in(query: QueryParams) -> frozenset[str]:
    """The face plugins that are asked for, by their names there."""
    return frozenset(part.strip() for part in query.get("face_plugins", "").split(",")) - {""}


def _with(scope: Scope) -> Any:
    async def enter(request: Request) -> AsyncIterator[Guest]:
        text = request.headers.get(HEADER, "")
        shown = HTTPAuthorizationCredentials(scheme="Bearer", credentials=text) if text else None
        # An embedding is as good as a picture: it has a scope of its own, by whatever door.
        embeddings = ["embeddings"] if "calculator" in plugins_in(request.query_params) else []
        async with entering(request, [scope, *embeddings], shown) as caller:
            yield Guest(caller)

    return Depends(enter)


Identifier = Annotated[Guest, _with("identify")]
Verifier = Annotated[Guest, _with("verify")]
Enroller = Annotated[Guest, _with("enroll")]
Reader = Annotated[Guest, _with("read")]
Eraser = Annotated[Guest, _with("delete")]
