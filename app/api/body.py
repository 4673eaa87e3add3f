"""Bodies in two dresses, multipart/form-data with files or JSON with base64; one model for both."""

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, Final, TypeVar, get_origin

from fastapi import Request
from pydantic import BaseModel, ConfigDict
from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.errors import BadRequest

_FORM: Final = "multipart/form-data"
_JSON: Final = "application/json"


COMMAS: Final = "in a form, several in one field with commas, or the field again for each"
"""Stands in the annotation of a field that takes many."""


class BodyInvalid(BadRequest):
    """The body is in neither of the forms that are taken."""

    code = "invalid_request"


class Ask(BaseModel):
    """The base of request bodies: a field that is not there is an error, not a wish ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=Ask)


class _Parser(MultiPartParser):
    """Keeps files in memory: photos never touch a disk, and the body is capped already."""

    spool_max_size = 1 << 40


def body_of(model: type[A]) -> Callable[[Request], Awaitable[A]]:
    """A dependency that reads the body as `model`. Raises BodyInvalid, ValidationError."""

    async def read(request: Request) -> A:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == _FORM:
            return model.model_validate(await _form(request, model))
        if kind == _JSON:
            # Strictly: JSON has numbers and booleans of its own, and a form has text alone.
            return model.model_validate_json(await request.body(), strict=True)
        raise BodyInvalid(f"Send the body as {_FORM} or {_JSON}.")

    return read


def documented(model: type[Ask]) -> dict[str, Any]:
    """`openapi_extra` for an operation whose body is read by `body_of(model)`."""
    as_json = model.model_json_schema()
    as_form = json.loads(json.dumps(as_json))
    _as_files(as_form)
    content = {_FORM: {"schema": as_form}, _JSON: {"schema": as_json}}
    return {"requestBody": {"required": True, "content": content}}


def fingerprint(ask: Ask) -> bytes:
    """SHA-256 over all that was asked, whichever dress it came in."""
    digest = sha256()
    for name, value in sorted(ask):
        digest.update(f"\n{name}=".encode())
        for part in value if isinstance(value, tuple) else (value,):
            raw = (
                part
                if isinstance(part, bytes)
                else json.dumps(part, sort_keys=True, default=str).encode()
            )
            digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()


async def _form(request: Request, model: type[Ask]) -> dict[str, Any]:
    parser = _Parser(request.headers, request.stream(), max_files=200, max_fields=50)
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError) as error:
        said = getattr(error, "message", "") or "no boundary, or cut short"
        raise BodyInvalid(f"The form cannot be read: {said}") from None
    try:
        return {name: await _field(form, name, model) for name in form}
    finally:
        await form.close()


async def _field(form: FormData, name: str, model: type[Ask]) -> Any:
    values = [
        await value.read() if isinstance(value, UploadFile) else value
        for value in form.getlist(name)
    ]
    field = model.model_fields.get(name)
    if field is not None and COMMAS in field.metadata:
        return [part.strip() for value in values for part in _text(name, value).split(",")]
    if field is not None and get_origin(field.annotation) is tuple:
        return values
    if len(values) > 1:
        raise BodyInvalid(f"Field '{name}' came {len(values)} times; send it once.")
    return values[0]


def _text(name: str, value: str | bytes) -> str:
    if isinstance(value, bytes):
        raise BodyInvalid(f"Field '{name}' is text; send it without a file name.")
    return value


def _as_files(schema: Any) -> None:
    """In a form an image is a file, metadata is JSON in text, and nothing is null."""
    if isinstance(schema, dict):
        some = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        if len(some) == 1:
            del schema["anyOf"]
            schema.update({**some[0], **schema})
        if schema.pop("contentEncoding", None):
            schema.pop("contentMediaType", None)
            schema["format"] = "binary"
        for value in schema.values():
            _as_files(value)
    elif isinstance(schema, list):
        for value in schema:
            _as_files(value)
