"""Secrets are read strictly, keys open only as what they are, and seals only where they belong."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import CannotStart
from app.vault import (
    DataKey,
    KeyName,
    SecretUnknown,
    Unreadable,
    Vault,
    WrappedKey,
    read_secret,
    secret_id,
    secret_of_installation,
)

SECRET = bytes(range(7, 47))
OTHER = bytes(range(50, 90))
NAME = KeyName("collection", uuid4().bytes, 1)


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper() + "\n",
        base64.b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(SECRET).decode().rstrip("="),
    ],
)
def test_a_secret_may_be_hex_or_base64(text: str) -> None:
    assert read_secret(text, "ROLLCALL_SECRET") == SECRET


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither hex nor base64|holds 0 bytes"),
        ("correct horse battery staple!", "neither hex nor base64"),
        (SECRET[:31].hex(), "holds 31 bytes, at least 32"),
        (base64.b64encode(SECRET[:31]).decode(), "holds 31 bytes"),
        ("00" * 32, "is not random"),
        ("changeme" * 8, "is not random"),
    ],
)
def test_a_bad_secret_is_refused_by_name_and_never_shown(text: str, said: str) -> None:
    with pytest.raises(CannotStart, match=f"ROLLCALL_SECRET.*({said})") as refused:
        read_secret(text, "ROLLCALL_SECRET")
    assert not text or text not in refused.value.detail


def test_a_secret_of_the_installation_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    before = os.umask(0)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _: secret_of_installation(path), range(16)))
    finally:
        os.umask(before)
    assert len(found) == 1
    assert len(read_secret(found.pop(), "file")) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]
    path.chmod(0o640)
    with pytest.raises(CannotStart, match="Others may read"):
        secret_of_installation(path)


def test_a_wrapped_key_is_opened_by_its_secret_alone_and_under_its_name() -> None:
    vault = Vault(SECRET)
    key = vault.make(NAME)
    wrapped = vault.wrap(key)
    assert key.material not in wrapped.body
    assert Vault(OTHER, [SECRET]).unwrap(NAME, wrapped).material == key.material
    with pytest.raises(SecretUnknown) as unknown:
        Vault(OTHER).unwrap(NAME, wrapped)
    assert unknown.value.secret_id == secret_id(SECRET) == vault.primary
    for name in (
        replace(NAME, version=2),
        replace(NAME, owner=uuid4().bytes),
        replace(NAME, purpose="api-keys"),
    ):
        with pytest.raises(Unreadable):
            vault.unwrap(name, wrapped)
    for at in range(len(wrapped.body)):
        body = bytearray(wrapped.body)
        body[at] ^= 1
        with pytest.raises(Unreadable):
            vault.unwrap(NAME, WrappedKey(wrapped.secret_id, bytes(body)))
    with pytest.raises(Unreadable):
        vault.unwrap(NAME, WrappedKey(wrapped.secret_id, wrapped.body[:-1]))


def test_the_id_of_a_secret_is_no_part_of_it() -> None:
    assert secret_id(SECRET) != secret_id(OTHER)
    assert bytes.fromhex(secret_id(SECRET)) not in SECRET


@given(st.binary(max_size=200), st.binary(max_size=20), st.integers(0, 10_000))
def test_a_seal_opens_as_it_was_and_with_one_bit_changed_not_at_all(
    plain: bytes, bound: bytes, at: int
) -> None:
    cipher = DataKey(NAME, bytes(32)).cipher("template")
    sealed = cipher.seal(plain, bound)
    assert cipher.open(sealed, bound) == plain
    assert cipher.seal(plain, bound) != sealed
    into = bytearray(len(plain))
    cipher.open_into(sealed, bound, memoryview(into))
    assert into == plain
    spoilt = bytearray(sealed)
    spoilt[at // 8 % len(spoilt)] ^= 1 << at % 8
    for body, about in ((bytes(spoilt), bound), (sealed, bound + b"x"), (sealed[:-1], bound)):
        with pytest.raises(Unreadable):
            cipher.open(body, about)
        with pytest.raises(Unreadable):
            cipher.open_into(body, about, memoryview(into))


def test_every_use_of_a_key_has_a_key_of_its_own() -> None:
    key = DataKey(NAME, bytes(32))
    sealed = key.cipher("template").seal(b"x", b"")
    with pytest.raises(Unreadable):
        key.cipher("crop").open(sealed, b"")
    part = key.file_cipher(b"a" * 32).seal(1, b"x", b"")
    assert key.file_cipher(b"a" * 32).open(1, part, b"") == b"x"
    for cipher, number in ((key.file_cipher(b"b" * 32), 1), (key.file_cipher(b"a" * 32), 2)):
        with pytest.raises(Unreadable):
            cipher.open(number, part, b"")
