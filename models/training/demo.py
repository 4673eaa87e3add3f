"""All of it in minutes: raw photos to crops, a trained recognizer, its figures, a working pack.

Without --photos it invents people from the photos inside two Python packages: the pack then works
and recognizes nobody. With --photos, a folder with a folder a person, it is as good as they are
many; a quarter of the people, 87 at least, are kept out of the training to measure it.
"""

import argparse
import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Final

from models.training import calibrate, checkpoint, evaluate, export, prepare
from models.training.errors import TrainingDataError
from models.training.evaluation.calibration import LEAST_PEOPLE
from models.training.finish import finish
from models.training.invent import invent
from models.training.recipes import RECIPES, overridden
from models.training.train import train

log = logging.getLogger(__name__)

STARTER: Final = Path(__file__).parent.parent / "packs" / "starter"
KEPT_OUT: Final = 4  # one person of so many
LEAST_TRAINED: Final = 8
FAILURES: Final = (
    "Made by `demo` in a few minutes: it shows the way from photos to a pack and is no recognizer "
    "to rely on. Expect it to fail on whoever was not among its photos."
)


def demo(
    photos: Path | None, out: Path, *, people: int, settings: list[str], pictures: int = 6
) -> Path:
    """Make a pack of ``photos``, or of ``pictures`` of invented ``people``; the pack's folder.

    What an earlier run left in ``out`` is gone on with.

    Raises:
        TrainingDataError: too few people, or what a step says of the photos.
    """
    out.mkdir(parents=True, exist_ok=True)
    if photos is None:
        photos = out / "photos"
        invent(photos, people=people, pictures=pictures, pack=STARTER)
    crops = out / "crops"
    _command(prepare, "--photos", photos, "--out", crops, "--pack", STARTER, "--margin", "24")
    trained, kept_out = split(crops, out)
    recipe = overridden(RECIPES["demo"], settings)
    terms = f"{photos.resolve().name}, as its owner permits"
    train(recipe, [trained], [kept_out], out / "training", terms=terms)
    pack = out / "packs" / "demo"
    made = ("--checkpoint", out / "training" / checkpoint.NAME, "--detector-from", STARTER)
    terms_of_use = ("--licence", "as the photos it was trained on permit")
    _command(export, *made, *terms_of_use, "--data", kept_out, "--out", pack)
    _command(evaluate, "--pack", pack, "--out", pack, "--crops", kept_out)
    _command(calibrate, "--pack", pack, "--crops", kept_out)
    finish(pack, failures=FAILURES)
    return pack


def _command(module: ModuleType, *words: str | Path) -> None:
    """Run a command as the command line would."""
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args([str(word) for word in words]))


def split(crops: Path, out: Path) -> tuple[Path, Path]:
    """Folders of links to the people to train on and to those kept out, every fourth by name."""
    people = sorted(path for path in crops.iterdir() if path.is_dir())
    count = max(LEAST_PEOPLE, len(people) // KEPT_OUT)
    if len(people) < count + LEAST_TRAINED:
        raise TrainingDataError(
            f"{len(people)} people have a face: {LEAST_PEOPLE} are needed to measure on, and "
            f"{LEAST_TRAINED} at least to train on"
        )
    every = len(people) / count
    apart = {people[int(place * every)] for place in range(count)}
    folders = out / "trained-on", out / "kept-out"
    for person in people:
        folder = folders[person in apart]
        folder.mkdir(exist_ok=True)
        link = folder / person.name
        if not link.exists():
            link.symlink_to(os.path.relpath(person, folder), target_is_directory=True)
    return folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``demo``."""
    parser.add_argument("--photos", type=Path, help="a folder with a folder a person")
    parser.add_argument("--people", type=int, default=140, help="how many to invent without photos")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override the recipe"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")


def run(arguments: argparse.Namespace) -> None:
    """Raises what its steps raise."""
    pack = demo(arguments.photos, arguments.out, people=arguments.people, settings=arguments.set)
    print(f"{pack} is done. Serve it: ROLLCALL_PACK={pack.resolve()} make run")
