"""The estimate of a wait, without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pace import PRIOR, Pace

SECONDS = st.floats(1e-4, 10)


@given(SECONDS, st.integers(1, 64), st.integers(0, 1000))
def test_a_steady_stage_makes_callers_wait_their_turn(
    seconds: float, workers: int, batches: int
) -> None:
    pace = Pace(workers)
    for _ in range(300):
        pace.took(seconds)
    assert pace.wait(batches) == pytest.approx(batches * seconds / workers, rel=0.01)


def test_one_odd_batch_hardly_counts_and_a_lasting_change_is_learnt() -> None:
    pace = Pace(1)
    pace.took(1000 * PRIOR)
    assert pace.seconds < 1.2 * PRIOR
    for _ in range(60):
        pace.took(10 * PRIOR)
    assert pace.seconds == pytest.approx(10 * PRIOR, rel=0.1)
    for _ in range(60):
        pace.took(PRIOR)
    assert pace.seconds == pytest.approx(PRIOR, rel=0.3)


@given(st.lists(SECONDS, max_size=50))
def test_the_mean_stays_among_what_was_seen(took: list[float]) -> None:
    pace = Pace(1)
    for seconds in took:
        pace.took(seconds)
    assert min([PRIOR, *took]) - 1e-9 <= pace.seconds <= max([PRIOR, *took]) + 1e-9


def test_a_crowd_of_64_on_two_cores_is_within_the_default() -> None:
    """33 ms a picture on each of two cores: 60 pictures a second."""
    from app.settings import Settings

    pace = Pace(2)
    for _ in range(100):
        pace.took(0.033)
    patience = Settings.model_fields["queue_seconds"].default
    assert pace.wait(64) < patience < pace.wait(128)
