"""What ``calibration.json`` says, measured on people: FMR rows, FNMR rows and the FPIR law."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.training.evaluation.figures import (
    PRECISE,
    Floats,
    allowed,
    cosines,
    paired_cosines,
    rounded_up,
    threshold_at,
)

FMRS: Final = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
BOOTSTRAPS: Final = 400
GALLERY_SIZES: Final = (10, 20, 50, 100, 200, 400, 700, 1000)
DRAWS: Final = 40  # random galleries of each size
# The law bends at higher rates in small galleries; they would spoil it for the strict ones.
FPIRS: Final = (0.2, 0.1, 0.05, 0.03, 0.02, 0.01)
LEAST_FITTED: Final = 2  # strangers, in one draw, whom a rate that is fitted lets through
LEAST_SEARCHES: Final = 10  # false positives that the smallest supported FPIR must rest on
LOOSEST: Final = 0.15  # what that FPIR may be at most: the range has to be more than one rate
STRETCH: Final = 10  # how far beyond the largest gallery measured the law may be used
LEAST_PEOPLE: Final = GALLERY_SIZES[1] + math.ceil(LEAST_SEARCHES / LOOSEST)


def calibration(
    *, embeddings: Floats, labels: NDArray[np.int64], model: str, data: str
) -> dict[str, Any]:
    """The content of ``calibration.json`` for ``model``, as app.vision.calibration reads it.

    ``embeddings`` [n, D] L2-normalised or NaN (left out here: nothing can be said of them),
    ``labels`` [n] the persons, of whom none may have been trained on. A person's first picture
    counts for false matches and searches, the first two for false non-matches. The same input
    gives the same answer.

    Raises ValueError where there are too few people, or the embeddings do not tell them apart.
    """
    usable = np.flatnonzero(np.isfinite(embeddings).all(axis=1))
    persons, first, counts = np.unique(labels[usable], return_index=True, return_counts=True)
    if len(persons) < LEAST_PEOPLE:
        raise ValueError(
            f"A calibration needs at least {LEAST_PEOPLE} people with a face, better 1,000: there "
            f"are {len(persons)}. Add people, none of whom was trained on; more pictures of the "
            "same people do not help."
        )
    order = usable[np.argsort(labels[usable], kind="stable")]
    starts = np.cumsum(counts) - counts
    several = starts[counts > 1]
    random = np.random.default_rng(0)
    scores = cosines(embeddings[usable[first]], embeddings[usable[first]])
    mated = paired_cosines(embeddings[order[several]], embeddings[order[several + 1]])
    content = {
        "format": 1,
        "model": model,
        "data": data,
        "subjects": len(persons),
        "fmr": false_matches(scores, random),
        "mated": {"pairs": len(mated), "fnmr": false_non_matches(mated)},
        "fpir": false_positives(scores, random),
    }
    _check_apart(content)
    return content


def false_matches(scores: Floats, random: np.random.Generator) -> list[dict[str, Any]]:
    """FMR rows of a symmetric [n, n] matrix of non-mated cosines, one row and column a person.

    Rates that fewer than 30 pairs support have no row. The intervals resample people, not pairs:
    a person who resembles many is in many pairs.
    """
    count = len(scores)
    values = scores[np.triu_indices(count, 1)]
    weights = random.multinomial(count, np.full(count, 1 / count), BOOTSTRAPS)
    totals = (count**2 - (weights**2).sum(axis=1)) / 2
    drawn = weights.astype(np.float32)
    table = []
    for fmr in FMRS:
        if allowed(fmr, len(values)) < PRECISE:
            continue
        threshold = rounded_up(threshold_at(values, fmr))
        hit = np.asarray(scores, np.float64) >= threshold
        np.fill_diagonal(hit, False)
        errors = np.einsum("bn,bn->b", drawn @ hit.astype(np.float32), drawn) / 2
        low, high = np.quantile(errors / totals, (0.025, 0.975))
        table.append(
            {
                "fmr": fmr,
                "threshold": threshold,
                "errors": int(np.count_nonzero(np.asarray(values, np.float64) >= threshold)),
                "pairs": len(values),
                "interval": [float(f"{low:.3g}"), float(f"{high:.3g}")],
            }
        )
    return table


def false_non_matches(mated: Floats) -> list[dict[str, float]]:
    """FNMR of mated cosines [n] on a grid of thresholds; no rows without pairs."""
    if not len(mated):
        return []
    return [
        {"threshold": round(float(t), 2), "fnmr": round(float((mated < t).mean()), 5)}
        for t in np.arange(0, 1, 0.02)
    ]


def search_maxima(scores: Floats, size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """The best similarity of every non-mated search, over random galleries of ``size`` people."""
    maxima = []
    for _ in range(DRAWS):
        order = random.permutation(len(scores))
        gallery, probes = order[:size], order[size:]
        maxima.append(scores[np.ix_(probes, gallery)].max(axis=1))
    return np.concatenate(maxima).astype(np.float64)


def gallery_sizes(people: int) -> list[int]:
    """Sizes that leave as many people to search with, and enough to support a rate."""
    return [
        size
        for size in GALLERY_SIZES
        if size <= people / 2 and (people - size) * LOOSEST >= LEAST_SEARCHES
    ]


def false_positives(scores: Floats, random: np.random.Generator) -> dict[str, Any]:
    """The law threshold(N, p) = a + b ln N + c (-ln(-ln(1 - p))), least squares over quantiles.

    The best of N scores with an exponential tail follows a Gumbel law whose location grows with
    ln N (Gumbel, 1958). Galleries overlap between draws: the number of independent searches is
    that of people, and it alone decides which rates are supported.
    """
    searches = len(scores)
    sizes = gallery_sizes(searches)
    points = []
    for size in sizes:
        maxima = search_maxima(scores, size, random)
        for fpir in FPIRS:
            if fpir * (searches - size) < LEAST_FITTED:
                continue
            threshold = threshold_at(maxima, fpir)
            errors = int(np.count_nonzero(maxima >= threshold))
            points.append((size, fpir, threshold, errors, len(maxima)))
    terms = np.array([[1, math.log(n), -math.log(-math.log1p(-p))] for n, p, *_ in points])
    law, *_ = np.linalg.lstsq(terms, np.array([point[2] for point in points]), rcond=None)
    return {
        "location": round(float(law[0]), 6),
        "size_slope": round(float(law[1]), 6),
        "rate_slope": round(float(law[2]), 6),
        "sizes": [sizes[0], sizes[-1]],
        "max_size": STRETCH * sizes[-1],
        "min_fpir": max(min(FPIRS), rounded_up(LEAST_SEARCHES / (searches - sizes[-1]))),
        "max_fpir": max(FPIRS),
        "searches": searches,
        "measured": [
            {
                "gallery_size": size,
                "fpir": fpir,
                "threshold": rounded_up(threshold),
                "model_threshold": rounded_up(float(term @ law)),
                "errors": errors,
                "searches": total,
            }
            for (size, fpir, threshold, errors, total), term in zip(points, terms, strict=True)
        ],
    }


def _check_apart(content: dict[str, Any]) -> None:
    """Raise ValueError where no similarity is a threshold: a recognizer that has learnt nothing."""
    strictest = max(row["threshold"] for row in content["fmr"])
    if strictest > 1 or min(content["fpir"]["size_slope"], content["fpir"]["rate_slope"]) < 0:
        raise ValueError(
            "The embeddings do not tell people apart, so that no threshold has a meaning: "
            f"{content['fmr'][-1]['fmr']:g} of non-mated pairs reach {strictest:.4f}. Check that "
            "the recognizer was trained and gets crops as its contract says."
        )
