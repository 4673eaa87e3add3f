"""The experiments of docs/training.md: losses, margins and scales on one and the same data."""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from models.training.data import open_source
from models.training.data.faces import Faces, load_faces
from models.training.evaluation.figures import pair_scores, tar_at_far
from models.training.inference import embed
from models.training.recipes import COMPARISON, TOY, Options, Recipe
from models.training.study_plots import draw
from models.training.trainer import Training, World

SEEDS: Final = (1, 2, 3)
PEOPLE: Final = 200
MOST: Final = 12  # pictures a person
FARS: Final = (1e-2, 1e-3)
CPU: Final = World(rank=0, ranks=1, device=torch.device("cpu"))

# Scales: what CosFace's rule gives for 200 people, where the head has a scale at all. Margins: the
# published ones belong to millions of pictures; these are the ratios of the papers, scaled to
# CosFace's .2, and the published constants in all else.
HEADS: Final[dict[str, Options]] = {
    "softmax": (),
    "normface": (("scale", 24.0),),
    "sphereface": (),
    "cosface": (("margin", 0.2), ("scale", 24.0)),
    "arcface": (("margin", 0.28), ("scale", 24.0)),
    "subcentre-arcface": (("margin", 0.28), ("scale", 24.0)),
    "combined": (("m2", 0.17), ("m3", 0.11), ("scale", 24.0)),
    "adacos-fixed": (),
    "adacos": (),
    "adaface": (("margin", 0.23), ("scale", 24.0)),
    "magface": (("scale", 24.0), ("least_margin", 0.25), ("most_margin", 0.45)),
    "curricularface": (("margin", 0.28), ("scale", 24.0)),
    "elasticface-arc": (("margin", 0.28), ("scale", 24.0)),
    "elasticface-cos": (("margin", 0.2), ("scale", 24.0)),
    "sphereface2": (),
}
MARGINS: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.45)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of a study: ``group`` is what is compared, ``name`` one of its members."""

    group: str
    name: str
    recipe: Recipe

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}/{self.recipe.seed}"


def head_trials() -> Iterator[Trial]:
    """Every head, three seeds."""
    # Seed by seed: a study that is cut short has compared all of them.
    for seed in SEEDS:
        for head, options in HEADS.items():
            recipe = replace(COMPARISON, head=head, head_options=options, seed=seed)
            yield Trial(group="heads", name=head, recipe=recipe)


def margin_trials() -> Iterator[Trial]:
    """CosFace's margin from 0 to .45, and the features' length left in (the paper's ablation)."""
    for seed in SEEDS[:2]:
        for margin in MARGINS:
            options = (("margin", margin), ("scale", 24.0))
            recipe = replace(COMPARISON, head_options=options, seed=seed)
            yield Trial(group="margins", name=f"{margin:.2f}", recipe=recipe)
        options = (("margin", 0.2), ("normalise_features", False))
        recipe = replace(COMPARISON, head_options=options, seed=seed)
        yield Trial(group="margins", name="features not normalised", recipe=recipe)


def toy_trials() -> Iterator[Trial]:
    """Eight people in two dimensions: CosFace's figure."""
    for margin in (0.0, 0.1, 0.2):
        options = (("margin", margin), ("scale", 12.0))
        yield Trial(
            group="toy", name=f"{margin:.1f}", recipe=replace(TOY, head_options=options, seed=1)
        )


STUDIES: Final[dict[str, Callable[[], Iterator[Trial]]]] = {
    "toy": toy_trials,
    "heads": head_trials,
    "margins": margin_trials,
}


def some_people(faces: Faces, people: int, most: int) -> Faces:
    """The people with most pictures, at most ``most`` of each, cut to their crops."""
    counts = np.bincount(faces.labels)
    # A stable order: equal counts stay in the order of the names.
    chosen = np.sort(np.argsort(-counts, kind="stable")[:people])
    rows = np.concatenate([np.flatnonzero(faces.labels == label)[:most] for label in chosen])
    return Faces(
        pictures=np.ascontiguousarray(faces.crops()[rows]),
        labels=np.searchsorted(chosen, faces.labels[rows]).astype(np.int64),
        identities=tuple(faces.identities[label] for label in chosen),
        fingerprint=faces.fingerprint,
    )


def attempt(trial: Trial, train: Faces, val: Faces) -> dict[str, Any]:
    """Train once; figures on people who were not trained on, and the curves of the head."""
    training = Training(trial.recipe, train, CPU)
    if trial.group == "toy":
        _spread_classes(training)
    loss = 0.0
    curves: list[dict[str, float]] = []
    for batch in training.batches():
        loss = training.step(batch).head.item()
        if not np.isfinite(loss):
            break
        if training.head.curves() and training.done % 5 == 0:
            curves.append({"step": training.done, **training.head.curves()})
    said = {"group": trial.group, "name": trial.name, "seed": trial.recipe.seed, "loss": loss}
    said["options"] = dict(trial.recipe.head_options)
    if not np.isfinite(loss):
        return said | {"diverged": training.done}
    if trial.group == "toy":
        return said | toy_figures(training, train)
    rows = embed(training.backbone, val, CPU.device).numpy()
    mated, non_mated = pair_scores(rows, val.labels)
    for far in FARS:
        rate = tar_at_far(mated, non_mated, far)
        said[f"tar_at_far_{far:g}"] = rate.described()
    return said | {"non_mated": len(non_mated), "curves": curves}


def _spread_classes(training: Training) -> None:
    """Class rows start at equal angles: on a circle two that begin side by side cannot pass."""
    classes = training.head.classes
    angles = torch.arange(classes) * (2 * torch.pi / classes)
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    training.head.get_parameter("weight").data.copy_(rows)


def toy_figures(training: Training, faces: Faces) -> dict[str, Any]:
    """Directions of the faces on the circle, and how far apart people lie, in degrees."""
    points = embed(training.backbone, faces, CPU.device)
    centres = F.normalize(
        torch.zeros(len(faces.identities), 2).index_add_(0, torch.from_numpy(faces.labels), points)
    )
    angles = torch.rad2deg(torch.atan2(centres[:, 1], centres[:, 0])).sort().values
    between = torch.diff(angles, append=angles[:1] + 360)
    own = (points * centres[torch.from_numpy(faces.labels)]).sum(1).clamp(-1, 1)
    within = torch.rad2deg(torch.arccos(own))
    gaps = _gaps(points, torch.from_numpy(faces.labels))
    return {
        "least_angle_between_centres": round(float(between.min()), 2),
        "mean_angle_within": round(float(within.mean()), 2),
        "mean_gap": round(float(np.mean(gaps)), 2),
        "points": [[round(float(v), 4) for v in point] for point in points],
        "labels": faces.labels.tolist(),
    }


def _gaps(points: Tensor, labels: Tensor) -> list[float]:
    """Empty degrees between neighbours on the circle, from the 90 % of faces nearest to each."""
    angle = torch.rad2deg(torch.atan2(points[:, 1], points[:, 0]))
    spans = []
    for label in range(int(labels.max()) + 1):
        own = angle[labels == label]
        vector = points[labels == label].mean(0)
        centre = torch.rad2deg(torch.atan2(vector[1], vector[0]))
        offset = (own - centre + 180) % 360 - 180
        low, high = torch.quantile(offset, torch.tensor([0.05, 0.95]))
        spans.append((float(centre), float(low), float(high)))
    spans.sort()
    following = [*spans[1:], (spans[0][0] + 360, *spans[0][1:])]
    return [
        (after[0] + after[1]) - (before[0] + before[2])
        for before, after in zip(spans, following, strict=True)
    ]


_sets: dict[str, Faces] = {}


def _prepare(data: Path, val: Path, people: int, most: int) -> None:
    """In each worker: one thread each, the data once."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _sets["train"] = some_people(load_faces(open_source(data)), people, most)
    _sets["val"] = load_faces(open_source(val))


def _attempt(trial: Trial) -> dict[str, Any]:
    return attempt(trial, _sets["train"], _sets["val"])


def study(name: str, data: Path, val: Path, out: Path, workers: int) -> None:
    """Run what of a study is not done yet; ``out/NAME.json`` and ``out/NAME.png``."""
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{name}.json"
    done = json.loads(target.read_text()) if target.exists() else []
    known = {f"{row['group']}/{row['name']}/{row['seed']}" for row in done}
    trials = [trial for trial in STUDIES[name]() if trial.key not in known]
    for path in (data, val):
        open_source(path)  # what a worker cannot open, the pool reports without its reason
    people, most = (8, 40) if name == "toy" else (PEOPLE, MOST)
    pool = ProcessPoolExecutor(
        min(workers, max(1, len(trials))),
        # A forked process would inherit the locks of threads that it does not have.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(data, val, people, most),
    )
    with pool, tqdm(total=len(trials), unit="training", disable=None) as bar:
        for future in as_completed([pool.submit(_attempt, trial) for trial in trials]):
            done.append(future.result())
            done.sort(key=lambda row: (row["group"], row["name"], row["seed"]))
            target.write_text(json.dumps(done) + "\n")
            bar.update()
    print(table(done))
    draw(name, done, out / f"{name}.png")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Mean and spread over seeds, best first, for people."""
    names = sorted({row["name"] for row in rows})
    lines = []
    for name in names:
        own = [row for row in rows if row["name"] == name]
        if "least_angle_between_centres" in own[0]:
            values = {k: v for k, v in own[0].items() if isinstance(v, float)}
            lines.append((0.0, f"m = {name}: {values}"))
            continue
        finite = [row for row in own if "diverged" not in row]
        if not finite:
            lines.append((1.0, f"{name:26s} diverged ({len(own)} seeds)"))
            continue
        rates = [
            np.array([row[f"tar_at_far_{far:g}"]["tar"]["rate"] for row in finite]) for far in FARS
        ]
        text = "  ".join(f"{100 * rate.mean():5.1f} ± {100 * _spread(rate):4.1f}" for rate in rates)
        lines.append((-float(rates[-1].mean()), f"{name:26s} {text}  ({len(finite)} seeds)"))
    return "\n".join(text for _, text in sorted(lines))


def _spread(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=sorted(STUDIES))
    parser.add_argument("--data", type=Path, required=True, help="aligned faces to train on")
    parser.add_argument("--val", type=Path, required=True, help="aligned faces of other people")
    parser.add_argument("--out", type=Path, required=True, help="folder for JSON and PNG")
    parser.add_argument("--workers", type=int, default=2, help="trainings at a time")


def run(arguments: argparse.Namespace) -> None:
    study(arguments.name, arguments.data, arguments.val, arguments.out, arguments.workers)
