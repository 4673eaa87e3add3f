"""Training learns, repeats itself, resumes to the same trace, and stops when it is lost."""

import json
import logging
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, multiprocessing
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from models.training import checkpoint
from models.training.augment import MIRRORED
from models.training.build import moving_average
from models.training.data.faces import Faces
from models.training.data.together import Together
from models.training.inference import embed
from models.training.recipes import Recipe
from models.training.train import fit
from models.training.trainer import Training, World
from models.training.watch import TrainingDiverged
from tests.models.people import SMALL, patterned_faces

ALONE = World(rank=0, ranks=1, device=torch.device("cpu"))
FACES = patterned_faces(12, 6)

# The head's loss over 20 steps, seed 1, as first seen on an x86-64 with AVX2.
GOLDEN = (
    4.0387,
    3.5592,
    2.6337,
    2.6962,
    2.2031,
    2.3873,
    1.9828,
    2.6207,
    2.4764,
    1.9214,
    2.2617,
    1.3726,
    1.1897,
    2.2445,
    1.5423,
    1.2484,
    1.697,
    1.3492,
    1.8097,
    1.5764,
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trace(training: Training, steps: int) -> NDArray[np.float64]:
    """Losses of the next ``steps`` steps."""
    return np.array([training.step(b).total.item() for b in islice(training.batches(), steps)])


def teacher_of(faces: Faces) -> Tensor:
    """A teacher that knows everybody: one direction a person."""
    directions = torch.randn(len(faces.identities), 8, generator=torch.Generator().manual_seed(5))
    return F.normalize(directions)[torch.from_numpy(faces.labels)]


DISTILLING = replace(SMALL, head_weight=0.5, teacher_weight=4.0)


def test_twenty_steps_give_the_golden_trace() -> None:
    recipe = replace(SMALL, epochs=5, learning_rate=0.001)
    found = trace(Training(recipe, FACES, ALONE), 20)
    assert found == pytest.approx(GOLDEN, rel=0.02)


def test_the_same_seed_gives_the_same_trace_and_another_another() -> None:
    first, again = (trace(Training(SMALL, FACES, ALONE), 6) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, trace(Training(replace(SMALL, seed=2), FACES, ALONE), 6))


@pytest.mark.parametrize(
    "recipe",
    [
        SMALL,
        DISTILLING,
        replace(SMALL, dropout=0.3),
        replace(SMALL, head="adaface"),
        replace(SMALL, head="adacos"),
        replace(SMALL, head="elasticface-cos"),
        replace(SMALL, sample_rate=0.5),
    ],
    ids=["cosface", "distilled", "dropout", "adaface", "adacos", "elasticface", "partial-fc"],
)
def test_n_steps_equal_k_steps_a_checkpoint_and_the_rest(recipe: Recipe, tmp_path: Path) -> None:
    targets = teacher_of(FACES) if recipe.teacher_weight else None
    whole = trace(Training(recipe, FACES, ALONE, targets), 9)
    begun = Training(recipe, FACES, ALONE, targets)
    first = trace(begun, 5)
    checkpoint.save(begun.snapshot(begun.settled(), {}), tmp_path)
    resumed = Training(recipe, FACES, ALONE, targets)
    resumed.resume(checkpoint.load(tmp_path / checkpoint.NAME))
    assert resumed.done == 5
    assert np.array_equal(np.concatenate([first, trace(resumed, 4)]), whole)


def test_a_checkpoint_of_another_recipe_or_other_data_is_refused() -> None:
    begun = Training(SMALL, FACES, ALONE)
    kept = begun.snapshot(begun.settled(), {})
    with pytest.raises(ValueError, match="another recipe"):
        Training(replace(SMALL, learning_rate=0.001), FACES, ALONE).resume(kept)
    with pytest.raises(ValueError, match="another data_fingerprint"):
        Training(SMALL, patterned_faces(12, 6, seed=3), ALONE).resume(kept)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="no checkpoint, or a damaged one"):
        checkpoint.load(path)
    torch.save({"format": 1}, path)
    with pytest.raises(ValueError, match="train anew"):
        checkpoint.load(path)


def test_a_network_learns_to_tell_its_people_apart() -> None:
    def right(training: Training) -> float:
        rows = embed(training.backbone, FACES, ALONE.device)
        assert torch.allclose(rows.norm(dim=1), torch.ones(len(rows)), atol=1e-5)
        classes = F.normalize(training.head.get_parameter("weight").detach())
        found = (rows @ classes.T).argmax(dim=1).numpy()
        return float((found == FACES.labels).mean())

    training = Training(replace(SMALL, epochs=10, views=MIRRORED), FACES, ALONE)
    assert right(training) < 0.4
    trace(training, 40)
    assert right(training) > 0.95


def test_a_student_comes_near_its_teacher() -> None:
    recipe = replace(DISTILLING, epochs=10)
    training = Training(recipe, FACES, ALONE, teacher_of(FACES))
    losses = trace(training, 40)
    assert losses[-5:].mean() < losses[:5].mean() / 2


