"""Batches of faces in an order that seed and epoch alone decide."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.augment import Views, random_views


class Pictures(Protocol):
    """Aligned faces, in memory or read when asked for."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [n]."""
        ...

    def batch(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [B, S, S, 3]."""
        ...


class People(Pictures, Protocol):
    """Pictures of people whose names are known; a label of -1 is nobody's."""

    @property
    def identities(self) -> tuple[str, ...]:
        """Names, by label."""
        ...

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits: other pictures or labels have another."""
        ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``rows`` int64 [B] of the data, their ``labels`` int64 [B], ``views`` float [B, 3, 112, 112].

    Rows stay on the host; labels and views are on the device.
    """

    rows: NDArray[np.int64]
    labels: Tensor
    views: Tensor


class Loader:
    """Random views of ``pictures``, batch by batch, each rank its own share.

    The order of an epoch and the views of a step follow from seed, epoch and step, so a resumed
    run goes on exactly where it stopped. A thread reads the next batch while one trains. Views
    are made on the device, when they are wanted: on a CPU a thread that made them meanwhile would
    fight the training for the same cores.
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.pictures = pictures
        self.batch = batch
        self.seed = seed
        self.device = device
        self.rank = rank
        self.ranks = ranks
        self.labels = torch.from_numpy(pictures.labels)

    def __len__(self) -> int:
        """Steps of an epoch; what is left over waits for the next shuffle.

        Every rank takes as many: a sharded head needs equal batches.
        """
        return len(self.pictures.labels) // (self.batch * self.ranks)

    def epoch(self, number: int, views: Views, first: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step ``first`` on."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.pictures.labels))
        steps = range(first, len(self))
        with ThreadPoolExecutor(1) as ahead:
            upcoming = [ahead.submit(self._read, order, step) for step in steps[:1]]
            for step in steps:
                rows, pictures = upcoming.pop().result()
                if step + 1 < len(self):
                    upcoming.append(ahead.submit(self._read, order, step + 1))
                on_device = pictures.to(self.device, non_blocking=True)
                yield Batch(
                    rows=rows,
                    labels=self.labels[rows].to(self.device),
                    views=random_views(on_device, views, self._random(number, step)),
                )

    def _read(self, order: NDArray[np.int64], step: int) -> tuple[NDArray[np.int64], Tensor]:
        start = (step * self.ranks + self.rank) * self.batch
        rows = order[start : start + self.batch]
        pictures = torch.from_numpy(self.pictures.batch(rows))
        return rows, pictures if self.device.type == "cpu" else pictures.pin_memory()

    def _random(self, epoch: int, step: int) -> torch.Generator:
        words = np.random.SeedSequence([self.seed, epoch, step, self.rank]).generate_state(2)
        random = torch.Generator(self.device)
        random.manual_seed(int(words[0]) << 32 | int(words[1]))
        return random
