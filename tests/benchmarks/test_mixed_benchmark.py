"""What the benchmark of mixed load computes itself."""

import pytest

from benchmarks.mixed import QUIET, summary


def test_changes_are_counted_over_the_time_that_searches_took() -> None:
    row = summary(QUIET, [[0.5] * 4, [1.0] * 2], [[0.001] * 30, [0.003] * 10])
    assert row["searches"] == 6
    assert row["changes/s"] == pytest.approx(10)
    assert row["search p50 ms"] == pytest.approx(500)
    assert row["search p99 ms"] == pytest.approx(750)
    assert row["change most ms"] == pytest.approx(3)


def test_a_quiet_side_has_no_changes() -> None:
    assert summary(QUIET, [[0.5]], None)["changes/s"] is None
