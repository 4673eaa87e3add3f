"""Errors as problem details (RFC 9457): one envelope, one table from error to status."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from app.api.intake import BodyTimeout, BodyTooLarge
from app.api.loopback import CrossSite
from app.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    ImageRefused,
    NotFound,
    RollcallError,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from app.store.errors import KeyReused
from app.vision.errors import ImageTooLarge, ImageTypeUnsupported

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"


STATUS: Final[Mapping[type[RollcallError], int]] = {
    BadRequest: 422,
    ImageRefused: 422,
    ImageTooLarge: 413,
    ImageTypeUnsupported: 415,
    Unauthenticated: 401,
    Forbidden: 403,
    TooMany: 429,
    NotFound: 404,
    Conflict: 409,
    KeyReused: 422,
    BodyTooLarge: 413,
    BodyTimeout: 408,
    CrossSite: 403,
    Unavailable: 503,
}


class InvalidField(BaseModel):
    """One thing that is wrong with a request."""

    field: str
    message: str


class Problem(BaseModel):
    """What every error looks like. `code` is stable; `detail` says what to do."""

    type: str = Field(examples=["urn:rollcall:problem:face_not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["face_not_found"])
    request_id: str
    image: str | None = Field(None, description="the image meant, where it is one of several")
    errors: list[InvalidField] | None = None


_CHALLENGE: Final = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
_WAIT: Final = {
    "Retry-After": {
        "description": "seconds after which to try again",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    # The parser's answer, before there is a request that could be answered.
    400: {
        "description": "The bytes are no HTTP/1.1 request",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
    **{
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": headers} if headers else {}),
        }
        for status, headers in (
            (401, _CHALLENGE),
            (403, None),
            (404, None),
            (408, None),
            (409, None),
            (413, None),
            (415, None),
            (422, None),
            (429, _WAIT),
            (500, None),
            (503, _WAIT),
        )
    },
}
"""What any operation may answer beside its success; FastAPI merges it into the document."""


def status_of(error: RollcallError) -> int:
    """The status of the nearest class in the table; what is not in it is a fault of ours."""
    return next((STATUS[each] for each in type(error).__mro__ if each in STATUS), 500)


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    facts: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = {
        "type": f"urn:rollcall:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request.scope.get("rollcall.request_id", ""),
    }
    # The members of the envelope are never overwritten by what an error has to add.
    extra = {name: value for name, value in (facts or {}).items() if name not in body}
    return JSONResponse({**body, **extra}, status, {**(headers or {})}, media_type=MEDIA_TYPE)


def answer(request: Request, error: RollcallError) -> JSONResponse:
    """The answer to an error of ours."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(request, status_of(error), error.code, error.detail, error.facts, headers)


def invalid(errors: Sequence[Any]) -> list[dict[str, str]]:
    """Pydantic's findings by field; never with the input, which may be an image or a name."""
    return [
        {
            "field": ".".join(str(part) for part in each["loc"] if part not in ("body", "query")),
            "message": each["msg"].removeprefix("Value error, "),
        }
        for each in errors
    ]


def fault(
    request: Request,
    error: Exception,
    say: Callable[[Request, RollcallError], Response] = answer,
) -> Response:
    """The answer to an error that nobody named. The log says where it came from, not what it said:
    messages of foreign errors may hold names or vectors."""
    log.error("request.failed", request_id=request.scope["rollcall.request_id"], exc_info=error)
    return say(
        request,
        RollcallError("Something went wrong on our side. The log has it under this request_id."),
    )


def _methods_of(request: Request) -> str:
    """What the address takes, for Allow. Each route knows its own method only."""
    asked = (
        method
        for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    )
    return ", ".join(asked)


def install(app: FastAPI) -> None:
    """Hand every error of `app` to this table."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RollcallError)  # noqa: S101 (what it is registered for)
        return answer(request, error)

    async def malformed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError | ValidationError)  # noqa: S101
        wrong = invalid(error.errors())
        return problem(
            request,
            422,
            "invalid_request",
            "; ".join(f"{each['field'] or 'request'}: {each['message']}" for each in wrong),
            {"errors": wrong},
        )

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        detail = {
            404: "There is nothing at this address. /docs lists what there is.",
            405: "This address does not take this method. /docs lists those it takes.",
        }.get(error.status_code, str(error.detail))
        headers = {"Allow": _methods_of(request)} if error.status_code == 405 else error.headers
        return problem(request, error.status_code, code, detail, headers=headers)

    undocumented = app.openapi

    def documented() -> dict[str, Any]:
        """FastAPI's document with the envelope that RESPONSES refers to."""
        document = undocumented()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"].update({**schema.pop("$defs"), "Problem": schema})
        return document

    # FastAPI's own documented way to extend the document.
    app.openapi = documented  # type: ignore[method-assign]
    app.add_exception_handler(RollcallError, ours)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(ValidationError, malformed)
    app.add_exception_handler(HTTPException, http)
