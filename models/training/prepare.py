"""Find and align the faces of raw photos: ``PHOTOS/NAME/*.jpg`` to crops and a report.

Every photo is decoded, searched and aligned as the service would, with the detector of a pack.
``report.csv`` has a row for each photo, kept or dropped and why; ``report.json`` the counts. A run
that was stopped goes on where it was.
"""

import argparse
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from app.errors import ImageRefused
from app.types import Floats, ImageLimits, Pixels
from app.vision.align import SIZE, align, similarity
from app.vision.decode import decode
from app.vision.detect import Detector, open_detector
from app.vision.pack import read_pack
from models.training.data.folder import ImageFolder
from models.training.data.source import in_order
from models.training.errors import TrainingDataError
from models.training.evaluation.photos import central_face
from models.training.report import Journal, Outcome, Row

STARTER: Final = Path(__file__).parent.parent / "packs" / "starter"
LIMITS: Final = ImageLimits(max_bytes=200_000_000, max_pixels=200_000_000)  # our own files
LEAST_SIZE: Final = 24  # a smaller face is blown up more than four times
QUALITY: Final = 90
ENCODERS: Final = {
    "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, QUALITY]),
    "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    "png": (".png", []),
}
"""Extension and settings of OpenCV; png loses nothing."""

COPIES: Final = (Outcome.DUPLICATE, Outcome.CONFLICTING)  # decided anew: the others may be gone

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How photos become crops.

    ``margin`` pixels of the photo are kept around the 112x112 crop, at its scale. A face whose
    box is narrower or lower than ``least_size`` pixels is dropped. ``strict`` drops photos of
    several faces instead of taking the central one.
    """

    margin: int
    format: str
    least_size: float
    strict: bool


def prepare(
    photos: Path,
    out: Path,
    pack: Path,
    preparation: Preparation,
    workers: int | None = None,
) -> Mapping[str, int]:
    """Write the crop of every photo in ``photos`` to ``out``, a folder a person, and the report.

    Returns how many photos had which outcome.

    Raises:
        FileNotFoundError: there are no such photos.
        PackInvalid: there is no such pack.
        TrainingDataError: no photo has a face; ``out`` holds something else, or crops that were
            made otherwise.
    """
    source = ImageFolder(photos)
    if out.resolve().is_relative_to(photos.resolve()):
        raise TrainingDataError(f"{out} lies in {photos}: crops would be taken for photos.")
    part = read_pack(pack).detector
    settings = {"detector": part.sha256, **asdict(preparation)}
    # OpenCV's own threads would fight those that take whole photos.
    cv2.setNumThreads(1)
    work = _Work(source, out, open_detector(part, "cpu"), preparation, workers)
    with Journal(out, settings) as journal:
        rows = work.run(journal)
    counts = Counter(row.outcome.value for row in rows)
    _tell(rows, source, out)
    return counts


class _Work:
    """One run over all photos."""

    def __init__(
        self,
        source: ImageFolder,
        out: Path,
        detector: Detector,
        preparation: Preparation,
        workers: int | None,
    ) -> None:
        self.source = source
        self.out = out
        self.detector = detector
        self.preparation = preparation
        self.workers = workers
        self.crops = crop_names(source.names, ENCODERS[preparation.format][0])

    def run(self, journal: Journal) -> list[Row]:
        """Go through all photos; what the journal knows is not done again."""
        count = len(self.source.names)
        digests = list(in_order(self._digest, count, "read", self.workers))
        copies = duplicates(self.source.names, digests)
        known = {
            (row.image, row.sha256): row
            for row in journal.rows
            if row.outcome not in COPIES and (not row.crop or (self.out / row.crop).is_file())
        }

        def outcome(index: int) -> Row:
            name = self.source.names[index]
            begun = Row(image=name, sha256=digests[index])
            if index in copies:
                return replace(begun, outcome=copies[index][0], detail=copies[index][1])
            return known.get((name, digests[index])) or self._photo(index, begun)

        rows = []
        for row in in_order(outcome, count, "align", self.workers):
            journal.add(row)
            rows.append(row)
        journal.finish(rows)
        return rows

    def _digest(self, index: int) -> str:
        return hashlib.sha256(self.source.read(index)).hexdigest()

    def _photo(self, index: int, row: Row) -> Row:
        """Look at one photo and write its crop."""
        try:
            pixels = decode(self.source.read(index), LIMITS)
        except ImageRefused as error:
            return replace(row, outcome=Outcome.UNREADABLE, detail=str(error))
        found = self.detector.detect(pixels)
        face = central_face(found, pixels.shape[1], pixels.shape[0])
        if face is None:
            return replace(row, outcome=Outcome.NO_FACE)
        size = min(face.box.width, face.box.height)
        row = replace(row, faces=len(found), score=round(face.score, 4), size=round(size, 1))
        if self.preparation.strict and len(found) > 1:
            return replace(row, outcome=Outcome.SEVERAL_FACES)
        if size < self.preparation.least_size:
            return replace(row, outcome=Outcome.TOO_SMALL)
        picture = crop_with_margin(pixels, face.landmarks, self.preparation.margin)
        self._write(picture, self.crops[index])
        return replace(row, outcome=Outcome.KEPT, crop=self.crops[index])

    def _write(self, picture: Pixels, name: str) -> None:
        """Whole or not at all."""
        extension, settings = ENCODERS[self.preparation.format]
        _, content = cv2.imencode(extension, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_bytes(content.tobytes())
        part.replace(path)


def crop_with_margin(pixels: Pixels, landmarks: Floats, margin: int) -> Pixels:
    """The ``arcface-112`` crop with ``margin`` pixels on every side: uint8 [S, S, 3].

    Its inner 112x112 is what ``app.vision.align.align`` gives; black beyond the photo.
    """
    if margin == 0:
        return align(pixels, landmarks)
    moved = similarity(landmarks) + np.array([[0, 0, margin], [0, 0, margin]])
    side = SIZE + 2 * margin
    return np.asarray(cv2.warpAffine(pixels, moved, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def crop_names(names: Sequence[str], extension: str) -> list[str]:
    """Where the crops of these pictures go: ``NAME/1.jpg`` to ``NAME/1.webp``.

    Where that would be one file for two pictures, their extensions stay: ``NAME/1.jpg.webp``.
    """
    stems = [name.rpartition(".")[0] for name in names]
    counts = Counter(stems)
    return [
        (stem if counts[stem] == 1 else name) + extension
        for name, stem in zip(names, stems, strict=True)
    ]


def duplicates(names: Sequence[str], digests: Sequence[str]) -> dict[int, tuple[Outcome, str]]:
    """Which pictures to drop because others have the same bytes, with the reason and that other.

    Of copies under one identity the first is kept. Copies under several prove that a label is
    wrong, and not which: all are dropped.
    """
    groups: dict[str, list[int]] = {}
    for index, digest in enumerate(digests):
        groups.setdefault(digest, []).append(index)
    dropped: dict[int, tuple[Outcome, str]] = {}
    for first, *others in groups.values():
        people = {names[index].rpartition("/")[0] for index in (first, *others)}
        if len(people) > 1:
            dropped |= {index: (Outcome.CONFLICTING, names[first]) for index in others}
            dropped[first] = (Outcome.CONFLICTING, names[others[-1]])
        else:
            dropped |= {index: (Outcome.DUPLICATE, names[first]) for index in others}
    return dropped


def _tell(rows: Sequence[Row], source: ImageFolder, out: Path) -> None:
    kept = [row for row in rows if row.outcome is Outcome.KEPT]
    if not kept:
        raise TrainingDataError(
            f"None of the {len(rows)} photos gave a crop: {out / 'report.csv'} tells why for each."
        )
    people = Counter(row.image.rpartition("/")[0] for row in kept)
    single = sum(1 for count in people.values() if count == 1)
    log.info(
        "%d of %d photos kept, %d of %d people; the others in %s",
        *(len(kept), len(rows), len(people), len(source.identities), out / "report.csv"),
    )
    if single:
        log.warning("people with a single crop: %d; they teach only what others are not", single)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command line."""
    parser.add_argument("--photos", type=Path, required=True, help="folder with a folder a person")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; goes on in it")
    parser.add_argument("--pack", type=Path, default=STARTER, help="whose detector is used")
    parser.add_argument(
        "--margin", type=int, default=0, help="pixels kept around the crop; 24 makes 160x160"
    )
    parser.add_argument("--format", choices=sorted(ENCODERS), default="webp")
    parser.add_argument(
        "--min-size", type=float, default=LEAST_SIZE, help="least side of a face in the photo"
    )
    parser.add_argument("--strict", action="store_true", help="drop photos of several faces")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="threads")


def run(arguments: argparse.Namespace) -> None:
    """Prepare as the command line says. Raises as ``prepare``, ValueError for a wrong option."""
    if arguments.margin < 0 or arguments.workers < 1:
        raise ValueError("--margin must be 0 or more and --workers 1 or more.")
    preparation = Preparation(
        margin=arguments.margin,
        format=arguments.format,
        least_size=arguments.min_size,
        strict=arguments.strict,
    )
    prepare(arguments.photos, arguments.out, arguments.pack, preparation, arguments.workers)
