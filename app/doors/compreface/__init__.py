"""The door for programs that were written for CompreFace: docs/doors.md says what it does."""

from app.doors.compreface import errors, router
from app.doors.foreign import ForeignDoor


def door() -> ForeignDoor:
    return ForeignDoor(router.router(), router.is_meant, router.images, errors.refuse)
