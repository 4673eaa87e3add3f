"""The filter of ids is never wrong about one that is there, and seldom about one that is not."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gallery.blocks import as_bytes, packed
from app.gallery.known import Known

from .oracle import ids

NAMES = st.lists(st.uuids() | st.integers(0, 1 << 70).map(lambda number: UUID(int=number)))


@given(NAMES, NAMES, NAMES)
def test_whoever_was_added_may_be_there(
    first: list[UUID], later: list[UUID], new: list[UUID]
) -> None:
    known = Known([packed(ids(first))])
    known.add(packed(ids(later)))
    asked = packed(ids(first + new + later))
    told = set(as_bytes(known.perhaps(asked)))
    assert {name.bytes for name in first + later} <= told
    assert told <= set(as_bytes(asked))


@pytest.mark.parametrize("alike", [0, 8])
def test_few_new_ones_are_taken_for_old_until_it_is_full(alike: int) -> None:
    """Also of ids that are alike in one half."""
    random = np.random.default_rng(1)
    names = random.integers(0, 256, (40_000, 16), np.uint8)
    names[:, alike : alike + 8] = 0
    known = Known([packed(names[:10_000])])
    known.add(packed(names[10_000:15_000]))
    assert not known.full
    assert known.perhaps(packed(names[20_000:])).shape[1] < 20_000 / 10
    while not known.full:
        known.add(packed(names[:1000]))
