"""Labeled Faces in the Wild (Huang et al., 2007): its lists, and its faces as a pack sees them.

``python -m models.training.lfw --lfw DIR --pack DIR --crops FILE`` aligns every picture once;
evaluation and calibration then take the crops.
"""

import argparse
import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.settings import ImageLimits
from app.types import Detection, Floats, Pixels
from app.vision.align import align
from app.vision.decode import decode
from app.vision.detect import Detector, open_detector
from app.vision.embed import Recognizer
from app.vision.pack import DetectorPart, read_pack

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two pictures (paths below ``images``) of one person or of two."""

    first: str
    second: str
    mated: bool


@dataclass(frozen=True, kw_only=True)
class Search:
    """The open-set lists: picture and person to enrol, mated probes likewise, strangers."""

    enrol: tuple[tuple[str, str], ...]
    probes: tuple[tuple[str, str], ...]
    strangers: tuple[str, ...]


def person_of(picture: str) -> str:
    """``NAME/NAME_0001.jpg`` shows NAME."""
    return picture.partition("/")[0]


def read_pairs(path: Path) -> list[list[Pair]]:
    """The ten folds of ``pairs.txt`` (View 2), in file order. Raises ValueError if cut short."""
    header, *lines = path.read_text().splitlines()
    folds, size = (int(field) for field in header.split())
    if len(lines) != 2 * folds * size:
        raise ValueError(f"{path} promises {2 * folds * size} pairs, has {len(lines)}")
    pairs = [_pair(line.split("\t")) for line in lines]
    return [pairs[2 * size * fold : 2 * size * (fold + 1)] for fold in range(folds)]


def _pair(fields: Sequence[str]) -> Pair:
    if len(fields) == 3:
        name, first, second = fields
        return Pair(first=_picture(name, first), second=_picture(name, second), mated=True)
    name, first, other, second = fields
    return Pair(first=_picture(name, first), second=_picture(other, second), mated=False)


def _picture(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}.jpg"


def read_search(folder: Path) -> Search:
    """``enrol.csv``, ``probes.csv`` and ``non_members.csv`` of ``folder``."""

    def rows(name: str) -> list[dict[str, str]]:
        with (folder / name).open(newline="") as file:
            return list(csv.DictReader(file))

    return Search(
        enrol=tuple((row["image"], row["person"]) for row in rows("enrol.csv")),
        probes=tuple((row["image"], row["person"]) for row in rows("probes.csv")),
        strangers=tuple(row["image"] for row in rows("non_members.csv")),
    )


def central_face(found: Sequence[Detection], width: int, height: int) -> Detection | None:
    """The largest face whose box holds the picture's centre, else the largest; None of none."""

    def rank(face: Detection) -> tuple[bool, float]:
        box = face.box
        inside_x = box.x <= width / 2 <= box.x + box.width
        inside_y = box.y <= height / 2 <= box.y + box.height
        return inside_x and inside_y, box.area

    return max(found, key=rank, default=None)


def crop_of(path: Path, detector: Detector) -> Pixels | None:
    """The aligned crop uint8 [112, 112, 3] of a picture's central face, None without a face."""
    pixels = decode(path.read_bytes(), ImageLimits())
    face = central_face(detector.detect(pixels), pixels.shape[1], pixels.shape[0])
    return None if face is None else align(pixels, face.landmarks)


def align_pictures(images: Path, part: DetectorPart, crops: Path) -> None:
    """Write the crops of all ``*/*.jpg`` with their names and the detector's hash to ``crops``."""
    detector = open_detector(part, "cpu")
    names: list[str] = []
    pixels: list[Pixels] = []
    missed: list[str] = []
    for path in sorted(images.glob("*/*.jpg")):
        name = path.relative_to(images).as_posix()
        crop = crop_of(path, detector)
        if crop is None:
            missed.append(name)
            continue
        names.append(name)
        pixels.append(crop)
        if len(names) % 1000 == 0:
            log.info("%d aligned, %d without a face", len(names), len(missed))
    log.info("%d aligned, no face in %s", len(names), missed)
    np.savez(crops, names=names, missed=missed, pixels=np.stack(pixels), detector=part.sha256)


def embed_crops(crops: Path, folder: Path) -> Mapping[str, Floats]:
    """Embeddings float32 [D] by picture, as the pack's recognizer gives them.

    Pictures without a face are missing. Raises ValueError where another detector made the crops.
    """
    pack = read_pack(folder)
    with np.load(crops) as kept:
        names, pixels = kept["names"].tolist(), kept["pixels"]
        if str(kept["detector"]) != pack.detector.sha256:
            raise ValueError(f"{crops} was made by another detector than that of {folder}")
    return dict(zip(names, Recognizer(pack.recognizer, "cpu").embed(pixels), strict=True))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="folder with images/")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--crops", type=Path, required=True, help=".npz file to write")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    align_pictures(arguments.lfw / "images", read_pack(arguments.pack).detector, arguments.crops)


if __name__ == "__main__":
    main()
