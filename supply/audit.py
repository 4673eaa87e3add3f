"""What pip-audit says of a lock, read so that silence is never taken for health.

pip-audit counts a package that the advisory service does not know as skipped, ends with status 0
and says that no vulnerability is known: a service that answers nothing would pass.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from supply.lock import Locked


@dataclass(frozen=True, slots=True)
class Audit:
    """`vulnerable` says package, advisory and remedy; `unanswered` names packages."""

    vulnerable: Sequence[str]
    unanswered: Sequence[str]


def read_audit(report: str, locked: Sequence[Locked]) -> Audit:
    """pip-audit's JSON against the lock it was asked about: what it leaves out is unanswered."""
    try:
        answers: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        answers = []  # it broke off before it wrote
    answered = {(each["name"].lower(), each.get("version")) for each in answers if "vulns" in each}
    vulnerable = [
        f"{each['name']} {each['version']}: {found['id']}, "
        + (
            f"fixed in {', '.join(found['fix_versions'])}"
            if found["fix_versions"]
            else "no fix yet"
        )
        for each in answers
        for found in each.get("vulns", ())
    ]
    return Audit(
        vulnerable,
        [p.name for p in locked if p.in_image and (p.name, p.version) not in answered],
    )
