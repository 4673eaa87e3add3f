"""The licence of every locked package, and whether it may be shipped (supply/licences.toml)."""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from supply.lock import Locked, Refused

POLICY: Final = Path(__file__).parent / "licences.toml"


@dataclass(frozen=True, slots=True)
class Policy:
    """SPDX expressions by package, and the licences that are allowed, in either image."""

    allowed: Collection[str]
    allowed_in_gpu_image: Collection[str]
    declared: Mapping[str, str]
    bundled: Mapping[str, str]

    def licence_of(self, package: str) -> str:
        """What its files are under, its own and those bundled. Raises Refused if nobody knows."""
        if package not in self.declared:
            raise Refused(
                f"The licence of {package} is not known. Read it and give it a line in "
                "supply/licences.toml."
            )
        parts = (self.declared[package], self.bundled.get(package))
        if all(parts) and " OR " in str(parts[0]):
            raise Refused(f"{package}: choose one of its licences before adding bundled ones.")
        return " AND ".join(part for part in parts if part)

    def check(self, locked: Sequence[Locked], *, gpu: bool) -> None:
        """Raises Refused that names every package whose licence is unknown or not allowed."""
        allowed = {*self.allowed, *(self.allowed_in_gpu_image if gpu else ())}
        faults = []
        for package in locked:
            try:
                licence = self.licence_of(package.name)
            except Refused as reason:
                faults.append(str(reason))
                continue
            if not _satisfied(licence, allowed):
                faults.append(f"{package.name} is under {licence}, which is not allowed.")
        if faults:
            raise Refused("\n".join(faults))


def read_policy(path: Path = POLICY) -> Policy:
    return Policy(**tomllib.loads(path.read_text()))


def table(policy: Policy, locked: Sequence[Locked]) -> str:
    """As Markdown, a row a package."""
    rows = [f"| {p.name} | {p.version} | {policy.licence_of(p.name)} |" for p in locked]
    return "\n".join(["| package | version | licence |", "| --- | --- | --- |", *rows, ""])


def _satisfied(expression: str, allowed: Collection[str]) -> bool:
    """Whether all that AND asks for is allowed, and one of each OR. Parentheses are not read."""
    return all(
        any(licence in allowed for licence in either.split(" OR "))
        for either in expression.split(" AND ")
    )
