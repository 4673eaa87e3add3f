"""What handlers ask for, declared once."""

from typing import Annotated, cast

from fastapi import Depends, Query, Request

from app.api.body import BodyInvalid
from app.usecases.rooms import Rooms


# Coroutines, though they wait for nothing: FastAPI hands a plain function to a thread.
async def rooms(request: Request) -> Rooms:
    """The parts of the service: built in create_app, there from start to stop."""
    return cast(Rooms, request.app.state.rooms)


async def request_id(request: Request) -> str:
    return cast(str, request.scope["rollcall.request_id"])


def cursor_number(cursor: str) -> int:
    """The sequence that a cursor stands for; nothing stands for the beginning."""
    if not cursor:
        return 0
    if not cursor.isdecimal() or len(cursor) > 18:
        raise BodyInvalid("cursor: send the next_cursor of the page before, unchanged.")
    return int(cursor)


House = Annotated[Rooms, Depends(rooms)]
RequestId = Annotated[str, Depends(request_id)]
Limit = Annotated[int, Query(ge=1, le=1000, description="most entries of a page")]
