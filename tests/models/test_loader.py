"""The order of batches follows from seed, epoch and step, whoever asks and from where."""

import numpy as np
import pytest
import torch

from models.training.augment import MIRRORED, Views
from models.training.errors import TrainingDataError
from models.training.loader import Loader
from tests.models.people import patterned_faces

CPU = torch.device("cpu")
FACES = patterned_faces(8, 5)


def loader(rank: int = 0, ranks: int = 1, seed: int = 1) -> Loader:
    return Loader(FACES, batch=4, seed=seed, device=CPU, rank=rank, ranks=ranks)


def rows(epoch: int, *, rank: int = 0, ranks: int = 1, seed: int = 1) -> list[int]:
    batches = loader(rank, ranks, seed).epoch(epoch, MIRRORED)
    return [int(row) for batch in batches for row in batch.rows]


def test_an_epoch_shows_every_picture_once_with_its_label() -> None:
    batches = list(loader().epoch(0, MIRRORED))
    assert len(batches) == len(loader()) == 10
    shown = np.concatenate([batch.rows for batch in batches])
    assert sorted(shown) == list(range(40))
    for batch in batches:
        assert np.array_equal(batch.labels.numpy(), FACES.labels[batch.rows])


def test_order_changes_with_epoch_and_seed_and_with_nothing_else() -> None:
    assert rows(0) == rows(0)
    assert rows(0) != rows(1)
    assert rows(0) != rows(0, seed=2)


def test_an_epoch_taken_up_in_the_middle_goes_on_as_if_never_left() -> None:
    whole = list(loader().epoch(3, Views()))
    rest = list(loader().epoch(3, Views(), first=7))
    assert len(rest) == 3
    for mine, theirs in zip(rest, whole[7:], strict=True):
        assert np.array_equal(mine.rows, theirs.rows)
        assert torch.equal(mine.views, theirs.views)


def test_an_epoch_taken_up_at_its_end_has_nothing_left() -> None:
    assert list(loader().epoch(0, MIRRORED, first=10)) == []


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_an_epoch_in_equal_parts(ranks: int) -> None:
    parts = [rows(0, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert {len(part) for part in parts} == {40 // (4 * ranks) * 4}
    together = [row for part in parts for row in part]
    assert len(set(together)) == len(together)


def test_a_picture_that_cannot_be_read_stops_the_epoch_with_its_reason() -> None:
    class Broken:
        labels = FACES.labels

        def batch(self, rows: "np.typing.NDArray[np.int64]") -> "np.typing.NDArray[np.uint8]":
            raise TrainingDataError("p3/2.jpg cannot be read")

    broken = Loader(Broken(), batch=4, seed=1, device=CPU)
    with pytest.raises(TrainingDataError, match=r"p3/2\.jpg"):
        list(broken.epoch(0, MIRRORED))
