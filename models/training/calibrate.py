"""Write a pack's ``calibration.json``: ``python -m models.training.calibrate --help``.

Measured on people of LFW who are neither in the open-set lists nor in any training set: one
picture a person for false matches, second pictures of the same people for false non-matches.
"""

import argparse
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.types import Floats
from app.vision.calibration import read_calibration
from app.vision.pack import read_pack
from models.training.figures import threshold_at
from models.training.lfw import Search, embed_crops, person_of, read_search

FMRS: Final = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
LEAST_ERRORS: Final = 30  # rule of 30: +-30 % at 90 % confidence
BOOTSTRAPS: Final = 400
GALLERY_SIZES: Final = (10, 20, 50, 100, 200, 400, 700, 1000)
DRAWS: Final = 40  # random galleries of each size
# The law bends at higher rates in small galleries; they would spoil it for the strict ones.
FPIRS: Final = (0.2, 0.1, 0.05, 0.03, 0.02, 0.01)
LEAST_SEARCHES: Final = 10  # false positives that the smallest supported FPIR must rest on
STRETCH: Final = 10  # how far beyond the largest gallery measured the law may be used
DATA: Final = (
    "Labeled Faces in the Wild, people in neither its open-set lists nor the training data, "
    "aligned by the pack's own detector. False matches: one picture a person, all pairs; pairs "
    "share people, so the intervals are from a bootstrap over people. False non-matches: two "
    "pictures of a person."
)


def round_up(value: float) -> float:
    """To four decimals, never below ``value``."""
    return math.ceil(value * 1e4 - 1e-9) / 1e4


def people_apart(pictures: Iterable[str], search: Search) -> dict[str, list[str]]:
    """Pictures by person, without everyone whom the open-set lists know."""
    listed = {image for image, _ in (*search.enrol, *search.probes)} | set(search.strangers)
    known = {person_of(image) for image in listed}
    people: dict[str, list[str]] = {}
    for picture in sorted(pictures):
        if person_of(picture) not in known:
            people.setdefault(person_of(picture), []).append(picture)
    return people


def false_matches(scores: Floats, random: np.random.Generator) -> list[dict[str, Any]]:
    """FMR rows of a symmetric [n, n] matrix of non-mated cosines, one row and column a person.

    The intervals resample people, not pairs: a person who resembles many is in many pairs.
    """
    count = len(scores)
    rows, columns = np.triu_indices(count, 1)
    values = scores[rows, columns]
    weights = random.multinomial(count, np.full(count, 1 / count), BOOTSTRAPS)
    totals = (count**2 - (weights**2).sum(axis=1)) / 2
    table = []
    for fmr in FMRS:
        if math.floor(fmr * len(values)) < LEAST_ERRORS:
            continue
        threshold = round_up(threshold_at(values, fmr))
        hit = np.flatnonzero(values >= threshold)
        errors = np.array([float((w[rows[hit]] * w[columns[hit]]).sum()) for w in weights])
        low, high = np.quantile(errors / totals, (0.025, 0.975))
        table.append(
            {
                "fmr": fmr,
                "threshold": threshold,
                "errors": len(hit),
                "pairs": len(values),
                "interval": [float(f"{low:.3g}"), float(f"{high:.3g}")],
            }
        )
    return table


def false_non_matches(mated: Floats) -> list[dict[str, float]]:
    """FNMR of mated cosines [n] on a grid of thresholds."""
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


def false_positives(scores: Floats, random: np.random.Generator) -> dict[str, Any]:
    """The law threshold(N, p) = a + b ln N + c (-ln(-ln(1 - p))), least squares over quantiles.

    The best of N scores with an exponential tail follows a Gumbel law whose location grows with
    ln N (Gumbel, 1958). Galleries overlap between draws: the number of independent searches is
    that of people, and it alone decides which rates are supported.
    """
    searches = len(scores)
    sizes = [size for size in GALLERY_SIZES if size <= searches / 2]
    points = []
    for size in sizes:
        maxima = search_maxima(scores, size, random)
        for fpir in FPIRS:
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
        "min_fpir": max(min(FPIRS), round_up(LEAST_SEARCHES / (searches - sizes[-1]))),
        "max_fpir": max(FPIRS),
        "searches": searches,
        "measured": [
            {
                "gallery_size": size,
                "fpir": fpir,
                "threshold": round_up(threshold),
                "model_threshold": round_up(float(term @ law)),
                "errors": errors,
                "searches": total,
            }
            for (size, fpir, threshold, errors, total), term in zip(points, terms, strict=True)
        ],
    }


def calibration(embeddings: Mapping[str, Floats], search: Search, model: str) -> dict[str, Any]:
    """The content of ``calibration.json`` for the pack with that model."""
    people = people_apart(embeddings, search)
    random = np.random.default_rng(0)
    rows = np.stack([embeddings[pictures[0]] for pictures in people.values()])
    scores = rows @ rows.T
    mated = np.array(
        [
            float(embeddings[first] @ embeddings[second])
            for first, second in (pictures[:2] for pictures in people.values() if len(pictures) > 1)
        ],
        np.float32,
    )
    return {
        "format": 1,
        "model": model,
        "data": DATA,
        "subjects": len(people),
        "fmr": false_matches(scores, random),
        "mated": {"pairs": len(mated), "fnmr": false_non_matches(mated)},
        "fpir": false_positives(scores, random),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="folder with identify/")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--crops", type=Path, required=True, help="by models.training.lfw")
    arguments = parser.parse_args()
    target = arguments.pack / "calibration.json"
    # An old one binds the pack to an old recognizer, and the pack could not be read.
    target.unlink(missing_ok=True)
    model = read_pack(arguments.pack).model
    embeddings = embed_crops(arguments.crops, arguments.pack)
    content = calibration(embeddings, read_search(arguments.lfw / "identify"), model)
    target.write_text(json.dumps(content, indent=2) + "\n")
    read_calibration(target, model)


if __name__ == "__main__":
    main()
