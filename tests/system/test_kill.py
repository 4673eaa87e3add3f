"""kill -9 of the service and of its PostgreSQL at named places, under enrolments and erasures."""

from pathlib import Path

import pytest

from app.failpoints import PLACES
from tests.house import under_traffic


def test_nothing_answered_is_lost_doubled_or_back_when_service_and_postgres_are_killed(
    tiny_pack: Path, tmp_path: Path, hanks: bytes
) -> None:
    """Ten deaths; `make kills` has two hundred, at each place in turn."""
    with under_traffic(tiny_pack, tmp_path / "data", hanks) as house:
        for plan in (
            "change.before_commit=kill#9",
            "change.committed=kill#7",
            "index.snapshot_removed=kill#4",
            "snapshot.half_written=kill#3",
        ):
            house.service_dies(plan)
        house.postgres_dies(
            "change.locked=kill#31,change.before_commit=kill#23,change.committed=kill#17,"
            "index.changes_read=kill#29",
            times=6,
        )


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_deaths_at_each_place_in_turn(
    tiny_pack: Path, tmp_path: Path, hanks: bytes
) -> None:
    with under_traffic(tiny_pack, tmp_path / "data", hanks) as house:
        for place in sorted(PLACES):
            for every in range(1, 9):  # 104 deaths of the service
                house.service_dies(f"{place}=kill#{every}")
            rare = place.startswith(("idempotency.released", "snapshot", "index.snapshot"))
            house.postgres_dies(f"{place}=kill#{3 if rare else 11}", times=8)  # 104 of PostgreSQL
