"""Plots of measured curves as PNG: ROC, DET, score histograms and CMC."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from models.training.evaluation.curves import Curves, Histogram, TradeOff

TICKS: Final = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95)
DPI: Final = 120


def write_plots(curves: Mapping[str, Curves], folder: Path) -> list[Path]:
    """``NAME-roc.png``, ``-det.png``, ``-scores.png`` and ``-cmc.png`` of every measurement.

    Measurements with ranks are searches: they have a CMC and, on the axes, FPIR and FNIR.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, each in curves.items():
        searches = each.cmc is not None
        drawn = {"det": det({name: each.trade_off}, searches=searches)}
        if not searches:
            drawn["roc"] = roc({name: each.trade_off})
        if each.histogram:
            drawn["scores"] = score_histogram(each.histogram, name)
        if each.cmc:
            drawn["cmc"] = cmc({name: each.cmc})
        for kind, figure in drawn.items():
            written.append(folder / f"{name}-{kind}.png")
            figure.savefig(written[-1], dpi=DPI)
    return written


def roc(curves: Mapping[str, TradeOff]) -> Figure:
    """TAR against FAR, which is logarithmic."""

    def draw(axes: Axes) -> None:
        for name, curve in curves.items():
            axes.plot(curve.false, 1 - np.array(curve.missed), label=name)
        axes.set(xscale="log", xlabel="FAR", ylabel="TAR", ylim=(None, 1))

    return _figure(draw)


def det(curves: Mapping[str, TradeOff], *, searches: bool = False) -> Figure:
    """Misses against false accepts on normal-deviate axes (Martin et al., 1997).

    Normally distributed scores give straight lines. Rates of 0 and 1 lie at infinity.
    """

    def draw(axes: Axes) -> None:
        shown = []
        for name, curve in curves.items():
            points = np.array([curve.false, curve.missed])
            points = points[:, ((points > 0) & (points < 1)).all(axis=0)]
            axes.plot(*stats.norm.ppf(points), label=name)
            shown.append(points)
        rates = ("FPIR", "FNIR") if searches else ("FMR", "FNMR")
        for axis, rate, values in zip(
            (axes.xaxis, axes.yaxis), rates, np.concatenate(shown, axis=1), strict=True
        ):
            axis.set_label_text(rate)
            ticks = _ticks(values.tolist())
            axis.set_ticks(stats.norm.ppf(ticks).tolist(), [_named(tick) for tick in ticks])

    return _figure(draw)


def score_histogram(histogram: Histogram, name: str) -> Figure:
    """Densities of mated and non-mated similarities."""

    def draw(axes: Axes) -> None:
        edges = np.array(histogram.edges)
        for counts, label in ((histogram.non_mated, "non-mated"), (histogram.mated, "mated")):
            density = np.array(counts) / max(1, sum(counts)) / np.diff(edges)
            axes.stairs(density, edges, fill=True, alpha=0.5, label=label)
        axes.set(xlabel="similarity", ylabel="density", title=name)

    return _figure(draw)


def cmc(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Mates within each rank."""

    def draw(axes: Axes) -> None:
        for name, shares in curves.items():
            axes.plot(range(1, len(shares) + 1), shares, marker=".", label=name)
        axes.set(xlabel="rank", ylabel="mates found", ylim=(None, 1.005))

    return _figure(draw)


def _figure(draw: Callable[[Axes], None]) -> Figure:
    # Without pyplot nothing is global, and no window system is looked for.
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _ticks(values: Sequence[float]) -> list[float]:
    """The round rates within the values' range, and one beyond each end."""
    low, high = min(values, default=1e-3), max(values, default=0.5)
    below = max((tick for tick in TICKS if tick <= low), default=TICKS[0])
    above = min((tick for tick in TICKS if tick >= high), default=TICKS[-1])
    return [tick for tick in TICKS if below <= tick <= above]


def _named(rate: float) -> str:
    return f"{rate:g}" if rate >= 0.01 else f"{rate:.0e}".replace("e-0", "e-")
