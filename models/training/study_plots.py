"""Pictures of the studies, from their JSON alone."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot

Row = dict[str, Any]


def draw(study: str, rows: Sequence[Row], target: Path) -> None:
    """Draw the study of that name; "heads" also gives the scale of AdaCos, beside ``target``.

    Trainings that diverged have no figures to draw.
    """
    finite = [row for row in rows if "diverged" not in row]
    if finite:
        PLOTS[study](finite, target)


def _toy(rows: Sequence[Row], target: Path) -> None:
    figure, places = pyplot.subplots(1, len(rows), figsize=(4 * len(rows), 4.3))
    for row, place in zip(rows, np.atleast_1d(places), strict=True):
        points, labels = np.array(row["points"]), np.array(row["labels"])
        place.scatter(*points.T, c=labels, cmap="tab10", s=10, alpha=0.6)
        for label in np.unique(labels):
            centre = points[labels == label].mean(0)
            place.plot(*zip((0, 0), centre / math.hypot(*centre), strict=True), "k-", lw=0.6)
        place.set_title(f"m = {row['name']}: gap {row['mean_gap']:.1f}°")
        place.set_aspect("equal")
        place.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15))
    _save(figure, target)


def _heads(rows: Sequence[Row], target: Path) -> None:
    figure, places = pyplot.subplots(1, 2, figsize=(11, 5.5), sharey=True)
    for key, place in zip(("tar_at_far_0.01", "tar_at_far_0.001"), places, strict=True):
        named = _by_name(rows, key)
        order = sorted(named, key=lambda name: float(np.mean(named[name])))
        if key == "tar_at_far_0.01":
            heads = order
        for height, name in enumerate(heads):
            place.plot(named[name], [height] * len(named[name]), "o", ms=4, alpha=0.7)
            place.plot(np.mean(named[name]), height, "k|", ms=14)
        place.set_yticks(range(len(heads)), heads)
        place.set_xlabel(f"TAR at FAR {key.rpartition('_')[2]}, %")
        place.grid(axis="x", alpha=0.3)
    _save(figure, target)
    _scales(rows, target.with_name("adacos.png"))


def _scales(rows: Sequence[Row], target: Path) -> None:
    if not any(row["curves"] for row in rows if row["name"].startswith("adacos")):
        return
    figure, place = pyplot.subplots(figsize=(7, 4))
    for row in rows:
        if row["name"] == "adacos":
            steps = [point["step"] for point in row["curves"]]
            scales = [point["scale"] for point in row["curves"]]
            place.plot(steps, scales, lw=1, label=f"dynamic, seed {row['seed']}")
    fixed = [row for row in rows if row["name"] == "adacos-fixed"]
    if fixed and fixed[0]["curves"]:
        place.axhline(fixed[0]["curves"][0]["scale"], color="k", ls="--", label="fixed")
    place.set(xlabel="step", ylabel="scale s")
    place.legend()
    _save(figure, target)


def _margins(rows: Sequence[Row], target: Path) -> None:
    figure, place = pyplot.subplots(figsize=(7, 4.5))
    for key, mark in (("tar_at_far_0.01", "o"), ("tar_at_far_0.001", "s")):
        named = _by_name(rows, key)
        margins = sorted(name for name in named if name[0].isdigit())
        [line] = place.plot(
            [float(name) for name in margins], [np.mean(named[name]) for name in margins], "-"
        )
        for name in margins:
            place.plot([float(name)] * len(named[name]), named[name], mark, color=line.get_color())
        free = named.get("features not normalised", [])
        place.plot([0.2] * len(free), free, "x", color=line.get_color(), ms=9)
        line.set_label(f"TAR at FAR {key.rpartition('_')[2]}")
    place.set(xlabel="margin m of CosFace (x: features not normalised)", ylabel="%")
    place.grid(alpha=0.3)
    place.legend()
    _save(figure, target)


def _by_name(rows: Sequence[Row], key: str) -> dict[str, list[float]]:
    named: dict[str, list[float]] = {}
    for row in rows:
        named.setdefault(row["name"], []).append(100 * row[key]["tar"]["rate"])
    return named


def _save(figure: Any, target: Path) -> None:
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    pyplot.close(figure)


PLOTS: Final[dict[str, Callable[[Sequence[Row], Path], None]]] = {
    "toy": _toy,
    "heads": _heads,
    "margins": _margins,
}
