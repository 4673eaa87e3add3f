"""One number for a set of templates, whatever their order: to compare replicas and PostgreSQL."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.types import Rows

_MODULUS = 1 << 128


@dataclass(frozen=True, slots=True)
class Checksum:
    """How many templates there are, and the sum of their hashes modulo 2^128.

    Sums of parts are the sum of the whole; `-` takes templates out again.
    """

    count: int = 0
    value: int = 0

    def __add__(self, other: "Checksum") -> "Checksum":
        return Checksum(self.count + other.count, (self.value + other.value) % _MODULUS)

    def __sub__(self, other: "Checksum") -> "Checksum":
        return Checksum(self.count - other.count, (self.value - other.value) % _MODULUS)

    def hex(self) -> str:
        return f"{self.value:032x}"


def hashes_of(rows: Rows) -> NDArray[np.uint8]:
    """uint8[N, 16]: BLAKE2b-128 over (face id, person id, little-endian float32 vector) of each."""
    if not len(rows):
        return np.empty((0, 16), dtype=np.uint8)
    vectors = np.ascontiguousarray(rows.vectors, dtype="<f4").view(np.uint8)
    body = np.concatenate((rows.faces, rows.persons, vectors), axis=1).data.cast("B")
    width = len(body) // len(rows)
    hashes = bytearray()
    for at in range(0, len(body), width):
        hashes += hashlib.blake2b(body[at : at + width], digest_size=16).digest()
    return np.frombuffer(hashes, np.uint8).reshape(-1, 16)


def checksum_of(rows: Rows) -> Checksum:
    """The sum of the hashes of all rows.

    It finds accidents, it is no defence: who may choose templates can make sums meet. Some three
    seconds for a million templates of 512 dimensions.
    """
    # Four columns of 32 bits: their sums stay within 64 bits for four milliards of rows.
    columns = hashes_of(rows).view(">u4").sum(axis=0, dtype=np.uint64)
    value = 0
    for column in columns:
        value = (value << 32) + int(column)
    return Checksum(len(rows), value % _MODULUS)
