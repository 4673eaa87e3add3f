"""What is not offered here is said in CompreFace's words too."""

from typing import Final

from fastapi import APIRouter, Response

from app.doors.compreface import errors
from app.doors.compreface.routes import Route

router = APIRouter(route_class=Route)

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@router.api_route("/{rest:path}", methods=_METHODS)
async def nothing() -> Response:
    return errors.say("There is nothing at this address.", 404, 0)
