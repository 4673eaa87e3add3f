"""Training throughput: whole steps beside the bare forward and backward pass of their backbone.

    python -m benchmarks.training [--backbones mobilefacenet iresnet50] [--device cuda]
        [--batch 256] [--steps 30] [--rounds 5] [--compile] [--out FILE.json]

Four things take turns, round after round, so that whatever else the machine does meets all alike:

bare    forward and backward of the backbone alone, on one batch that lies ready: the ceiling
step    the same batch with CosFace, clipping, optimizer and moving average
full    what a training does: that step on batches of the loader, with its random views
loader  those batches alone, with nothing trained on them

Pictures are 160x160 pixels of noise in memory, the size that `prepare --margin 24` makes; what they
show changes no speed. Speeds are medians over rounds. So are ratios, each taken within its round.
On an accelerator all passes run under bfloat16 autocast. The defaults are for a CPU.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import cv2
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from benchmarks.local import commit, machine
from models.training.backbones import BACKBONES
from models.training.backbones.cost import count_macs, count_parameters
from models.training.build import backbone_of
from models.training.data.faces import Faces
from models.training.loader import Batch
from models.training.recipes import Recipe
from models.training.trainer import Training, World

PICTURE: Final = 160
DIMENSION: Final = 512
PEOPLE: Final = 1000
ENDLESS: Final = 1e6  # epochs: the schedule must not run out

Steps = Iterator[None]
"""Does one step whenever it is asked for the next item."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How much is measured, and where: `rounds` of `steps` of `batch` pictures."""

    device: torch.device
    batch: int
    steps: int
    rounds: int
    compiled: bool


def compare(name: str, setting: Setting) -> dict[str, Any]:
    """Speeds and ratios of the backbone of that name, for JSON."""
    recipe = Recipe(
        name="throughput",
        backbone=name,
        dimension=DIMENSION,
        batch=setting.batch,
        epochs=ENDLESS,
        compiled=setting.compiled,
    )
    training = Training(recipe, noise(setting), World(rank=0, ranks=1, device=setting.device))
    training.backbone.train()
    alone = backbone_of(recipe).to(setting.device)
    alone.to(memory_format=torch.channels_last)
    called = cast(nn.Module, torch.compile(alone)) if setting.compiled else alone
    ready = next(training.loader.epoch(0, recipe.views))
    seconds = in_turns(
        {
            "bare": lambda: bare_steps(called, ready, recipe.precision),
            "step": lambda: steps_on(training, ready),
            "full": lambda: loaded_steps(training),
            "loader": lambda: batches(training),
        },
        setting,
        name,
    )
    speeds = {way: [setting.batch / each for each in taken] for way, taken in seconds.items()}
    overhead = ratio(seconds["full"], seconds["step"]) - 1
    return {
        "backbone": name,
        "parameters": count_parameters(alone),
        "multiply_adds": count_macs(alone),
        "images_per_second": {way: short(median(each)) for way, each in speeds.items()},
        "of_each_round": {way: [short(one) for one in each] for way, each in speeds.items()},
        "ratios": {
            "full_to_bare": short(ratio(seconds["bare"], seconds["full"])),
            "step_to_bare": short(ratio(seconds["bare"], seconds["step"])),
            "full_to_step": short(ratio(seconds["step"], seconds["full"])),
        },
        "loader_overhead_percent": short(100 * overhead),
        "loader_alone_percent_of_step": short(100 * ratio(seconds["loader"], seconds["full"])),
    }


def noise(setting: Setting) -> Faces:
    """Pictures of nobody, enough for a round with its first step and one that is read ahead."""
    count = setting.batch * (setting.steps + 2)
    random = np.random.default_rng(1)
    return Faces(
        pictures=random.integers(0, 256, (count, PICTURE, PICTURE, 3), np.uint8),
        labels=random.integers(0, PEOPLE, count),
        identities=tuple(str(person) for person in range(PEOPLE)),
        fingerprint="0" * 64,
    )


