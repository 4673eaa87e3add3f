"""Doors for callers of other services, each in its own protocol: off until a setting opens one.

A door translates and nothing else: keys, scopes, limits, audit and use cases are those of the
house.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fastapi import Request
from starlette.responses import Response

from app.api import problems
from app.api.door import Refuse
from app.doors import compreface, rekognition
from app.doors.foreign import ForeignDoor
from app.errors import RollcallError

_DOORS: Final[Mapping[str, Callable[[], ForeignDoor]]] = {
    "compreface": compreface.door,
    "rekognition": rekognition.door,
}


def opened(names: Sequence[str]) -> list[ForeignDoor]:
    """The doors of these names, made anew."""
    return [_DOORS[name]() for name in dict.fromkeys(names) if name in _DOORS]


def refusing(doors: Sequence[ForeignDoor]) -> Refuse:
    """How the house says an error: as the door says it that the request came by."""

    def refuse(request: Request, error: RollcallError) -> Response:
        for door in doors:
            if door.owns(request.scope):
                return door.refuse(request, error)
        return problems.answer(request, error)

    return refuse
