"""Bodies in two dresses, multipart/form-data with files or JSON with base64; one model for both."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, Final, TypeVar, get_origin

from fastapi import Request
from pydantic import BaseModel, ConfigDict

from app.api.form import Form, FormBroken
from app.errors import BadRequest

_FORM: Final = "multipart/form-data"
_JSON: Final = "application/json"
_AT_ONCE: Final = 100_000
"""Bytes of JSON that are read in less than a millisecond."""


COMMAS: Final = "in a form, several in one field with commas, or the field again for each"
"""Stands in the annotation of a field that takes many."""


class BodyInvalid(BadRequest):
    """The body is in neither of the forms that are taken."""

    code = "invalid_request"


class Ask(BaseModel):
    """The base of request bodies: a field that is not there is an error, not a wish ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=Ask)


def body_of(model: type[A]) -> Callable[[Request], Awaitable[A]]:
    """A dependency that reads the body as `model`. Raises BodyInvalid, ValidationError."""

    async def read(request: Request) -> A:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == _FORM:
            return model.model_validate(await _form(request, model))
        if kind == _JSON:
            # Strictly: JSON has numbers and booleans of its own, and a form has text alone.
            return await _from_json(model, await request.body())
        raise BodyInvalid(f"Send the body as {_FORM} or {_JSON}.")

    return read


async def _from_json(model: type[A], body: bytes) -> A:
    """Off the event loop where it would hold everybody up: megabytes of base64."""
    if len(body) <= _AT_ONCE:
        return model.model_validate_json(body, strict=True)
    return await asyncio.to_thread(model.model_validate_json, body, strict=True)


def documented(model: type[Ask]) -> dict[str, Any]:
    """`openapi_extra` for an operation whose body is read by `body_of(model)`."""
    as_json = _whole(model.model_json_schema())
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
    try:
        parts = await Form(request.headers["content-type"]).read(request.stream())
    except FormBroken as broken:
        raise BodyInvalid(f"The form cannot be read: {broken}") from None
    return {name: _field(values, name, model) for name, values in parts.items()}


def _field(values: list[str | bytes], name: str, model: type[Ask]) -> Any:
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


def _whole(schema: dict[str, Any]) -> Any:
    """The schema with what it refers to in its place: inside an operation nothing else is found."""
    definitions = schema.pop("$defs", {})

    def with_definitions(part: Any) -> Any:
        if isinstance(part, list):
            return [with_definitions(each) for each in part]
        if not isinstance(part, dict):
            return part
        meant = definitions.get(str(part.get("$ref")).removeprefix("#/$defs/"), {})
        own = {name: value for name, value in part.items() if name != "$ref"}
        return {name: with_definitions(value) for name, value in {**meant, **own}.items()}

    return with_definitions(schema)


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
