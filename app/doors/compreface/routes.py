"""Routes of this door: whatever goes wrong behind one is said in its words."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError

from app.doors.compreface import errors
from app.errors import RollcallError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def answering(request: Request) -> Response:
            try:
                return await handle(request)
            except RollcallError as error:
                return errors.refuse(request, error)
            except (RequestValidationError, ValidationError) as error:
                return errors.malformed(error.errors())

        return answering
