"""Train a recognizer by a recipe, on one device or, under torchrun, on many."""

import argparse
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch
from torch import distributed

from models.training import checkpoint
from models.training.data import open_source
from models.training.data.faces import Faces, LazyFaces, fits_in_memory, load_faces
from models.training.data.together import Together
from models.training.distil import targets_of
from models.training.inference import validate
from models.training.loader import People
from models.training.recipes import RECIPES, Recipe, overridden
from models.training.trainer import Training, World
from models.training.watch import Watch

log = logging.getLogger(__name__)


def fit(training: Training, sets: dict[str, Faces], out: Path) -> None:
    """Run ``training`` to its end; checkpoints, ``training.json`` and curves go to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    watch = Watch(training, out) if training.world.rank == 0 else None
    every = max(1, round(training.recipe.validate_every * len(training.loader)))
    clock = time.monotonic()
    try:
        for batch in training.batches():
            losses = training.step(batch)
            if watch:
                watch.saw(losses)
            if training.done == training.steps or training.done % every == 0:
                now = time.monotonic()
                training.minutes += (now - clock) / 60
                clock = now
                _keep(training, sets, out, watch)
    finally:
        if watch:
            watch.close()


def _keep(training: Training, sets: dict[str, Faces], out: Path, watch: Watch | None) -> None:
    if watch:
        # Before anything is written: a lost training must not replace its last good checkpoint.
        watch.look()
    backbone = training.settled()
    figures = validate(backbone, sets, training.world.device) if watch else {}
    # Every rank takes part: a sharded head is gathered from all.
    kept = training.snapshot(backbone, figures)
    if watch:
        watch.validated(figures)
        checkpoint.save(kept, out)
        (out / "training.json").write_text(json.dumps(kept.training, indent=2) + "\n")


def join_world() -> World:
    """The world that torchrun made, or a world of one; the GPU where there is one."""
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if ranks > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(rank=rank, ranks=ranks, device=device)


def loaded(paths: Sequence[Path]) -> Faces | LazyFaces:
    """The faces at ``paths``, in memory if they fit."""
    source = open_source(*paths)
    return load_faces(source) if fits_in_memory(source) else LazyFaces(source)


@contextmanager
def first_alone(world: World) -> Iterator[None]:
    """Rank 0 does what is inside before the others do: they find what it left on disk."""
    if world.rank > 0:
        distributed.barrier()
    yield
    if world.rank == 0 and world.ranks > 1:
        distributed.barrier()


def train(
    recipe: Recipe,
    data: list[Path],
    val: list[Path],
    out: Path,
    *,
    teacher: Path | None = None,
    terms: str = "",
    unlabelled: Sequence[Path] = (),
    start_from: Path | None = None,
) -> None:
    """Train by ``recipe`` on the faces of ``data``, or go on with what ``out`` holds.

    Raises:
        TrainingDataError: the data cannot be trained on.
        TrainingDiverged: the loss left the finite numbers.
        ValueError: recipe, checkpoint and arguments do not fit together.
    """
    cv2.setNumThreads(1)  # its threads would fight PyTorch's
    world = join_world()
    known = loaded(data)
    faces: People = Together(known, loaded(unlabelled)) if unlabelled else known
    watched = val if world.rank == 0 else []
    sets = {str(Path(*path.parts[-2:])): load_faces(open_source(path)) for path in watched}
    out.mkdir(parents=True, exist_ok=True)
    targets = None
    if teacher is not None:
        with first_alone(world):
            targets = targets_of(teacher, faces, faces.fingerprint, out)
    about = {"data": terms or ", ".join(path.name for path in data)}
    if teacher is not None:
        about["teacher"] = teacher.parent.name or teacher.stem
    training = Training(recipe, faces, world, targets, about=about)
    kept = out / checkpoint.NAME
    if kept.exists():
        training.resume(checkpoint.load(kept))
        log.info("going on at step %d of %d", training.done, training.steps)
    elif start_from is not None:
        training.start_from(checkpoint.load(start_from))
    fit(training, sets, out)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="starter-scratch")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override a field of the recipe, or head.OPTION=VALUE; may be given often",
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        help="aligned faces: folders with a folder a person, a .rec file, or tar shards",
    )
    parser.add_argument(
        "--val", type=Path, nargs="*", default=[], help="the same, of people who are not in --data"
    )
    parser.add_argument(
        "--unlabelled",
        type=Path,
        nargs="+",
        default=[],
        help="faces that only the teacher is asked about, in folders of any name",
    )
    parser.add_argument("--teacher", type=Path, help="ONNX file, for recipes that distil")
    parser.add_argument(
        "--data-terms", default="", help="what the data is and its terms, for the model card"
    )
    parser.add_argument("--start-from", type=Path, help="checkpoint.pt whose network to begin with")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; a training that lies there goes on"
    )


def run(arguments: argparse.Namespace) -> None:
    train(
        overridden(RECIPES[arguments.recipe], arguments.set),
        arguments.data,
        arguments.val,
        arguments.out,
        teacher=arguments.teacher,
        terms=arguments.data_terms,
        unlabelled=arguments.unlabelled,
        start_from=arguments.start_from,
    )
