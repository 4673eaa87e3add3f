"""JSON 1.1 as AWS's clients speak it: an operation named by a header, answers, errors."""

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response
from pydantic import ValidationError
from starlette.types import Scope

from app.api.problems import invalid
from app.doors.rekognition.errors import Refused, status_of

MEDIA_TYPE: Final = "application/x-amz-json-1.1"
_TARGET: Final = "RekognitionService."

Answer = Mapping[str, Any]
"""What an operation answers with, by the members' names in Amazon's model."""


def is_meant(scope: Scope) -> bool:
    """Whether a request is for this door: POST to / with an operation named in a header."""
    return (
        scope["method"] == "POST"
        and scope["path"] == "/"
        and any(name == b"x-amz-target" for name, _ in scope["headers"])
    )


def operation_named(scope: Scope) -> str:
    """The operation of a request that is meant; '' where it names another service's."""
    target = next(value for name, value in scope["headers"] if name == b"x-amz-target")
    text = target.decode("latin-1")
    return text.removeprefix(_TARGET) if text.startswith(_TARGET) else ""


def answer(request: Request, body: Answer) -> Response:
    return _response(request, 200, body)


def refusal(request: Request, error: Refused, retry_after: int | None = None) -> Response:
    body = {"__type": error.name, "Code": error.name, "Message": error.message}
    response = _response(request, status_of(error.name), body)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def misread(error: ValidationError) -> Refused:
    """What a body is refused with that is no JSON, or not what its operation takes. It never
    repeats the input."""
    found = error.errors(include_input=False, include_url=False)
    if any(each["type"] == "json_invalid" for each in found):
        return Refused("SerializationException", "The body is no JSON.")
    wrong = "; ".join(f"{each['field']}: {each['message']}" for each in invalid(found))
    return Refused("InvalidParameterException", f"Request has invalid parameters: {wrong}")


def _response(request: Request, status: int, body: Answer) -> Response:
    return Response(
        json.dumps(body, separators=(",", ":"), allow_nan=False),
        status,
        {"x-amzn-RequestId": request.scope["rollcall.request_id"]},
        media_type=MEDIA_TYPE,
    )
