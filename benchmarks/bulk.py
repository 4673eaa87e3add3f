"""How fast a folder is enrolled, beside what the bare pipeline makes of the same pictures.

    python -m benchmarks.bulk --data DIR [--pack PACK] [--faces N]

Three folders of one person a picture: faces cut out, photos as LFW has them (250 x 250), and the
same photos as large as a phone's. Each goes through `POST /enroll` of a service with an empty
gallery, part by part, in turns with the bare pipeline (benchmarks.pipeline) over its first files.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

from app.settings import Settings
from app.vision.detect import open_detector
from app.vision.pack import find_pack, read_pack
from benchmarks.load import Generator
from benchmarks.local import own_process
from benchmarks.pictures import Pictures, read_pictures
from benchmarks.pipeline import Arrangement, crew
from benchmarks.report import Report, in_turns, options, ratio

FIELDS: Final = {"face": "largest", "on_duplicate": "allow"}
CLIENTS: Final = 16
ROUNDS: Final = 4
MARGIN: Final = 0.3
"""Of a face's width and height, left around it on each side when it is cut out."""
PHONE: Final = 1600
"""Pixels of the longer side of a large photo."""
FEWER: Final = 5
"""Large photos are so many times fewer: each costs as much more."""
SAME: Final = 200
"""Pictures that the bare pipeline takes turns with: it needs no new ones."""

Make = Callable[[Path, Path], Path]


@dataclass(frozen=True, slots=True)
class Folder:
    kind: str
    files: Sequence[Path]


@contextmanager
def folders(data: Path, pack: str, faces: int) -> Iterator[Iterator[Folder]]:
    """The three, each made when it is asked for; pictures are repeated where there are too few."""
    with read_pictures(data) as lfw, tempfile.TemporaryDirectory(prefix="rollcall-bench-") as made:
        photos = [*lfw.enrol, *lfw.probes]

        def written(name: str, make: Make, count: int) -> list[Path]:
            folder = Path(made, name)
            folder.mkdir()
            return _repeated([make(each, folder) for each in photos[:count]], count)

        yield (
            Folder(kind, files())
            for kind, files in {
                "faces cut out": lambda: written("cut", cutter(pack), faces),
                "photos, 250 x 250": lambda: _repeated(photos, faces),
                f"photos, {PHONE} x {PHONE}": lambda: written("large", _enlarged, faces // FEWER),
            }.items()
        )


def _repeated(files: Sequence[Path], count: int) -> list[Path]:
    return list(itertools.islice(itertools.cycle(files), count))


def cutter(pack: str) -> Make:
    """Writes the largest face of a picture with a margin, the whole picture where there is none."""
    detector = open_detector(read_pack(find_pack(pack, Settings().packs_dir)).detector, "cpu")

    def cut(photo: Path, folder: Path) -> Path:
        pixels = cv2.imread(str(photo))
        found = detector.detect(pixels, most=1)
        if found:
            box = found[0].box
            across, down = MARGIN * box.width, MARGIN * box.height
            left, top = max(0, int(box.x - across)), max(0, int(box.y - down))
            right, bottom = int(box.x + box.width + across), int(box.y + box.height + down)
            pixels = pixels[top:bottom, left:right]
        return _written(folder / photo.name, pixels)

    return cut


def _enlarged(photo: Path, folder: Path) -> Path:
    size = PHONE, PHONE  # LFW's pictures are squares
    return _written(folder / photo.name, cv2.resize(cv2.imread(str(photo)), size))


def _written(file: Path, pixels: cv2.typing.MatLike) -> Path:
    cv2.imwrite(str(file), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return file


def enrol(report: Report, folder: Folder, pack: str, rounds: int) -> None:
    """One folder, in turns with the bare pipeline."""
    cores = len(os.sched_getaffinity(0))
    few = folder.files[:SAME]
    pictures = Pictures(persons=[], enrol=few[:cores], probes=few, mates=[])
    parts = iter([folder.files[part :: rounds + 1] for part in range(rounds + 1)])
    created = refused = 0
    seconds: list[float] = []

    with (
        own_process(pack) as own,
        crew("own", pack, pictures, Arrangement(cores, 1)) as bare,
    ):

        def service() -> float:
            nonlocal created, refused
            with Generator(own.url, "/enroll", next(parts), "images", FIELDS) as generator:
                heard = generator.each(CLIENTS)
            good = sum(n for status, n in heard.statuses.items() if status == "201")
            created += good
            refused += sum(n for status, n in heard.statuses.items() if status == "422")
            seconds.append(good / heard.rate)
            return heard.rate

        figures = in_turns({"bare": lambda: bare.pace(3.0).rate, "service": service}, rounds)
    share = ratio(figures["service"], figures["bare"])
    report.rows.append(
        {
            "folder": folder.kind,
            "files": len(folder.files),
            "enrolled": created,
            "refused": refused,
            "enrolled/s": round(created / sum(seconds), 1),
            "of the bare pipeline": str(share),
        }
    )


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--data", type=Path, required=True, help="the folder with lfw/ in it")
    root.add_argument("--pack", default="starter", help="a pack by name or path")
    root.add_argument("--faces", type=int, default=10_000, help="pictures of a folder")
    asked = root.parse_args()
    name = Path(asked.pack).name
    report = Report(
        f"bulk-{name}",
        f"How fast is a folder enrolled? (pack {name}, {CLIENTS} requests at a time)",
        about={"pack": name},
    )
    rounds = 1 if asked.quick else ROUNDS
    with folders(asked.data, asked.pack, 100 if asked.quick else asked.faces) as every:
        for folder in every:
            enrol(report, folder, asked.pack, rounds)
    report.save(asked.out)


if __name__ == "__main__":
    main()
