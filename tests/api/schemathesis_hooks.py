"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): it knows nothing of pictures, nor whom we need.

Reads FUZZ_IMAGES (files, parted by colons), FUZZ_PERSON (somebody who is enrolled) and FUZZ_KEY (id
of the key that is used, which may not be ended).
"""

import base64
import os
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import ServerError
from schemathesis.core.failures import AcceptedNegativeData

IMAGES = [Path(name).read_bytes() for name in os.environ["FUZZ_IMAGES"].split(":")]
PERSON, KEY = os.environ["FUZZ_PERSON"], os.environ["FUZZ_KEY"]
ODD = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"%PDF-1.7"]

pictures = st.one_of(
    st.sampled_from(IMAGES),
    st.sampled_from(IMAGES),
    st.sampled_from(ODD),
    st.builds(lambda image, size: image[:size], st.sampled_from(IMAGES), st.integers(0, 4000)),
)
schemathesis.openapi.format("binary", pictures)
schemathesis.openapi.format("picture", pictures.map(lambda raw: base64.b64encode(raw).decode()))
schemathesis.openapi.format("uuid", st.one_of(st.just(PERSON), st.uuids().map(str)))


@schemathesis.hook
def before_load_schema(_context: Any, raw_schema: Any) -> None:
    """Give base64 in JSON the name of a format that can be drawn."""
    if isinstance(raw_schema, dict):
        if raw_schema.get("contentEncoding") == "base64":
            raw_schema["format"] = "picture"
        for value in raw_schema.values():
            before_load_schema(_context, value)
    elif isinstance(raw_schema, list):
        for value in raw_schema:
            before_load_schema(_context, value)


@schemathesis.hook
def filter_path_parameters(_context: Any, path_parameters: Any) -> bool:
    return (path_parameters or {}).get("key_id") != KEY


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, _case: Any, response: Any) -> bool:
    """A revision that nobody has made yet is waited for, and then answered 503 as promised; what is
    longer than a list may be, and then longer than a body may be, is 413 unread."""
    if isinstance(failure, AcceptedNegativeData):
        return bool(response.status_code != 413)
    return not (
        isinstance(failure, ServerError) and response.json().get("code") == "revision_not_reached"
    )
