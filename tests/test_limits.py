"""Buckets: never more than the rate, never less, however uses are counted."""

from hypothesis import given
from hypothesis import strategies as st

from app.limits import Bucket, Rate


@given(
    burst=st.integers(1, 50),
    period=st.floats(0.1, 1000),
    gaps=st.lists(st.floats(0, 100), max_size=200),
)
def test_no_window_of_one_period_holds_more_than_twice_the_burst(
    burst: int, period: float, gaps: list[float]
) -> None:
    """A full bucket and what drips in meanwhile: the bound of a leaky bucket."""
    bucket, now, let_in = Bucket(Rate(burst, period)), 0.0, []
    for gap in gaps:
        now += gap
        if not bucket.wait(now):
            bucket.spend(now)
            let_in.append(now)
    for begin in let_in:
        assert sum(begin <= one < begin + period for one in let_in) <= 2 * burst


@given(burst=st.integers(1, 50), period=st.floats(0.1, 1000))
def test_a_whole_bucket_gives_its_burst_and_then_one_each_interval(
    burst: int, period: float
) -> None:
    bucket = Bucket(Rate(burst, period))
    given_out = 0
    while not bucket.wait(0) > 1e-9 * period:
        bucket.spend(0)
        given_out += 1
    assert given_out == burst
    wait = bucket.wait(0)
    assert abs(wait - period / burst) < 1e-6 * period
    assert bucket.wait(wait + 1e-6 * period) < 1e-6 * period


def test_what_was_used_elsewhere_counts_and_what_was_not_handed_on_is_not_lost() -> None:
    bucket = Bucket(Rate(10, 10))
    for _ in range(4):
        bucket.spend(0)
    bucket.spend(0)  # while the four were on their way
    bucket.saved(4)
    bucket.seen(7.0)  # with three of others
    assert (bucket.unsaved, bucket.spent_until) == (1, 8.0)
