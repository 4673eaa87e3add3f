"""A file that only a passphrase opens: what is taken from one installation to another.

A head in plain text, then parts of at most a mebibyte, each sealed with AES-256-GCM under a key of
this file alone: scrypt (RFC 7914) of the passphrase and a random salt. A part is bound to the head,
to its number and to whether it is the last, so parts cannot be swapped, left out or cut off.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from typing import IO, Any, Final

from app.errors import BadRequest
from app.vault import TAG_BYTES, FileCipher, Unreadable

_MAGIC: Final = b"rollcall parcel 1\n"
PART_BYTES: Final = 1 << 20
# 128 MiB of memory and some 0.3 s for each passphrase that somebody tries.
_SCRYPT: Final = {"n": 1 << 17, "r": 8, "p": 1}
_MOST_HEAD: Final = 4096
_MOST_COST: Final = 1 << 30
"""Bytes of memory that the head of a file may ask for."""


class ParcelUnusable(BadRequest):
    """A file that is no parcel, is damaged or cut off, or whose passphrase is another."""

    code = "parcel_unusable"


class Writer:
    """Seals what is written into `file`, which is complete only after `finish`."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        salt = os.urandom(16)
        self._file = file
        self._head = json.dumps({"kdf": "scrypt", **_SCRYPT, "salt": salt.hex()}).encode() + b"\n"
        self._cipher = FileCipher(_key(passphrase, salt, **_SCRYPT))
        self._number = 0
        self._waiting = bytearray()
        file.write(_MAGIC + self._head)

    def write(self, chunk: bytes) -> None:
        self._waiting += chunk
        while len(self._waiting) > PART_BYTES:
            self._put(bytes(self._waiting[:PART_BYTES]), last=False)
            del self._waiting[:PART_BYTES]

    def finish(self) -> None:
        self._put(bytes(self._waiting), last=True)

    def _put(self, plain: bytes, *, last: bool) -> None:
        sealed = self._cipher.seal(self._number, plain, _bound(self._head, last))
        self._file.write(len(sealed).to_bytes(4, "big") + (b"L" if last else b"M") + sealed)
        self._number += 1


def read(file: IO[bytes], passphrase: str) -> Iterator[bytes]:
    """What was sealed, in pieces; each is authentic, all of it is once the iterator ends.

    Raises ParcelUnusable.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ParcelUnusable("This is no file of `rollcall export`.")
    head = file.readline(_MOST_HEAD)
    cipher = FileCipher(_key(passphrase, *_costs(head)))
    number, last = 0, False
    while not last:
        frame = file.read(5)
        size = int.from_bytes(frame[:4], "big")
        if len(frame) < 5 or size > PART_BYTES + TAG_BYTES:
            raise ParcelUnusable("The file is cut off or damaged.")
        last = frame[4:] == b"L"
        sealed = file.read(size)
        if len(sealed) < size:
            raise ParcelUnusable("The file is cut off or damaged.")
        try:
            yield cipher.open(number, sealed, _bound(head, last))
        except Unreadable:
            reason = "The passphrase is another, or the file" if not number else "The file"
            raise ParcelUnusable(f"{reason} is damaged or cut off.") from None
        number += 1
    if file.read(1):
        raise ParcelUnusable("Something was appended to the file.")


def _bound(head: bytes, last: bool) -> bytes:
    return hashlib.sha256(_MAGIC + head).digest() + (b"L" if last else b"M")


def _costs(head: bytes) -> tuple[bytes, int, int, int]:
    """Salt, n, r and p of a head. Raises ParcelUnusable."""
    try:
        said: Any = json.loads(head)
        salt, n, r, p = bytes.fromhex(said["salt"]), int(said["n"]), int(said["r"]), int(said["p"])
        if said["kdf"] == "scrypt" and 128 * n * r * p <= _MOST_COST and min(n, r, p) > 0:
            return salt, n, r, p
    except (ValueError, KeyError, TypeError):
        pass
    raise ParcelUnusable("The head of the file is damaged.")


def _key(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    try:
        return hashlib.scrypt(
            passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_COST + (1 << 24), dklen=32
        )
    except ValueError:  # n is no power of two
        raise ParcelUnusable("The head of the file is damaged.") from None