def in_turns(
    ways: Mapping[str, Callable[[], Steps]], setting: Setting, title: str
) -> dict[str, list[float]]:
    """Seconds a step of every way in every round; a round before them only warms up."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in tqdm(range(setting.rounds + 1), title, unit="round", disable=None):
        for way, begin in ways.items():
            taken = timed(begin(), setting)
            if turn:
                seconds[way].append(taken)
    return seconds


def timed(steps: Steps, setting: Setting) -> float:
    """Seconds a step, after a first that does not count: the loader has nothing ready then."""
    next(steps)
    finish(setting.device)
    begin = time.perf_counter()
    for _ in range(setting.steps):
        next(steps)
    finish(setting.device)
    return (time.perf_counter() - begin) / setting.steps


def finish(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bare_steps(backbone: nn.Module, batch: Batch, precision: str) -> Steps:
    """Nothing but the passes that no training can do without."""
    device = batch.views.device.type
    low = precision == "bfloat16" and device != "cpu"
    while True:
        backbone.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=low):
            embeddings = backbone(batch.views)
        embeddings.backward(torch.ones_like(embeddings))
        yield


def steps_on(training: Training, batch: Batch) -> Steps:
    """The same batch over and over."""
    while True:
        training.step(batch)
        yield


def loaded_steps(training: Training) -> Steps:
    """What a training does."""
    for batch in training.loader.epoch(0, training.recipe.views):
        training.step(batch)
        yield


def batches(training: Training) -> Steps:
    """What the loader does where nothing waits for it."""
    for _ in training.loader.epoch(0, training.recipe.views):
        yield


def ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """The median of round by round `first` over `second`."""
    return median(one / other for one, other in zip(first, second, strict=True))


def short(value: float) -> float:
    """Four digits: a fifth is never the same twice."""
    return float(f"{value:.4g}")


def machine_now(device: torch.device) -> dict[str, Any]:
    """What this runs on, and how busy it is with other things."""
    return {
        **machine(),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "up_hours": short(time.clock_gettime(time.CLOCK_BOOTTIME) / 3600),
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as the Markdown table that docs/training.md shows."""
    lines = [
        "| backbone | bare | step | full | full of bare | loader's overhead | loader alone |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in result["backbones"]:
        speed = each["images_per_second"]
        lines.append(
            f"| {each['backbone']} | {speed['bare']:g} | {speed['step']:g} | {speed['full']:g} | "
            f"{each['ratios']['full_to_bare']:.1%} | {each['loader_overhead_percent']:.1f} % | "
            f"{speed['loader']:g} |"
        )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    root.add_argument(
        "--backbones", nargs="+", choices=list(BACKBONES), default=["mobilefacenet", "iresnet50"]
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    root.add_argument("--device", choices=["cpu", "cuda"], default=device)
    root.add_argument("--batch", type=int, default=16)
    root.add_argument("--steps", type=int, default=4, help="timed steps of a round")
    root.add_argument("--rounds", type=int, default=5)
    root.add_argument("--compile", action="store_true", help="torch.compile, for bare and full")
    root.add_argument("--out", type=Path, help="write the figures here as JSON")
    return root


def main() -> None:
    asked = parser().parse_args()
    cv2.setNumThreads(1)  # as train does
    device = torch.device(asked.device)
    setting = Setting(
        device=device,
        batch=asked.batch,
        steps=asked.steps,
        rounds=asked.rounds,
        compiled=asked.compile,
    )
    result = {
        "benchmark": "training",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine_now(device),
        "precision": "float32" if device.type == "cpu" else "bfloat16",
        "head": "cosface",
        "batch": setting.batch,
        "steps": setting.steps,
        "rounds": setting.rounds,
        "compiled": setting.compiled,
        "backbones": [compare(name, setting) for name in asked.backbones],
        "load_average_after": [round(each, 2) for each in os.getloadavg()],
    }
    print(table(result))
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
