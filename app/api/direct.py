"""Routes whose handlers are called directly: the hot path of a request."""

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.params import Depends, Security
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.api.guard import admitted, credentials_of, entering

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Direct(APIRoute):
    """A route that asks for a caller first, and else for what a coroutine makes of the request.

    FastAPI documents it like any other. What is left out is its walk through the dependencies of
    every request and its check of answers that are models already: together they cost as much as
    a handler itself. Raises TypeError at start where a handler asks for anything else.
    """

    def get_route_handler(self) -> Handler:
        first, *others = [
            (name, _dependency(hint))
            for name, hint in get_type_hints(self.endpoint, include_extras=True).items()
            if name != "return"
        ]
        caller, guard = first
        if not isinstance(guard, Security) or guard.dependency is not admitted:
            raise TypeError(f"{self.path}: the first parameter must be the caller")
        calls = [(name, each.dependency) for name, each in others if each.dependency]
        scopes, endpoint, status = list(guard.scopes or ()), self.endpoint, self.status_code or 200

        async def handle(request: Request) -> Response:
            async with entering(request, scopes, await credentials_of(request)) as who:
                given = {name: await call(request) for name, call in calls}
                answer: BaseModel = await endpoint(**{caller: who}, **given)
            return Response(answer.model_dump_json(), status, media_type="application/json")

        return handle


def _dependency(hint: Any) -> Depends:
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(each, Depends) and each.dependency is not None:
            return each
    raise TypeError(f"{hint} is no dependency")
