"""The fields that requests are made of, each checked once and here."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
)

from app.api.body import COMMAS

_SLICE: Final = 1 << 18
"""Characters of base64 that are decoded at once; between slices other threads have their turn."""
_MOST_METADATA: Final = 65_536
_DEEPEST_METADATA: Final = 32
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]")

Entry = TypeVar("Entry")


def _image(value: Any) -> Any:
    """Bytes as they came in a form, or base64 (a data: URL too) as it came in JSON."""
    if not isinstance(value, str):
        return value
    begin = value.find(",") + 1 if value.startswith("data:") else 0
    last = len(value) - _SLICE
    pieces = bytearray()
    try:
        while begin < last:
            pieces += _decoded(value[begin : begin + _SLICE], padded=False)
            begin += _SLICE
        pieces += _decoded(value[begin:], padded=True)
    except (binascii.Error, ValueError):
        raise ValueError("send the image as a file of a form, or as base64 in JSON") from None
    return bytes(pieces)


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64") from None


def encoded(value: bytes) -> str:
    """As `Encoded` reads it."""
    return base64.b64encode(value).decode()


def _decoded(encoded: str, *, padded: bool) -> bytes:
    """Raises ValueError for what is no base64, or padded where it goes on."""
    if not padded and encoded.endswith("="):
        raise ValueError("padding in the middle")
    return base64.b64decode(encoded, validate=True)


def distinct(ids: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Raises ValueError where one comes twice."""
    if len(set(ids)) < len(ids):
        raise ValueError("name each of them once")
    return ids


def _object(value: Any, info: ValidationInfo) -> Any:
    """A JSON object that came as text in a form field."""
    if info.mode == "json" or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, too deep
        raise ValueError("must be a JSON object") from None


def _moment(value: Any) -> Any:
    """A date and a time as RFC 3339 has them; seconds since 1970 would be taken for one too."""
    if not isinstance(value, str):
        return value
    try:
        if _MOMENT.match(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass
    raise ValueError("must be a date and time with an offset, as in 2030-01-31T12:00:00Z")


def _in_future(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return moment


def _storable(text: str) -> str:
    """Text that PostgreSQL can hold: no NUL, and no half of a surrogate pair."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be valid Unicode without the NUL character")
    return text


def _storable_object(value: dict[str, Any]) -> dict[str, Any]:
    """Metadata that PostgreSQL can hold, and that nobody mistakes for a file store."""
    for text in _texts(value):
        _storable(text)
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except ValueError:
        raise ValueError("must be JSON, which has neither NaN nor Infinity") from None
    if size > _MOST_METADATA:
        raise ValueError(f"may have {_MOST_METADATA:,} characters of JSON")
    return value


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Every string inside, keys too."""
    if depth > _DEEPEST_METADATA:
        raise ValueError(f"may be nested {_DEEPEST_METADATA} deep")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, depth + 1)


ImageBytes = Annotated[
    bytes,
    BeforeValidator(_image),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "image/*",
            "description": "JPEG, PNG or WebP",
        }
    ),
]

Encoded = Annotated[
    bytes, BeforeValidator(_bytes), WithJsonSchema({"type": "string", "format": "byte"})
]
"""Bytes as base64 in JSON."""

Model = Annotated[
    str,
    Field(
        pattern=r"^([0-9a-f]{16}|external:[A-Za-z0-9][A-Za-z0-9._-]{0,63})$",
        description="a model of a pack, or external: and a name that you give to your own",
    ),
]

JsonObject = Annotated[dict[str, Any], BeforeValidator(_object), AfterValidator(_storable_object)]

Listed = Annotated[tuple[Entry, ...] | None, COMMAS]
"""Many of something that has no comma in it, or nothing."""

Name = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_storable)]

Reference = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]

Future = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_in_future)]

CollectionName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="letters, digits, '.', '_' and '-', at most 64",
    ),
]

# Opaque to callers. Every cursor we give is a collection's name or a number, and so begins alike.
Cursor = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$",
        description="next_cursor of the page before",
    ),
]
