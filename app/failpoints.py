"""Named places of the write path at which a test lets a process die. Inert unless armed.

A plan is a comma-separated list of `PLACE=kill` and `PLACE=kill:PIDFILE`: SIGKILL to this process,
or to the one whose pid is the first line of a file (PostgreSQL's postmaster.pid). `#3` behind it
takes every third time that the place is reached, `@0.1` a random tenth of the times.
"""

import contextlib
import ipaddress
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from app.errors import CannotStart

PLACES: Final = frozenset(
    {
        "idempotency.reserved",  # the key is committed, nothing else is
        "idempotency.fulfilled",  # the answer is written, not committed
        "idempotency.released",
        "change.locked",
        "change.rows_written",
        "change.before_commit",
        "change.committed",  # the index of this process does not have it yet
        "change.applied",  # the index has it, the caller has no answer yet
        "index.changes_read",
        "index.snapshot_removed",  # for an erasure that the index does not have yet
        "snapshot.half_written",
        "snapshot.before_rename",
        "snapshot.renamed",
    }
)

_STEP: Final = re.compile(
    r"(?P<place>[a-z_.]+)=kill(:(?P<pid_file>[^#@]+))?(#(?P<every>[1-9]\d*)|@(?P<share>0?\.\d+))?"
)


@dataclass(slots=True)
class Step:
    """What happens at a place: to whom (None: to us), and at which of the times it is reached."""

    pid_file: Path | None = None
    every: int = 1
    share: float = 1.0
    reached: int = 0

    def due(self, random: Random) -> bool:
        self.reached += 1
        return self.reached % self.every == 0 and random.random() < self.share

    def kill(self) -> None:
        if self.pid_file is None:
            os.kill(os.getpid(), signal.SIGKILL)
            return
        # What is dead or starting at the moment cannot be killed, and need not be.
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(self.pid_file.read_text().split("\n", 1)[0]), signal.SIGKILL)


def parse(plan: str) -> dict[str, Step]:
    """Raises CannotStart that names what is wrong."""
    steps = {}
    for part in filter(None, (part.strip() for part in plan.split(","))):
        found = _STEP.fullmatch(part)
        if found is None:
            raise CannotStart(
                f"ROLLCALL_FAILPOINTS: '{part}' is not PLACE=kill[:PIDFILE][#EVERY or @SHARE]."
            )
        if found["place"] not in PLACES:
            raise CannotStart(
                f"ROLLCALL_FAILPOINTS: there is no place '{found['place']}'. "
                f"There are: {', '.join(sorted(PLACES))}."
            )
        steps[found["place"]] = Step(
            Path(found["pid_file"]) if found["pid_file"] else None,
            int(found["every"] or 1),
            float(found["share"] or 1.0),
        )
    return steps


_armed: dict[str, Step] = {}
_random = Random(0)  # noqa: S311 (a test must be repeatable, not secret)


def arm(plan: str, host: str) -> None:
    """Let the steps of `plan` happen in this process; an empty plan disarms.

    Raises CannotStart for a plan that is wrong, and for any plan on a service that listens beyond
    this machine.
    """
    steps = parse(plan)
    if steps and not _is_loopback(host):
        raise CannotStart(
            f"ROLLCALL_FAILPOINTS is for tests on this machine, but ROLLCALL_HOST is {host}. "
            "Unset it."
        )
    _armed.clear()
    _armed.update(steps)


def hit(place: str) -> None:
    """Pass a place by; at one that is armed somebody may die."""
    if _armed and (step := _armed.get(place)) is not None and step.due(_random):
        step.kill()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
