"""Measure a pack on LFW: ``python -m models.training.evaluate --lfw DIR --pack DIR --crops FILE``.

Verification is View 2 as published: ten folds in file order, each judged at the threshold that
was best on the other nine. Identification is open-set. A picture without a face is an error, not
an exclusion. The figures go to standard output and into the pack's ``pack.json``.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.types import Floats
from models.training.figures import Rate, clopper_pearson, tar_at_far, threshold_at
from models.training.lfw import Pair, Search, embed_crops, read_pairs, read_search

NO_FACE: Final = -2.0  # below every cosine: a pair or probe without a face never matches
THRESHOLDS: Final = 1 - np.arange(0, 4, 0.01) / 2  # squared distances 0 to 4 by .01, as cosines


def similarities(pairs: Sequence[Pair], embeddings: Mapping[str, Floats]) -> NDArray[np.float64]:
    """The cosine of each pair, NO_FACE where a picture shows none: float64 [n]."""

    def one(pair: Pair) -> float:
        first, second = embeddings.get(pair.first), embeddings.get(pair.second)
        return NO_FACE if first is None or second is None else float(first @ second)

    return np.array([one(pair) for pair in pairs])


def ten_fold(scores: Sequence[NDArray[np.float64]], mated: Sequence[NDArray[np.bool_]]) -> Floats:
    """Accuracy of each fold at the threshold that is best on the others: float32 [folds].

    Of thresholds that are equally good the first counts, from the strictest on. Pairs without a
    score are wrong, whatever the threshold.
    """

    def right(fold: int) -> NDArray[np.float64]:
        said = scores[fold][None] > THRESHOLDS[:, None]
        correct = (said == mated[fold][None]) & (scores[fold][None] != NO_FACE)
        return np.asarray(correct.mean(axis=1))

    table = np.stack([right(fold) for fold in range(len(scores))])
    others = table.sum(axis=0) - table
    return np.array(
        [row[np.argmax(rest)] for row, rest in zip(table, others, strict=True)], np.float32
    )


def verification(
    folds: Sequence[Sequence[Pair]], embeddings: Mapping[str, Floats]
) -> dict[str, Any]:
    """Ten-fold accuracy and TAR at two FARs of LFW's pairs."""
    scores = [similarities(fold, embeddings) for fold in folds]
    mated = [np.array([pair.mated for pair in fold]) for fold in folds]
    accuracy = ten_fold(scores, mated)
    every, truth = np.concatenate(scores), np.concatenate(mated)
    return {
        "accuracy": round(float(accuracy.mean()), 5),
        "accuracy_standard_error": round(float(accuracy.std(ddof=1) / np.sqrt(len(accuracy))), 5),
        "pairs_without_a_face": int(np.count_nonzero(every == NO_FACE)),
        "tar_at_far_0.01": described(tar_at_far(every[truth], every[~truth], 0.01)),
        "tar_at_far_0.001": described(tar_at_far(every[truth], every[~truth], 0.001)),
    }


def identification(
    search: Search, embeddings: Mapping[str, Floats], fpir: float = 0.01
) -> dict[str, Any]:
    """Rank-1 rate, and FNIR at ``fpir``, of an open-set search with one template a person.

    A probe counts as found when its person is the best candidate and reaches the threshold, which
    ``fpir`` of the strangers' best candidates reach. Missing faces are misses.
    """
    enrolled = [
        (person, embeddings[image]) for image, person in search.enrol if image in embeddings
    ]
    gallery = np.stack([template for _, template in enrolled])
    people = [person for person, _ in enrolled]

    def best(image: str) -> tuple[float, str]:
        if image not in embeddings:
            return NO_FACE, ""
        similarity = gallery @ embeddings[image]
        return float(similarity.max()), people[int(similarity.argmax())]

    strangers = np.array([best(image)[0] for image in search.strangers])
    threshold = threshold_at(strangers, fpir)
    found = [(best(image), person) for image, person in search.probes]
    first = sum(candidate == person for (_, candidate), person in found)
    missed = sum(candidate != person or score < threshold for (score, candidate), person in found)
    hits = int(np.count_nonzero(strangers >= threshold))
    return {
        "gallery": len(search.enrol),
        "pictures_without_a_face": sum(
            image not in embeddings
            for image in (*(i for i, _ in search.enrol), *(i for i, _ in search.probes))
        ),
        "rank_1": described(Rate(count=first, total=len(found), threshold=NO_FACE)),
        "fpir": described(Rate(count=hits, total=len(strangers), threshold=threshold)),
        "fnir": described(Rate(count=missed, total=len(found), threshold=threshold)),
    }


def described(rate: Rate) -> dict[str, Any]:
    """A rate with counts, threshold (where it has one) and 95 % interval, for JSON."""
    threshold = {} if rate.threshold == NO_FACE else {"threshold": round(rate.threshold, 4)}
    return {
        "rate": round(rate.rate, 5),
        "count": rate.count,
        "of": rate.total,
        "interval_95": [round(bound, 5) for bound in clopper_pearson(rate.count, rate.total)],
        **threshold,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="pairs.txt and identify/")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--crops", type=Path, required=True, help="by models.training.lfw")
    arguments = parser.parse_args()
    embeddings = embed_crops(arguments.crops, arguments.pack)
    figures = {
        "lfw_view_2": verification(read_pairs(arguments.lfw / "pairs.txt"), embeddings),
        "lfw_open_set": identification(read_search(arguments.lfw / "identify"), embeddings),
    }
    manifest = arguments.pack / "pack.json"
    content = json.loads(manifest.read_text())
    content["training"]["figures"] |= figures
    manifest.write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
