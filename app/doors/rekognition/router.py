"""POST / with an operation in `X-Amz-Target`: the one address of this protocol."""

import asyncio
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import ValidationError

from app.api.deps import House
from app.api.intake import BodyTooLarge
from app.doors.rekognition import asks, wire
from app.doors.rekognition.entering import entering
from app.doors.rekognition.errors import Refused, refusal_of
from app.doors.rekognition.replays import Replays
from app.doors.rekognition.table import OPERATIONS
from app.errors import RollcallError
from app.usecases.rooms import Rooms

_AT_ONCE: Final = 100_000
"""Bytes of JSON that are read in less than a millisecond."""


def router() -> APIRouter:
    """For one application: it remembers what came a moment ago."""
    replays = Replays()
    made = APIRouter()

    @made.post("/", include_in_schema=False)
    async def post(request: Request, house: House) -> Response:
        if not wire.is_meant(request.scope):
            raise HTTPException(404)
        try:
            return wire.answer(request, await _served(request, house, replays))
        except Refused as refused:
            return wire.refusal(request, refused)
        except ValidationError as error:
            return wire.refusal(request, wire.misread(error))
        except RollcallError as error:
            return wire.refusal(request, refusal_of(error), error.retry_after)

    return made


async def _served(request: Request, house: Rooms, replays: Replays) -> wire.Answer:
    name = wire.operation_named(request.scope)
    operation = OPERATIONS.get(name)
    if operation is None:
        raise Refused("UnknownOperationException", "This operation is not offered here.")
    async with entering(request, house, replays, name, operation.scope) as (visit, body):
        return await operation.work(visit, await _read(operation.ask, body))


async def _read(kind: type[asks.Members], body: bytes) -> asks.Members:
    if len(body) <= _AT_ONCE:
        return kind.model_validate_json(body, strict=True)
    return await asyncio.to_thread(kind.model_validate_json, body, strict=True)


def refuse(request: Request, error: RollcallError) -> Response:
    """How an error is said to whoever came by this door, before or beside the handler."""
    refused = refusal_of(error)
    operation = OPERATIONS.get(wire.operation_named(request.scope))
    if isinstance(error, BodyTooLarge) and not (operation and operation.images):
        refused = Refused("InvalidParameterException", error.detail)
    return wire.refusal(request, refused, error.retry_after)
