"""What every kind of training data is: encoded pictures of labelled people, by index."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.training.errors import TrainingDataError

Labels = NDArray[np.int64]
Result = TypeVar("Result")

CHUNK: Final = 4096  # tasks handed to threads at a time: a set may have millions

log = logging.getLogger(__name__)


class Source(Protocol):
    """Encoded pictures, read by index in any order and from any thread."""

    @property
    def labels(self) -> Labels:
        """int64 [n], an index into ``identities``; every identity has a picture."""
        ...

    @property
    def identities(self) -> tuple[str, ...]:
        """Names of the people, or the labels as the data knows them."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names, labels and bytes of all pictures, 64 hex digits."""
        ...

    def name(self, index: int) -> str:
        """What messages call that picture."""
        ...

    def read(self, index: int) -> bytes:
        """The encoded picture."""
        ...


def in_order(
    function: Callable[[int], Result],
    count: int,
    title: str,
    threads: int | None = None,
) -> Iterator[Result]:
    """``function(0)``, ``function(1)`` … ``function(count - 1)``, worked on by threads.

    On a terminal a progress bar shows rate and time left.
    """
    with (
        tqdm(total=count, desc=title, unit="picture", disable=None) as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        for start in range(0, count, CHUNK):
            for result in pool.map(function, range(start, min(start + CHUNK, count))):
                yield result
                bar.update()


def fingerprint_of(names: Sequence[str], read: Callable[[int], bytes]) -> str:
    """SHA-256 over ``name``, a zero byte and the SHA-256 of ``read(index)``, by name.

    A name is a path and so is its order: ``a/b`` comes before ``a-b/c``. The order in which the
    pictures lie in the data changes nothing.
    """
    order = sorted(range(len(names)), key=lambda index: names[index].split("/"))
    digest = hashlib.sha256()

    def content(place: int) -> bytes:
        return hashlib.sha256(read(order[place])).digest()

    for index, found in zip(order, in_order(content, len(names), "fingerprint"), strict=True):
        digest.update(names[index].encode() + b"\0" + found)
    return digest.hexdigest()


def check_labels(labels: Labels, classes: int, name: Callable[[int], str] | None = None) -> None:
    """Raise TrainingDataError unless ``labels`` [n] are 0 to ``classes`` - 1, each at least once.

    A label beyond the classes would be read out of the classifier's bounds; a class without
    pictures would only ever be pushed away. ``name`` tells what the picture of an index is called.
    """
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        first = int(outside[0])
        named = f"picture {first}" if name is None else name(first)
        raise TrainingDataError(
            f"{named}: label {labels[first]} is out of range; {classes} identities have the "
            f"labels 0 to {classes - 1}. {len(outside)} labels are wrong in all."
        )
    missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if len(missing):
        raise TrainingDataError(
            f"{len(missing)} of {classes} labels have no picture, the first is {missing[0]}. "
            "Number the identities from 0 on without gaps, or give all parts of the data."
        )


def check_people(labels: Labels, identities: Sequence[str]) -> None:
    """Raise TrainingDataError where nothing could be learnt: one person, or one picture each.

    Margin losses draw pictures of one person together; where no person has two, they only push
    apart.
    """
    if len(identities) < 2:
        raise TrainingDataError(
            f"The data has one identity ({', '.join(identities) or 'none'}), and telling people "
            "apart takes two. Give each person a folder or label of their own."
        )
    counts = np.bincount(labels, minlength=len(identities))
    single = int(np.count_nonzero(counts < 2))
    if single == len(identities):
        raise TrainingDataError(
            f"Each of the {single} identities has one image per class: margin losses need two or "
            "more pictures of a person. Put all pictures of a person under one name."
        )
    if single:
        log.warning("%d of %d identities have a single picture", single, len(identities))
