"""Measure which similarity means what, and write it into a pack as calibration.json.

On people whom the recognizer was not trained on: one picture a person for false matches and
searches, a second of the same person for false non-matches. Photos are aligned by the pack's own
detector; those of people who are needed for a later test are left out by --without.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.vision.embed import Recognizer
from app.vision.pack import CALIBRATION, hash_file, read_manifest, read_pack
from models.training.errors import TrainingDataError
from models.training.evaluation.calibration import calibration
from models.training.evaluation.people import labelled_crops, labelled_photos, person_of

PACK: Final = "pack.json"
METHOD: Final = (
    "False matches: one picture a person, all pairs; pairs share people, so the intervals are from "
    "a bootstrap over people. False non-matches: two pictures of a person. {missed} of {pictures} "
    "pictures showed no face and were left out."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``calibrate``."""
    parser.add_argument("--pack", type=Path, required=True, help="folder of the pack")
    people = parser.add_mutually_exclusive_group(required=True)
    people.add_argument("--photos", type=Path, help="raw photos, a folder a person")
    people.add_argument("--crops", type=Path, help="aligned crops of labelled people")
    parser.add_argument(
        "--without",
        type=Path,
        nargs="+",
        default=[],
        help="CSV with a column person or image: these persons are left out",
    )
    parser.add_argument("--data", help="what the pictures are, for the file; else their folder")
    parser.add_argument("--cache", type=Path, help=".npz that keeps what the detector aligned")


def run(arguments: argparse.Namespace) -> None:
    """Raises PackInvalid, TrainingDataError, and ValueError where there are too few people."""
    target: Path = arguments.pack / CALIBRATION
    left_out = persons_in(arguments.without)
    with _set_aside(arguments.pack):
        pack = read_pack(arguments.pack)
        recognizer = Recognizer(pack.recognizer, "cpu")
        if arguments.photos:
            people = labelled_photos(
                arguments.photos,
                pack=pack,
                recognizer=recognizer,
                cache=arguments.cache,
                without=left_out,
            )
        else:
            people = labelled_crops(arguments.crops, recognizer, without=left_out)
        data = arguments.data or f"{(arguments.photos or arguments.crops).resolve().name}"
        method = METHOD.format(missed=len(people.missed), pictures=len(people.pictures))
        content = calibration(
            embeddings=people.rows,
            labels=people.labels,
            model=pack.model,
            data=f"{data.rstrip('.')}. {method}",
        )
        target.write_text(json.dumps(content, indent=2) + "\n")
        if pack.format == "rollcall":
            _vouch(arguments.pack, hash_file(target))
        read_pack(arguments.pack)
    law = content["fpir"]
    print(
        f"{target}: {content['subjects']:,} people; FMR {content['fmr'][0]['fmr']:g} to "
        f"{content['fmr'][-1]['fmr']:g}, FPIR {law['max_fpir']:g} to {law['min_fpir']:g} in "
        f"galleries of up to {law['max_size']:,}"
    )


def persons_in(paths: Sequence[Path]) -> frozenset[str]:
    """The persons whom CSV files name, in a column ``person`` or as the folder of an ``image``.

    Raises TrainingDataError where a file has neither column.
    """
    persons = set()
    for path in paths:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if not columns & {"person", "image"}:
                raise TrainingDataError(f"{path} needs a column person or image.")
            for row in reader:
                persons.add(row["person"] if "person" in columns else person_of(row["image"]))
    return frozenset(persons)


@contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    """The pack without its calibration; it comes back where what is done meanwhile fails.

    An old calibration binds the pack to an old recognizer, and the pack could not be read.
    """
    files = [path for path in (folder / CALIBRATION, folder / PACK) if path.is_file()]
    old = {path: path.read_bytes() for path in files}
    (folder / CALIBRATION).unlink(missing_ok=True)
    try:
        if folder / PACK in old:
            _vouch(folder, None)
        yield
    except BaseException:
        (folder / CALIBRATION).unlink(missing_ok=True)
        for path, content in old.items():
            path.write_bytes(content)
        raise


def _vouch(folder: Path, sha256: str | None) -> None:
    """Write the calibration's hash into ``pack.json``, so that no digit of it can change."""
    manifest = read_manifest(folder / PACK).model_copy(update={"calibration_sha256": sha256})
    (folder / PACK).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
