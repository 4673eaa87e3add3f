"""The door for programs that were written for Amazon Rekognition: docs/doors.md says what it does.

`table` lists what is offered.
"""

from starlette.types import Scope

from app.doors.foreign import ForeignDoor
from app.doors.rekognition import router, wire
from app.doors.rekognition.table import OPERATIONS


def door() -> ForeignDoor:
    return ForeignDoor(router.router(), wire.is_meant, images, router.refuse)


def images(scope: Scope) -> int:
    """How many images a request may hold."""
    if not wire.is_meant(scope):
        return 0
    operation = OPERATIONS.get(wire.operation_named(scope))
    return 0 if operation is None else operation.images
