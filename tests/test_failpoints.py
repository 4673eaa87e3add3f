"""Failpoints: a plan that is wrong stops the start, and one that is not given does nothing."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from app import failpoints
from app.errors import CannotStart
from tests.service import ROOT


def test_a_plan_names_places_victims_and_times() -> None:
    steps = failpoints.parse(
        "change.locked=kill, change.committed=kill:/data/post master.pid#3,"
        "index.changes_read=kill@.5"
    )
    assert list(steps) == ["change.locked", "change.committed", "index.changes_read"]
    assert steps["change.locked"] == failpoints.Step()
    assert steps["change.committed"] == failpoints.Step(Path("/data/post master.pid"), every=3)
    assert steps["index.changes_read"].share == 0.5
    assert failpoints.parse("") == {}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("change.locke=kill", "there is no place 'change.locke'"),
        ("change.locked", "'change.locked' is not PLACE=kill"),
        ("change.locked=sleep", "is not PLACE=kill"),
        ("change.locked=kill#0", "is not PLACE=kill"),
        ("change.locked=kill#2@0.5", "is not PLACE=kill"),
        ("change.locked=kill@2", "is not PLACE=kill"),
        ("change.locked=kill:", "is not PLACE=kill"),
    ],
)
def test_a_plan_that_is_wrong_is_refused_by_name(plan: str, said: str) -> None:
    with pytest.raises(CannotStart, match=re.escape(said)):
        failpoints.arm(plan, "127.0.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "rollcall.example"])  # noqa: S104
def test_a_service_beyond_this_machine_takes_no_plan(host: str) -> None:
    with pytest.raises(CannotStart, match="ROLLCALL_FAILPOINTS is for tests"):
        failpoints.arm("change.locked=kill", host)
    failpoints.arm("", host)


def test_steps_come_each_so_many_times_or_by_chance() -> None:
    random = Random(0)
    third = failpoints.Step(every=3)
    assert [third.due(random) for _ in range(7)] == [False, False, True] * 2 + [False]
    tenth = failpoints.Step(share=0.1)
    assert 50 < sum(tenth.due(random) for _ in range(1000)) < 200


def test_every_place_is_passed_by_somewhere_in_the_service() -> None:
    passed = {
        place
        for path in (ROOT / "app").rglob("*.py")
        for place in re.findall(r'\bhit\("([a-z_.]+)"\)', path.read_text())
    }
    assert passed == failpoints.PLACES


def test_a_place_kills_this_process_or_the_one_of_a_pid_file(tmp_path: Path) -> None:
    code = (
        "import sys; from app import failpoints; failpoints.arm(sys.argv[1], '127.0.0.1'); "
        "failpoints.hit('change.locked'); failpoints.hit('change.committed'); print('alive')"
    )

    def run(plan: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", code, plan],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    assert run("").stdout == "alive\n"
    assert run("change.locked=kill#2").stdout == "alive\n"
    assert run("change.committed=kill").returncode == -signal.SIGKILL

    victim = subprocess.Popen(["sleep", "60"])
    pid_file = tmp_path / "postmaster.pid"
    pid_file.write_text(f"{victim.pid}\n/somewhere\n")
    assert run(f"change.committed=kill:{pid_file}").stdout == "alive\n"
    assert victim.wait(10) == -signal.SIGKILL
    assert run(f"change.committed=kill:{tmp_path / 'none'}").stdout == "alive\n"
