"""Secrets, the keys that they open, and what those keys seal: all cryptography of the service.

A root secret gives a key encryption key; that wraps data keys, one for each collection, which are
random and lie wrapped in the database; a data key gives a key for each use of it. Every step down
is HKDF-SHA256 under an `info` of its own, everything is sealed with AES-256-GCM, and what a seal is
bound to is authenticated with it: moved elsewhere, it does not open.
"""

import base64
import binascii
import contextlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.errors import CannotStart

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SEAL_BYTES: Final = NONCE_BYTES + TAG_BYTES
"""What a seal adds to what is sealed."""

_WRAPPING: Final = b"rollcall key encryption 1"
_SECRET_ID: Final = b"rollcall secret id 1"
# Of 32 random bytes more than 25 differ, nearly always; a placeholder or a typed word has fewer.
_FEWEST_DISTINCT: Final = 16


class Unreadable(Exception):
    """A seal does not open: changed, cut, moved from elsewhere, or made with another key."""


class SecretUnknown(Unreadable):
    """A key was wrapped by a secret that this process was not given."""

    def __init__(self, secret_id: str) -> None:
        super().__init__(f"it is wrapped by secret {secret_id}, which is not given here")
        self.secret_id = secret_id


@dataclass(frozen=True, slots=True)
class KeyName:
    """Whose data key it is. `owner` is a collection's id, empty for one of the installation."""

    purpose: str
    owner: bytes
    version: int

    def bound(self) -> bytes:
        """As what is authenticated when the key is wrapped; no two names give the same."""
        return (
            b"rollcall data key 1"
            + self.version.to_bytes(4, "big")
            + len(self.owner).to_bytes(1, "big")
            + self.owner
            + self.purpose.encode()
        )


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it may be stored: useless without the secret of that id."""

    secret_id: str
    body: bytes


class Cipher:
    """Seals small things under one key, each with a random nonce: nonce, ciphertext, tag.

    Random 96-bit nonces are good for 2^32 seals under a key (NIST SP 800-38D, 8.3). 10 million
    templates are 2^23.3; the chance that two of them share a nonce is 2^-50.
    """

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Raises Unreadable."""
        if len(sealed) < SEAL_BYTES:
            raise Unreadable("it is too short")
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except InvalidTag:
            raise Unreadable("it was changed, moved, or sealed with another key") from None

    def open_into(self, sealed: bytes, bound: bytes, into: memoryview) -> None:
        """Open what is exactly as long as `into`, there. Raises Unreadable."""
        if len(sealed) != SEAL_BYTES + len(into):
            raise Unreadable("it has another length")
        try:
            self._aead.decrypt_into(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound, into)
        except InvalidTag:
            raise Unreadable("it was changed, moved, or sealed with another key") from None


class FileCipher:
    """Seals the numbered parts of one file, under a key of that file: ciphertext, tag.

    The number is the nonce, so each may be sealed once only.
    """

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, number: int, plain: "bytes | bytearray | memoryview", bound: bytes) -> bytes:
        return self._aead.encrypt(number.to_bytes(NONCE_BYTES, "big"), plain, bound)

    def open(self, number: int, sealed: "bytes | bytearray | memoryview", bound: bytes) -> bytes:
        """Raises Unreadable."""
        if len(sealed) < TAG_BYTES:
            raise Unreadable("it is too short")
        into = bytearray(len(sealed) - TAG_BYTES)
        self.open_into(number, sealed, bound, memoryview(into))
        return bytes(into)

    def open_into(
        self, number: int, sealed: "bytes | bytearray | memoryview", bound: bytes, into: memoryview
    ) -> None:
        """Open what is exactly as long as `into`, there. Raises Unreadable."""
        if len(sealed) != TAG_BYTES + len(into):
            raise Unreadable("it has another length")
        try:
            self._aead.decrypt_into(number.to_bytes(NONCE_BYTES, "big"), sealed, bound, into)
        except InvalidTag:
            raise Unreadable("it was changed, moved, or sealed with another key") from None


