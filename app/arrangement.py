"""How the work is laid on the machine: chosen at start, from what the process may use.

Measured (docs/performance.md): on CPU a second thread inside one picture loses to a second picture,
and a batch gains nothing, so there are as many single-threaded workers as cores. A core too many
costs little, one too few costs all of it; a quota that is exceeded stops every thread for the rest
of its period, so of a share of a core nothing is used.
"""

import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from app.settings import Device

EMBED_BATCH: Final[dict[Device, int]] = {"cpu": 1, "cuda": 64}
"""Requests whose crops share a run. On CPU a batch gains nothing, and the crops of one request
would wait on one core while another is idle."""

AT_ONCE: Final = 1_000_000
"""Numbers in a gallery that are searched sooner than they are handed to a thread and back."""

CGROUP: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use: `cores` by affinity, `quota` of them by cgroup, or None."""

    cores: int
    quota: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pictures are worked on at a time, how many threads search one gallery together,
    how many requests share a run of the recognizer, and below which size a gallery is searched
    without a hand-over, in numbers (templates times dimension)."""

    vision_workers: int
    search_threads: int
    embed_batch: int
    search_at_once: int

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def plan(
    machine: Machine, device: Device, search_device: Device, *, workers: int, embed_batch: int
) -> Plan:
    """The arrangement for this machine. `workers` and `embed_batch` overrule it where not 0."""
    cores = machine.cores
    if machine.quota is not None:
        cores = min(cores, max(1, math.floor(machine.quota)))
    at_once = workers or cores
    return Plan(
        vision_workers=at_once,
        # A gallery on a GPU is read there: one thread waits for it.
        search_threads=1 if search_device == "cuda" else at_once,
        embed_batch=embed_batch or EMBED_BATCH[device],
        search_at_once=0 if search_device == "cuda" else AT_ONCE,
    )


def this_machine(cgroup: Path = CGROUP) -> Machine:
    """By the affinity of this process and the quota of its container, version 1 or 2."""
    return Machine(len(os.sched_getaffinity(0)), _quota(cgroup))


def _quota(cgroup: Path) -> float | None:
    try:
        if (both := cgroup / "cpu.max").exists():
            most, period = both.read_text(encoding="ascii").split()
        else:
            most = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        return None if most in ("max", "-1") else int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # no cgroup, or none that says anything
