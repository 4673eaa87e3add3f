"""Bodies: forms are read as they are sent, and base64 in slices as in one piece."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.direct import Direct
from app.api.fields import _SLICE, _image
from app.api.form import MOST_FILES, MOST_TEXT, MOST_TEXTS, Form, FormBroken

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_ é", min_size=1, max_size=8)
Part = tuple[str, str | bytes]


def encoded(parts: list[Part], boundary: str = "b0undary") -> bytes:
    body = b""
    for name, value in parts:
        file = '; filename="a b.jpg"' if isinstance(value, bytes) else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + (value.encode() if isinstance(value, str) else value) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def read(body: bytes, kind: str = "multipart/form-data; boundary=b0undary", piece: int = 1 << 20):
    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), piece):
            yield body[begin : begin + piece]

    return asyncio.run(Form(kind).read(chunks()))


@given(
    st.lists(st.tuples(NAMES, st.text(max_size=50) | st.binary(max_size=300)), max_size=8),
    st.integers(1, 400),
)
def test_what_was_sent_is_read_however_it_is_cut(parts: list[Part], piece: int) -> None:
    expected: dict[str, list[str | bytes]] = {}
    for name, value in parts:
        expected.setdefault(name, []).append(value)
    assert read(encoded(parts), piece=piece) == expected


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ([("a", b"")] * (MOST_FILES + 1), "Too many files"),
        ([("a", "")] * (MOST_TEXTS + 1), "Too many fields"),
        ([("a", "x" * (MOST_TEXT + 1))], "exceeded maximum size"),
    ],
)
def test_a_form_has_its_limits(parts: list[Part], word: str) -> None:
    with pytest.raises(FormBroken, match=word):
        read(encoded(parts))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"form", "multipart/form-data"),
        (b"form", "multipart/form-data; boundary="),
        (b"no boundary at all", "multipart/form-data; boundary=b0undary"),
        (b"--b0undary\r\nX: y\r\n\r\nz\r\n--b0undary--", "multipart/form-data; boundary=b0undary"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(FormBroken):
        read(body, kind)


@pytest.mark.parametrize(
    "size", [0, 1, 2, *(_SLICE * 3 // 4 + each for each in (-1, 0, 1)), 500_000]
)
@pytest.mark.parametrize("head", ["", "data:image/jpeg;base64,"])
def test_base64_is_read_in_slices_as_in_one_piece(size: int, head: str) -> None:
    picture = bytes(range(256)) * (size // 256 + 1)
    assert _image(head + base64.b64encode(picture[:size]).decode()) == picture[:size]


@pytest.mark.parametrize(
    "bad", ["AA==" + "A" * _SLICE, "A" * (_SLICE - 4) + "AA==" + "A" * 8, "A", "é"]
)
def test_base64_that_is_none_is_refused_wherever_it_breaks(bad: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        _image(bad)


def test_a_direct_route_asks_for_the_caller_first() -> None:
    async def open_to_all(name: str) -> None: ...

    with pytest.raises(TypeError):
        Direct("/open", open_to_all)
