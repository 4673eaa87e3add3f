"""Files damaged in seeded ways: what disks, copies and half-finished writes leave behind."""

from collections.abc import Iterator
from typing import Final

import numpy as np

Generator = np.random.Generator


def flipped(generator: Generator, body: bytes) -> bytes:
    """One to eight bits the other way round."""
    spoilt = bytearray(body)
    for at in generator.choice(len(body) * 8, generator.integers(1, 9), replace=False):
        spoilt[int(at) // 8] ^= 1 << int(at) % 8
    return bytes(spoilt)


def cut(generator: Generator, body: bytes) -> bytes:
    """The end is missing."""
    return body[: int(generator.integers(0, len(body)))]


def hollow(generator: Generator, body: bytes) -> bytes:
    """A page that was never written: zeros."""
    begin = int(generator.integers(0, len(body)))
    end = min(len(body), begin + int(generator.integers(1, 4096)))
    return body[:begin] + bytes(end - begin) + body[end:]


def shuffled(generator: Generator, body: bytes) -> bytes:
    """Two parts of one length have changed places."""
    length = int(generator.integers(1, max(2, len(body) // 3)))
    first = int(generator.integers(0, len(body) - 2 * length))
    second = int(generator.integers(first + length, len(body) - length + 1))
    middle = body[first + length : second]
    return (
        body[:first]
        + body[second : second + length]
        + middle
        + body[first : first + length]
        + body[second + length :]
    )


def stuttered(generator: Generator, body: bytes) -> bytes:
    """A part stands there twice."""
    begin = int(generator.integers(0, len(body) - 1))
    end = int(generator.integers(begin + 1, len(body)))
    return body[:end] + body[begin:]


KINDS: Final = (flipped, cut, flipped, hollow, flipped, shuffled, cut, stuttered)


def damaged(body: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` copies of a file, each damaged in some way that left a trace, with what was done."""
    generator = np.random.default_rng(seed)
    made = 0
    while made < count:
        kind = KINDS[made % len(KINDS)]
        spoilt = kind(generator, body)
        if spoilt != body:
            yield f"{kind.__name__} number {made} of seed {seed}", spoilt
            made += 1
