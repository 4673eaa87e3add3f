"""The tables of docs/performance.md, from the figures that stand beside it.

    python -m benchmarks.tables            prints them
    python -m benchmarks.tables --write    puts them where the page has a place for them

A place is a line `<!-- figures: NAME -->`, and a line `<!-- end -->` after it.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.local import ROOT
from benchmarks.report import FIGURES, Report

PAGE: Final = ROOT / "docs" / "performance.md"
_PLACE: Final = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def shown(body: dict[str, Any]) -> str:
    """One benchmark's figures as Markdown, with where and when they were taken."""
    report = Report(
        body["benchmark"],
        body["question"],
        rows=body["rows"],
        goals=body["goals"],
        notes=body["notes"],
    )
    load = " ".join(f"{each:.2f}" for each in body["load_average_before"])
    machine = body["machine"]
    return (
        f"{report.table()}\n\n"
        f"{body['date'][:10]}, commit {body['commit'][:7]}, {machine['cores']} cores "
        f"({machine['cpu']}), load average before: {load}.\n"
    )


def filled(page: str, figures: Path = FIGURES) -> str:
    """`page` with every table as the figures have it. Raises FileNotFoundError that names one."""

    def table(place: "re.Match[str]") -> str:
        body = json.loads((figures / f"{place[2]}.json").read_text(encoding="utf-8"))
        return f"{place[1]}{shown(body)}{place[3]}"

    return _PLACE.sub(table, page)


def main() -> None:
    root = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    root.add_argument("--write", action="store_true", help="write them into docs/performance.md")
    asked = root.parse_args()
    page = filled(PAGE.read_text(encoding="utf-8"))
    if asked.write:
        PAGE.write_text(page, encoding="utf-8")
    else:
        sys.stdout.writelines(f"{place[0]}\n\n" for place in _PLACE.finditer(page))


if __name__ == "__main__":
    main()