class ScratchCipher:
    """Hides what a process puts aside on disk and reads again itself: AES-256-CTR.

    The key is made here and lies nowhere else, so with the process all of it is gone. Nothing is
    authenticated. Each stretch of `new_start()` may be hidden once only; what is hidden can be
    shown from any multiple of 16 bytes on.
    """

    def __init__(self) -> None:
        self._key = AES256(os.urandom(KEY_BYTES))

    def new_start(self) -> int:
        """Where the counter of a new stretch begins: random, so that no two stretches meet."""
        return int.from_bytes(os.urandom(16), "big")

    def hide(self, start: int, at: int, plain: "bytes | memoryview") -> bytes:
        """`plain` as it may be written `at` bytes (a multiple of 16) into the stretch."""
        return self._stream(start, at).update(plain)

    def show(self, start: int, at: int, hidden: bytes, into: memoryview) -> None:
        """The reverse, into a buffer of the same length."""
        self._stream(start, at).update_into(hidden, into)

    def _stream(self, start: int, at: int) -> CipherContext:
        counter = (start + at // 16) % (1 << 128)
        return BlockCipher(self._key, CTR(counter.to_bytes(16, "big"))).encryptor()


class DataKey:
    """The key of a collection, in one version, or of a purpose of the whole installation."""

    def __init__(self, name: KeyName, material: bytes) -> None:
        self.name = name
        self.material = material

    @property
    def version(self) -> int:
        return self.name.version

    def cipher(self, use: str) -> Cipher:
        """For things of one kind; `use` names it, and each has a key of its own."""
        return Cipher(_derive(self.material, b"rollcall seal 1 " + use.encode()))

    def file_cipher(self, salt: bytes) -> FileCipher:
        """For one file; `salt` is random and stands in the file."""
        return FileCipher(_derive(self.material, b"rollcall file 1", salt=salt))


class Vault:
    """The secrets of this process. New keys are wrapped by the primary; all of them unwrap."""

    def __init__(self, primary: bytes, others: Sequence[bytes] = ()) -> None:
        self._wrapping = {
            secret_id(each): AESGCM(_derive(each, _WRAPPING)) for each in (primary, *others)
        }
        self.primary = secret_id(primary)

    @property
    def secret_ids(self) -> Sequence[str]:
        """The primary first."""
        return list(self._wrapping)

    def make(self, name: KeyName) -> DataKey:
        """A new, random data key."""
        return DataKey(name, secrets.token_bytes(KEY_BYTES))

    def wrap(self, key: DataKey) -> WrappedKey:
        """The key under the primary secret, bound to its name."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._wrapping[self.primary].encrypt(nonce, key.material, key.name.bound())
        return WrappedKey(self.primary, nonce + sealed)

    def unwrap(self, name: KeyName, wrapped: WrappedKey) -> DataKey:
        """Raises SecretUnknown; Unreadable for a key that was changed or belongs elsewhere."""
        wrapping = self._wrapping.get(wrapped.secret_id)
        if wrapping is None:
            raise SecretUnknown(wrapped.secret_id)
        nonce, sealed = wrapped.body[:NONCE_BYTES], wrapped.body[NONCE_BYTES:]
        if len(sealed) != KEY_BYTES + TAG_BYTES:
            raise Unreadable("a wrapped key has another length")
        try:
            return DataKey(name, wrapping.decrypt(nonce, sealed, name.bound()))
        except InvalidTag:
            raise Unreadable("a wrapped key was changed or belongs elsewhere") from None


def secret_id(secret: bytes) -> str:
    """What a secret is called in the database and in messages: 16 hex digits that tell nothing."""
    return _derive(secret, _SECRET_ID, length=8).hex()


def secret_of_installation(path: Path) -> str:
    """The secret in the file at `path`, made there once; readable by the owner only.

    Raises CannotStart where the file cannot be made or read, or others may read it.
    """
    try:
        if not path.exists():
            _make_secret(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise CannotStart(f"Others may read {path}. Run: chmod 600 {path}")
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CannotStart(f"The secret in {path} cannot be read or made: {reason}.") from None


def _make_secret(path: Path) -> None:
    """Whole or not at all, and never over one that another process made meanwhile."""
    descriptor, name = tempfile.mkstemp(prefix=".secret-", dir=path.parent)  # mode 0600
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_secret(text: str, where: str) -> bytes:
    """The bytes of a secret that is written in hex or base64; `where` names it in messages.

    Raises CannotStart, which never shows any of it.
    """
    text = text.strip()
    if re.fullmatch(r"([0-9a-fA-F]{2})+", text):
        secret = bytes.fromhex(text)
    else:
        try:
            padded = text + "=" * (-len(text) % 4)
            secret = base64.b64decode(padded.translate({45: 43, 95: 47}), validate=True)
        except (binascii.Error, ValueError):
            raise CannotStart(
                f"{where} is neither hex nor base64. Make one with: openssl rand -hex 32"
            ) from None
    if len(secret) < KEY_BYTES:
        raise CannotStart(
            f"{where} holds {len(secret)} bytes, at least {KEY_BYTES} are needed. "
            "Make one with: openssl rand -hex 32"
        )
    if len(set(secret)) < _FEWEST_DISTINCT:
        raise CannotStart(f"{where} is not random. Make one with: openssl rand -hex 32")
    return secret


def _derive(secret: bytes, info: bytes, *, salt: bytes | None = None, length: int = 32) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
