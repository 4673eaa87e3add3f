"""The addresses of this door, and how the house knows what comes by it."""

import re
from typing import Final

from fastapi import APIRouter
from starlette.types import Scope

from app.doors.compreface import elsewhere, embeddings, faces, pictures, subjects

_PREFIX: Final = "/api/v1"
_ONE: Final = re.compile(
    _PREFIX + r"/(recognition/recognize|recognition/faces(/[^/]+/verify)?|detection/detect)"
)
_TWO: Final = _PREFIX + "/verification/verify"


def router() -> APIRouter:
    made = APIRouter(prefix=_PREFIX)
    made.include_router(pictures.router)
    made.include_router(subjects.router, prefix="/recognition/subjects")
    made.include_router(faces.router, prefix="/recognition/faces")
    made.include_router(embeddings.router)
    made.include_router(elsewhere.router)
    return made


def is_meant(scope: Scope) -> bool:
    """Whether a request came by this door."""
    return str(scope["path"]).startswith(_PREFIX + "/")


def images(scope: Scope) -> int:
    """How many images a request may hold."""
    path = scope["path"]
    if path == _TWO:
        return 2
    return 1 if _ONE.fullmatch(path) else 0
