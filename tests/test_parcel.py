"""A parcel opens with its passphrase, whole, or not at all."""

import io
import os
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import parcel
from app.parcel import PART_BYTES, ParcelUnusable

PHRASE = "open sesame"


@pytest.fixture(autouse=True, scope="module")
def cheap() -> object:
    """Deriving a key is dear on purpose; a file says what it cost, so readers follow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parcel, "_SCRYPT", {"n": 2, "r": 8, "p": 1})
        yield


def sealed(chunks: Sequence[bytes], passphrase: str = PHRASE) -> bytes:
    file = io.BytesIO()
    writer = parcel.Writer(file, passphrase)
    for chunk in chunks:
        writer.write(chunk)
    writer.finish()
    return file.getvalue()


def opened(body: bytes, passphrase: str = PHRASE) -> bytes:
    return b"".join(parcel.read(io.BytesIO(body), passphrase))


@given(st.lists(st.binary(max_size=300), max_size=8), st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_what_was_sealed_is_read(chunks: list[bytes], passphrase: str) -> None:
    body = sealed(chunks, passphrase)
    assert opened(body, passphrase) == b"".join(chunks)


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_parts_are_cut_where_they_are_full(size: int) -> None:
    content = os.urandom(size)
    assert opened(sealed([content[:1000], content[1000:]])) == content


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_file_that_was_changed_or_cut_anywhere_does_not_open(data: st.DataObject) -> None:
    body = bytearray(sealed([b"templates" * 40]))
    at = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        body[at] ^= data.draw(st.integers(1, 255))
    else:
        del body[at:]
    with pytest.raises(ParcelUnusable):
        opened(bytes(body))


def test_parts_cannot_be_left_out_swapped_or_called_last() -> None:
    content = os.urandom(3 * PART_BYTES - 7)
    body = sealed([content])
    begin = body.index(b"\n", body.index(b"\n") + 1) + 1
    frame = 5 + PART_BYTES + 16
    parts = [body[begin : begin + frame], body[begin + frame : begin + 2 * frame]]
    head, rest = body[:begin], body[begin + 2 * frame :]
    assert opened(head + parts[0] + parts[1] + rest) == content
    last = parts[0][:4] + b"L" + parts[0][5:]
    for spoilt in (
        head + parts[1] + parts[0] + rest,
        head + parts[0] + rest,
        head + last,
        head + parts[0] + parts[1],
        body + b"more",
    ):
        with pytest.raises(ParcelUnusable):
            opened(spoilt)


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(ParcelUnusable, match="passphrase"):
        opened(sealed([b"x"]), "Open sesame")


def test_nothing_is_read_of_what_is_in_it() -> None:
    body = sealed([b"Eileen Collins"])
    assert b"Eileen" not in body
    assert sealed([b"Eileen Collins"]) != body


def test_a_head_that_asks_for_all_memory_is_refused() -> None:
    body = sealed([b"x"]).replace(b'"n": 2', b'"n": 1073741824')
    with pytest.raises(ParcelUnusable, match="head"):
        opened(body)
