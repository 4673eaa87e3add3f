"""A service of our own with everybody of a list enrolled, and what its answers are worth."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from benchmarks.load import Generator
from benchmarks.local import Own, own_process
from benchmarks.open_set import Search, false_negatives, match_within, threshold_at
from benchmarks.pictures import Pictures

COLLECTION: Final = "bench"
FIELDS: Final = {"collection": COLLECTION, "threshold": "-1", "top_k": "5"}
"""What every request of a benchmark asks: five candidates, however unlike, as the bare pipeline
and the plain route give them."""
TARGET: Final = 0.01


@dataclass(frozen=True, slots=True)
class Enrolled:
    own: Own
    persons: Mapping[str, str]
    """Names of the list by the ids of the service."""


@contextmanager
def enrolled_service(pack: str, pictures: Pictures, **given: str) -> Iterator[Enrolled]:
    """A service with the persons of `pictures` in its collection."""
    with own_process(pack, **given) as own, httpx.Client(base_url=own.url, timeout=120) as client:
        persons = {}
        for name, file in zip(pictures.persons, pictures.enrol, strict=True):
            answer = client.post(
                "/enroll",
                data={
                    "collection": COLLECTION,
                    "name": name,
                    "face": "largest",
                    "on_duplicate": "allow",
                },
                files={"images": file.read_bytes()},
            )
            if answer.status_code == 201:
                persons[answer.json()["person"]["id"]] = name
        yield Enrolled(own, persons)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Rank-1 of those who are enrolled, and FNIR where one stranger in a hundred finds somebody;
    None where there are too few strangers to tell."""

    rank_1: float
    fnir: float | None


def accuracy(searches: Sequence[Search]) -> Accuracy:
    mated = [each for each in searches if each.mate is not None]
    strangers = [each for each in searches if each.mate is None]
    try:
        threshold = threshold_at(strangers, TARGET)
    except ValueError:
        fnir = None
    else:
        fnir = false_negatives(mated, threshold, 1).rate
    return Accuracy(match_within(mated, 1).rate, fnir)


def searches_of_service(
    generator: Generator, enrolled: Enrolled, pictures: Pictures, clients: int = 8
) -> list[Search]:
    """Every probe once, as the service answers it."""

    def found(status: int, body: Any) -> tuple[tuple[str, float], ...]:
        if status != 200:
            return ()
        return tuple(
            (enrolled.persons[each["person"]["id"]], each["similarity"])
            for each in body["faces"][0]["candidates"]
        )

    bodies = generator.each(clients).bodies
    return [
        Search(mate, found(status, body))
        for mate, (status, body) in zip(pictures.mates, bodies, strict=True)
    ]
