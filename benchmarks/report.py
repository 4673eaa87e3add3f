"""What every benchmark leaves behind: a table on screen, JSON with machine and commit, a plot.

Machines drift while they measure, so sides are run in turns (A B A B) and what counts is the
ratio of each pair of turns, never a second of one against a second of another.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.local import ROOT, commit, machine

FIGURES: Final = ROOT / "docs" / "figures" / "performance"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of two sides that ran in turns: the median over pairs, and the least and greatest pair."""

    median: float
    least: float
    greatest: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.greatest:.2f}, {self.pairs} pairs)"


def in_turns(
    sides: Mapping[str, Callable[[], float]], rounds: int, *, warm: int = 1
) -> dict[str, list[float]]:
    """Run every side once a round, in order; what each returned, round by round.

    The first `warm` rounds are not counted.
    """
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warm + rounds):
        for name, side in sides.items():
            figure = side()
            if number >= warm:
                figures[name].append(figure)
    return figures


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """`above` over `below`, pair by pair."""
    pairs = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(statistics.median(pairs), min(pairs), max(pairs), len(pairs))


@dataclass(slots=True)
class Report:
    """One benchmark's answer to one question.

    `rows` share their keys: they are the table. `goals` say what was aimed at and what came out;
    one that was missed stands there like one that was met. `notes` say what was not run.
    """

    name: str
    question: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    goals: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    load: tuple[float, float, float] = field(default_factory=os.getloadavg)

    def goal(self, what: str, *, aim: str, figure: float | Ratio, met: bool) -> None:
        """What was aimed at, in words (">= 0.8"), what came out, and whether that is it."""
        shown = (
            {"median": figure.median, "least": figure.least, "greatest": figure.greatest}
            if isinstance(figure, Ratio)
            else figure
        )
        self.goals.append({"goal": what, "aim": aim, "figure": shown, "met": met})

    def table(self) -> str:
        """Rows and goals as Markdown."""
        lines = [f"**{self.question}**", "", *_table(self.rows)]
        if self.goals:
            shown = [
                {**each, "figure": _figure(each["figure"]), "met": "yes" if each["met"] else "NO"}
                for each in self.goals
            ]
            lines += ["", *_table(shown)]
        lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).rstrip()

    def save(self, out: Path | None = None) -> Path:
        """Print the table and write the JSON; where it went."""
        path = out or FIGURES / f"{self.name}.json"
        print(self.table())
        print(f"\nload average when it began: {' '.join(f'{each:.2f}' for each in self.load)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {
            "benchmark": self.name,
            "question": self.question,
            "date": self.began.isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": machine(),
            "load_average_before": [round(each, 2) for each in self.load],
            **self.about,
            "rows": self.rows,
            "goals": self.goals,
            "notes": self.notes,
        }
        path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
        print(f"written to {path}")
        return path

    def plot(
        self,
        path: Path,
        *,
        x: str,
        y: str,
        by: str,
        log: bool = True,
    ) -> None:
        """A line for each value of column `by`, through its rows' `x` and `y`, as SVG beside the
        JSON. Without matplotlib nothing is drawn, and that is said."""
        try:
            import matplotlib as mpl  # an extra that figures need and the service does not
        except ImportError:
            print("matplotlib is not installed: no plot was drawn")
            return
        mpl.use("svg")
        # The same figures give the same file.
        mpl.rcParams["svg.hashsalt"] = self.name
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(7, 4.2))
        for line in dict.fromkeys(row[by] for row in self.rows):
            points = sorted(
                (row[x], row[y]) for row in self.rows if row[by] == line and row[y] is not None
            )
            axes.plot(*zip(*points, strict=True), marker="o", label=str(line))
        if log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(title=by, fontsize="small")
        figure.tight_layout()
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        pyplot.close(figure)


def options(description: str) -> argparse.ArgumentParser:
    """What every benchmark can be asked: where to write, and for a short run."""
    root = argparse.ArgumentParser(description=description.split("\n", 1)[0])
    root.add_argument("--out", type=Path, help="write the figures here (default: docs/figures)")
    root.add_argument("--quick", action="store_true", help="smaller and shorter: to try it out")
    return root


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    names = list(rows[0])
    body = [[_figure(row.get(name)) for name in names] for row in rows]
    return [
        "| " + " | ".join(names) + " |",
        "| " + " | ".join("---" for _ in names) + " |",
        *("| " + " | ".join(cells) + " |" for cells in body),
    ]


def _figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return f"{value['median']:.2f} ({value['least']:.2f} to {value['greatest']:.2f})"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
