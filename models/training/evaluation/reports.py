"""One measurement as it is published: figures for JSON, and the curves beside them.

Arrays in, so that training and experiments can report what a pack's evaluation reports.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.evaluation import open_set, plots
from models.training.evaluation.curves import Curves, histogram, trade_off
from models.training.evaluation.figures import Floats, pair_scores, supported, tar_at_far
from models.training.evaluation.open_set import Searches
from models.training.evaluation.verification import FARS, verify


@dataclass(frozen=True, kw_only=True)
class Report:
    """``figures`` go into ``evaluation.json``, ``curves`` into ``curves.json`` and the plots."""

    figures: dict[str, Any]
    curves: Curves | None = None


def comparison_curves(mated: Floats, non_mated: Floats) -> Curves:
    """ROC, DET and histogram of comparisons."""
    return Curves(trade_off=trade_off(mated, non_mated), histogram=histogram(mated, non_mated))


def pair_list(scores: Floats, mated: NDArray[np.bool_]) -> Report:
    """Ten folds and TAR at FAR of pairs in file order: cosines [n] and the truth [n]."""
    return Report(
        figures=verify(scores, mated).described(),
        curves=comparison_curves(scores[mated], scores[~mated]),
    )


def comparisons(mated: Floats, non_mated: Floats) -> Report:
    """TAR at every FAR that the non-mated cosines support."""
    measured = supported(FARS, len(non_mated))
    return Report(
        figures={
            "mated_pairs": len(mated),
            "non_mated_pairs": len(non_mated),
            "tar_at_far": [tar_at_far(mated, non_mated, far).described() for far in measured],
            "unsupported_fars": [far for far in FARS if far not in measured],
        },
        curves=comparison_curves(mated, non_mated),
    )


def all_pairs(embeddings: Floats, labels: NDArray[np.int64]) -> Report:
    """``comparisons`` over all pairs of L2-normalised rows [n, D] (or NaN), labels [n]."""
    return comparisons(*pair_scores(embeddings, labels))


def searches(found: Searches) -> Report:
    """Rank-1, CMC and FNIR at FPIR of an open-set search."""
    return Report(
        figures=open_set.described(found),
        curves=Curves(
            trade_off=trade_off(open_set.first_scores(found), found.strangers),
            cmc=tuple(rate.rate for rate in open_set.cmc(found)),
        )
        if len(found.strangers)
        else None,
    )


def write_reports(reports: Mapping[str, Report], folder: Path, about: Mapping[str, Any]) -> None:
    """``evaluation.json`` (``about`` and the figures), ``curves.json`` and the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {**about, "figures": {name: each.figures for name, each in reports.items()}}
    (folder / "evaluation.json").write_text(json.dumps(content, indent=2) + "\n")
    curves = {name: each.curves for name, each in reports.items() if each.curves}
    described = {name: asdict(each) for name, each in curves.items()}
    (folder / "curves.json").write_text(json.dumps(described) + "\n")
    plots.write_plots(curves, folder)
