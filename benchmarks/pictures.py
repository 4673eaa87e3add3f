"""The pictures of the service's benchmarks: who is enrolled, and who is asked for."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2

from benchmarks.identify import Probe, read_lists

QUICK: Final = 60
"""Pictures of each kind in a short run."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Enrolment pictures by person, and pictures to ask for with who is on them, None for a
    stranger. `probes` and `mates` are in the same order, persons who are enrolled first."""

    persons: Sequence[str]
    enrol: Sequence[Path]
    probes: Sequence[Path]
    mates: Sequence[str | None]


@contextmanager
def read_pictures(
    data: Path, *, enlarge: int = 0, most: int = 0, quick: bool = False
) -> Iterator[Pictures]:
    """The open-set lists of LFW in `data`; the files are there as long as the block lasts.

    With `most`, so many pictures of those who are enrolled and so many strangers', evenly. With
    `enlarge`, copies whose longer side has so many pixels: for detectors that are to work at that
    size without blowing anything up themselves.
    """
    lists = read_lists(data)
    images = data / "lfw" / "images"
    persons = list(lists.enrol)[: QUICK if quick else None]
    probes = [each for each in lists.probes if each.person is None or each.person in set(persons)]
    mated = [each for each in probes if each.person is not None]
    strangers = [each for each in probes if each.person is None]
    probes = _some(mated, QUICK if quick else most) + _some(strangers, QUICK if quick else most)
    pictures = Pictures(
        persons=persons,
        enrol=[images / lists.enrol[person][0] for person in persons],
        probes=[images / probe.image for probe in probes],
        mates=[probe.person for probe in probes],
    )
    if not enlarge:
        yield pictures
        return
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        yield replace(
            pictures,
            enrol=[_enlarged(each, enlarge, Path(folder)) for each in pictures.enrol],
            probes=[_enlarged(each, enlarge, Path(folder)) for each in pictures.probes],
        )


def _some(probes: Sequence[Probe], most: int) -> list[Probe]:
    if not most or len(probes) <= most:
        return list(probes)
    return [probes[number * len(probes) // most] for number in range(most)]


def _enlarged(file: Path, side: int, folder: Path) -> Path:
    pixels = cv2.imread(str(file))
    scale = side / max(pixels.shape[:2])
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    out = folder / file.name
    larger = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(out), larger, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return out