def test_faces_without_labels_are_learnt_from_the_teacher_alone() -> None:
    both = Together(patterned_faces(6, 4), patterned_faces(4, 4, seed=7))
    assert both.labels.tolist().count(-1) == 16
    mixed = both.batch(np.array([30, 2, 25]))
    assert np.array_equal(mixed[1], both.known.batch(np.array([2]))[0])
    assert np.array_equal(mixed[0], both.unknown.batch(np.array([6]))[0])
    targets = F.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(1)))
    training = Training(DISTILLING, both, ALONE, targets)
    assert training.head.classes == 6
    assert np.isfinite(trace(training, 6)).all()
    with pytest.raises(ValueError, match="without labels need a teacher"):
        Training(SMALL, both, ALONE)


def test_a_recipe_with_a_teacher_needs_one_and_one_without_takes_none() -> None:
    with pytest.raises(ValueError, match="go together"):
        Training(DISTILLING, FACES, ALONE)
    with pytest.raises(ValueError, match="go together"):
        Training(SMALL, FACES, ALONE, teacher_of(FACES))


def test_too_few_pictures_for_a_batch_are_named() -> None:
    with pytest.raises(ValueError, match=r"72 pictures do not fill one batch of 100"):
        Training(replace(SMALL, batch=100), FACES, ALONE)


def test_a_loss_that_is_no_number_stops_the_training_with_a_reason(tmp_path: Path) -> None:
    training = Training(replace(SMALL, learning_rate=1e18, clip_norm=1e30), FACES, ALONE)
    with pytest.raises(TrainingDiverged, match=r"loss is nan .*step \d+.*lower learning_rate"):
        fit(training, {}, tmp_path)
    assert not (tmp_path / checkpoint.NAME).exists()


def test_a_training_leaves_checkpoint_curves_and_an_account_of_itself(tmp_path: Path) -> None:
    training = Training(SMALL, FACES, ALONE, about={"data": "patterns"})
    fit(training, {"val": patterned_faces(5, 3, seed=9)}, tmp_path)
    account = json.loads((tmp_path / "training.json").read_text())
    assert account["recipe"]["name"] == "small"
    assert account["recipe"]["seed"] == 1
    assert account["data_fingerprint"] == FACES.fingerprint
    assert (account["images"], account["identities"], account["epochs"]) == (72, 12, 4.0)
    assert account["data"] == "patterns"
    assert set(account["validation"]) == {"val"}
    assert list((tmp_path / "tensorboard").iterdir())
    # A finished training that is taken up again has nothing to do.
    again = Training(SMALL, FACES, ALONE)
    again.resume(checkpoint.load(tmp_path / checkpoint.NAME))
    assert again.done == again.steps


def test_a_training_that_starts_from_another_begins_with_its_network(tmp_path: Path) -> None:
    first = Training(SMALL, FACES, ALONE)
    fit(first, {}, tmp_path)
    kept = checkpoint.load(tmp_path / checkpoint.NAME)
    second = Training(replace(SMALL, name="second", seed=4), FACES, ALONE)
    second.start_from(kept)
    for name, value in second.backbone.state_dict().items():
        assert torch.equal(value, kept.backbone_state[name])
    assert trace(second, 1)[0] < trace(Training(SMALL, FACES, ALONE), 1)[0]
    [earlier] = second.snapshot(second.settled(), {}).training["earlier"]
    assert earlier["recipe"] == "small"


def _rank(rank: int, folder: str, recipe: Recipe) -> None:
    """One of two processes: train, and leave the weights and the loss behind."""
    logging.disable()
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    world = World(rank=rank, ranks=2, device=torch.device("cpu"))
    training = Training(recipe, FACES, world)
    losses = trace(training, 4)
    kept = training.snapshot(training.settled(), {})
    torch.save({"losses": losses.tolist(), "backbone": kept.resume["backbone"]}, f"{folder}/{rank}")
    if rank == 0:
        checkpoint.save(kept, Path(folder))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("sample_rate", [0.0, 0.5], ids=["replicated", "partial-fc"])
def test_two_processes_train_one_network_that_one_process_goes_on_with(
    sample_rate: float, tmp_path: Path
) -> None:
    recipe = replace(SMALL, sample_rate=sample_rate)
    multiprocessing.spawn(_rank, (str(tmp_path), recipe), nprocs=2)
    parts = [torch.load(tmp_path / str(rank), weights_only=True) for rank in range(2)]
    for name, value in parts[0]["backbone"].items():
        if "running" not in name and "batches" not in name:
            assert torch.allclose(value, parts[1]["backbone"][name], atol=1e-6), name
    alone = Training(recipe, FACES, ALONE)
    alone.resume(checkpoint.load(tmp_path / checkpoint.NAME))
    assert alone.done == 8  # the same share of the run: one process takes twice the steps
    assert np.isfinite(trace(alone, 2)).all()


def test_the_average_is_short_at_first_and_long_later() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = AveragedModel(network, multi_avg_fn=moving_average(0.9))
    expected = None
    for step, value in enumerate(range(40)):
        network.weight.data.fill_(float(value))
        average.update_parameters(network)
        kept = min(0.9, (1 + step) / (10 + step))
        expected = value if expected is None else kept * expected + (1 - kept) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
