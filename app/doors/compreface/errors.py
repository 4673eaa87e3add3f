"""Errors as CompreFace says them: a message for people and its number for programs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from app.api import problems
from app.doors.compreface.access import HEADER
from app.errors import RollcallError, Unauthenticated

_NO_KEY: Final = (400, 20)
_NO_SUCH_KEY: Final = (404, 10)
_PICTURE: Final = (400, 21)
_WRONG: Final = (400, 26)
_NO_PARAMETER: Final = (400, 33)
_NO_PART: Final = (400, 34)

# Its statuses and numbers for what it knows too, by our codes.
_ITS: Final[Mapping[str, tuple[int, int]]] = {
    "key_invalid": _NO_SUCH_KEY,
    "scope_missing": (403, 1),
    "image_empty": _PICTURE,
    "image_type_unsupported": _PICTURE,
    "image_too_large": _PICTURE,
    "image_broken": _PICTURE,
    "image_animated": _PICTURE,
    "face_not_found": (400, 28),
    "several_faces": (400, 31),
    "external_id_taken": (400, 43),
    "person_not_found": (404, 42),
    "enrolled_face_not_found": (404, 44),
    "crop_not_kept": (404, 11),
    "invalid_request": (400, 36),
}


def refuse(request: Request, error: RollcallError) -> Response:
    """The answer to an error of ours. What it has no number for has 0, and our status."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    rejected = error.facts.get("rejected")
    if isinstance(error, Unauthenticated) and not request.headers.get(HEADER):
        status, code, message = *_NO_KEY, f"Missing header: {HEADER}"
    elif rejected:  # of an enrolment, which is of one image here
        status, code = _ITS.get(rejected[0]["reasons"][0], _WRONG)
        message = rejected[0]["detail"]
    else:
        ours = problems.status_of(error)
        status, code = _ITS.get(error.code, (400 if ours == 422 else ours, 0))
        message = error.detail
    return say(message, status, code, headers)


def malformed(errors: Sequence[Any]) -> Response:
    """The answer to a request that lacks something, or has it in another form."""
    wrong = problems.invalid(errors)
    message = "; ".join(f"{each['field'] or 'request'}: {each['message']}" for each in wrong)
    first = errors[0]
    if first["type"] == "missing":
        in_address = first["loc"][:1] == ("query",)
        return say(message, *(_NO_PARAMETER if in_address else _NO_PART))
    return say(message, *_WRONG)


def say(
    message: str, status: int, code: int, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"message": message, "code": code}, status, {**(headers or {})})
