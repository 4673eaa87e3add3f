import hashlib
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.gallery.checksum import Checksum, checksum_of
from app.types import Rows


def rows(count: int) -> Rows:
    generator = np.random.default_rng(count)
    return Rows(
        faces=generator.integers(0, 256, (count, 16), dtype=np.uint8),
        persons=generator.integers(0, 256, (count, 16), dtype=np.uint8),
        vectors=generator.standard_normal((count, 5)).astype(np.float32),
    )


@given(st.permutations(range(12)), st.integers(0, 12))
def test_order_and_grouping_do_not_matter(order: list[int], cut: int) -> None:
    whole = rows(12)
    parts = [
        Rows(whole.faces[part], whole.persons[part], whole.vectors[part])
        for part in (order[:cut], order[cut:])
    ]
    assert checksum_of(parts[0]) + checksum_of(parts[1]) == checksum_of(whole)
    assert checksum_of(whole) - checksum_of(parts[0]) == checksum_of(parts[1])


@given(
    st.sampled_from(["faces", "persons", "vectors"]),
    st.integers(0, 5),
    st.integers(0, 2**16),
    st.integers(0, 7),
)
def test_every_bit_matters(part: str, row: int, byte: int, bit: int) -> None:
    whole = rows(6)
    changed = getattr(whole, part).copy()
    flat = changed[row : row + 1].view(np.uint8).reshape(-1)
    flat[byte % len(flat)] ^= 1 << bit
    assert checksum_of(replace(whole, **{part: changed})) != checksum_of(whole)


def test_swapping_two_persons_shows() -> None:
    whole = rows(6)
    swapped = replace(whole, persons=whole.persons[[1, 0, 2, 3, 4, 5]])
    assert checksum_of(swapped) != checksum_of(whole)


def test_the_same_template_twice_does_not_cancel_out() -> None:
    once = checksum_of(rows(1))
    assert once + once not in (Checksum(), once)
    assert checksum_of(rows(0)) == Checksum()
    assert len(once.hex()) == 32


def test_the_sum_is_that_of_the_hashes_of_single_templates() -> None:
    whole = rows(300)
    naive = 0
    for face, person, vector in zip(whole.faces, whole.persons, whole.vectors, strict=True):
        body = face.tobytes() + person.tobytes() + vector.astype("<f4").tobytes()
        naive += int.from_bytes(hashlib.blake2b(body, digest_size=16).digest(), "big")
    assert checksum_of(whole) == Checksum(300, naive % 2**128)
