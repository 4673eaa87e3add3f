"""At which size detection looks at a picture: what is found, who is recognised, what it costs.

    python -m benchmarks.detection --data DIR [--pack PACK] [--keep FOLDER] [--quick]

DIR holds `lfw` and `photos` (see `benchmarks.identify`; `photos/faces.csv` has the columns
image, nose_x, nose_y). Three sets are judged, under every policy:

- `lfw`: the open-set search of lfw/identify, the largest face of every picture.
- `photos`: every face, told by its nose.
- copies of both: enlarged, shrunk, cut so that the face fills the frame, padded so that it is
  small in a large picture. Probes are searched in the gallery of the pictures as they are.

Accuracy is computed once, on all cores. Cost is computed in turns, one picture under every policy
before the next picture, on one thread, in CPU milliseconds of that thread.
"""

import argparse
import csv
import os
import pickle
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from app.types import Detection, Floats, ImageLimits, Pixels
from app.vision.align import align
from app.vision.decode import decode
from app.vision.detect import (
    Detector,
    Look,
    fills,
    first_look,
    merged,
    open_detector,
    second_look,
)
from app.vision.embed import Recognizer
from app.vision.pack import find_pack, read_pack
from benchmarks.copies import COPIES, OF_LFW, OF_PHOTOS, Copy, Place
from benchmarks.identify import Lists, read_lists
from benchmarks.local import ROOT
from benchmarks.open_set import (
    Search,
    Share,
    false_negatives,
    match_within,
    threshold_at,
)
from benchmarks.report import Report, options, ratio

FIXED: Final = 640
"""The side of the square that InsightFace lays every picture on."""

FPIR: Final = 0.01
COPIED: Final = 100
"""Probes that are copied, spread over the list."""

TIMED: Final = 12
"""Pictures of a set that are timed."""

LIMITS: Final = ImageLimits(max_bytes=50_000_000)

SAVED: Final = 500
"""Pictures after which what was seen is written down."""

EVERY: Final = 0
"""How many faces are wanted: as many as there are."""

Policy = Callable[[Pixels, int], list[Detection]]
"""Faces of a picture, best first, where so many are wanted."""


class Task(NamedTuple):
    """A picture in the data folder, the copy of it that is looked at, and the faces wanted."""

    image: str
    copy: str
    wanted: int


class Seen(NamedTuple):
    """What one policy saw: boxes float32[N, 4] (left, top, right, bottom) in pixels of the copy,
    best first, and the embedding float32[D] of the largest, None where there is no face."""

    place: Place
    boxes: Floats
    embedding: Floats | None


@dataclass(frozen=True, slots=True)
class Marked:
    """A photo, its pixels counted, and the noses in it, (x, y)."""

    image: str
    pixels: int
    noses: Sequence[tuple[float, float]]


def policies(detector: Detector) -> dict[str, Policy]:
    """By name. The first is what the others are compared with."""

    def fixed(pixels: Pixels, _: int) -> list[Detection]:
        return detector.see(pixels, letterbox(pixels.shape[1], pixels.shape[0]))

    def never_enlarged(pixels: Pixels, _: int) -> list[Detection]:
        height, width = pixels.shape[:2]
        look = first_look(width, height, (FIXED,))
        first = detector.see(pixels, look)
        if first and not any(fills(each.box, width, height) for each in first):
            return first
        second = detector.see(pixels, second_look(look))
        return merged(second, first, detector.nms_threshold)

    return {
        "fixed 640": fixed,
        "at most 640": never_enlarged,
        "as needed": detector.detect,
    }


AS_THEY_STAND: Final = ("fixed 640", "at most 640")
"""Policies that are written down here, and may be kept from run to run."""


def letterbox(width: int, height: int) -> Look:
    """The whole picture, enlarged or shrunk to the square, in its upper left corner."""
    scale = FIXED / max(width, height)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    return Look(wide, high, 0, 0, (FIXED, FIXED))


class Eyes:
    """A pack, opened in the process that uses it."""

    def __init__(self, pack: str, data: Path) -> None:
        cv2.setNumThreads(1)
        opened = read_pack(find_pack(pack, ROOT / "models" / "packs"))
        self.data = data
        self.policies = policies(open_detector(opened.detector, "cpu"))
        self._recognizer = Recognizer(opened.recognizer, "cpu")

    def copy(self, task: Task) -> Copy:
        return COPIES[task.copy](_decoded(self.data / task.image))

    def see(self, task: Task, wanted: Sequence[str]) -> dict[str, Seen]:
        copy = self.copy(task)
        return {
            name: self._seen(copy, self.policies[name](copy.pixels, task.wanted)) for name in wanted
        }

    def cost(self, task: Task) -> dict[str, float]:
        """CPU milliseconds of each policy, one after the other."""
        pixels = self.copy(task).pixels
        spent = {}
        for name, policy in self.policies.items():
            begin = time.thread_time()
            policy(pixels, task.wanted)
            spent[name] = (time.thread_time() - begin) * 1e3
        return spent

    def _seen(self, copy: Copy, found: Sequence[Detection]) -> Seen:
        boxes = [
            (one.box.x, one.box.y, one.box.x + one.box.width, one.box.y + one.box.height)
            for one in found
        ]
        embedding = None
        if found:
            largest = max(found, key=lambda one: one.box.area)
            embedding = self._recognizer.embed(align(copy.pixels, largest.landmarks)[None])[0]
        return Seen(copy.place, np.array(boxes, dtype=np.float32).reshape(-1, 4), embedding)


_eyes: list[Eyes] = []


def _open(pack: str, data: Path) -> None:
    _eyes.append(Eyes(pack, data))


def _see(job: tuple[Task, Sequence[str]]) -> tuple[Task, dict[str, Seen]]:
    return job[0], _eyes[0].see(*job)


Sight = dict[str, dict[Task, Seen]]
"""What each policy saw of each task."""


def look_at_all(tasks: Sequence[Task], pack: str, data: Path, keep: Path | None) -> Sight:
    """Every task under every policy; what `keep` holds is not computed again."""
    sight: Sight = {name: {} for name in POLICY_NAMES}
    kept = keep / f"{Path(pack).name}.pickle" if keep else None
    if kept and kept.exists():
        sight |= pickle.loads(kept.read_bytes())  # noqa: S301 we wrote it
    jobs = [
        (task, missing)
        for task in tasks
        if (missing := [name for name in POLICY_NAMES if task not in sight[name]])
    ]
    with ProcessPoolExecutor(
        len(os.sched_getaffinity(0)),
        mp_context=get_context("spawn"),
        initializer=_open,
        initargs=(pack, data),
    ) as processes:
        done = processes.map(_see, jobs, chunksize=8)
        for number, (task, seen) in enumerate(tqdm(done, total=len(jobs), desc="looking"), 1):
            for name, one in seen.items():
                sight[name][task] = one
            if kept and (number % SAVED == 0 or number == len(jobs)):
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(pickle.dumps({name: sight[name] for name in AS_THEY_STAND}))
    return sight


POLICY_NAMES: Final = (*AS_THEY_STAND, "as needed")


class Gallery:
    """Persons by name, from the enrolment pictures as one policy saw them."""

    def __init__(self, lists: Lists, seen: Mapping[Task, Seen]) -> None:
        known = [
            (person, embedding)
            for person, images in lists.enrol.items()
            for image in images
            if (embedding := seen[_lfw(image)].embedding) is not None
        ]
        self.missed = sum(map(len, lists.enrol.values())) - len(known)
        self._names = np.array([name for name, _ in known])
        self._rows = np.array([row for _, row in known])

    def search(self, mate: str | None, seen: Seen) -> Search:
        """With similarities on the grid of the service, best first."""
        if seen.embedding is None:
            return Search(mate)
        similarities = self._rows @ seen.embedding
        best = np.argsort(-similarities)[:10]
        return Search(
            mate,
            tuple((str(self._names[each]), round(float(similarities[each]), 4)) for each in best),
        )


def _lfw(image: str, copy: str = "as it is") -> Task:
    return Task(f"lfw/images/{image}", copy, 1)


def centre_is_seen(seen: Seen) -> bool:
    """Whether the largest box holds the middle of the press picture, where its face is."""
    if not len(seen.boxes):
        return False
    sides = seen.boxes[:, 2:] - seen.boxes[:, :2]
    left, top, right, bottom = seen.boxes[np.argmax(sides.prod(axis=1))]
    x, y = seen.place.of(125, 125)
    return bool(left <= x <= right and top <= y <= bottom)


def noses_found(boxes: Floats, noses: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """How many noses lie in a box of their own, and how many boxes are left over."""
    rest = list(map(tuple, boxes))
    found = 0
    for x, y in noses:
        inside = [box for box in rest if box[0] <= x <= box[2] and box[1] <= y <= box[3]]
        if inside:
            rest.remove(inside[0])
            found += 1
    return found, len(rest)


def read_marked(data: Path) -> list[Marked]:
    noses: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with (data / "photos" / "faces.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            noses[row["image"]].append((float(row["nose_x"]), float(row["nose_y"])))
    marked = []
    for path in sorted((data / "photos").glob("*.jpg")):
        height, width, _ = _decoded(path).shape
        marked.append(Marked(path.name, height * width, noses[path.name]))
    return marked


class Judge:
    """The tasks of all sets, and the rows of the table once they were looked at."""

    def __init__(self, data: Path, *, quick: bool) -> None:
        self.lists = read_lists(data)
        self.photos = read_marked(data)
        mated = [probe for probe in self.lists.probes if probe.person is not None]
        self.copied = mated[:: -(-len(mated) // (30 if quick else COPIED))]
        self._whole = not quick
        if quick:
            self.probes = self.copied
        else:
            self.probes = list(self.lists.probes)

    def sets(self) -> dict[str, list[Task]]:
        """Pictures of every set, by name; the galleries' pictures come with `lfw`."""
        sets = {"lfw": [_lfw(probe.image) for probe in self.probes]}
        for copy in OF_LFW:
            sets[f"lfw, {copy}"] = [_lfw(probe.image, copy) for probe in self.copied]
        for wanted, what in ((EVERY, "every face"), (1, "largest face")):
            for copy, grown in OF_PHOTOS.items():
                sets[f"photos, {copy}, {what}"] = [
                    Task(f"photos/{photo.image}", copy, wanted)
                    for photo in self.photos
                    if photo.pixels * grown <= LIMITS.max_pixels
                ]
        return sets

    def tasks(self) -> list[Task]:
        gallery = [_lfw(image) for images in self.lists.enrol.values() for image in images]
        return list(
            dict.fromkeys([*gallery, *(task for tasks in self.sets().values() for task in tasks)])
        )

    def rows(self, sight: Sight) -> list[dict[str, Any]]:
        galleries = {name: Gallery(self.lists, seen) for name, seen in sight.items()}
        rows = []
        for title, tasks in self.sets().items():
            for name, seen in sight.items():
                looked = {task: seen[task] for task in tasks}
                if title.startswith("photos"):
                    figures = self._noses(looked)
                else:
                    figures = self._searches(looked, galleries[name], seen, title == "lfw")
                rows.append({"set": title, "policy": name, "pictures": len(tasks), **figures})
        return rows

    def _noses(self, looked: Mapping[Task, Seen]) -> dict[str, Any]:
        found = false = noses = 0
        noses_of = {f"photos/{photo.image}": photo.noses for photo in self.photos}
        for task, seen in looked.items():
            places = [seen.place.of(x, y) for x, y in noses_of[task.image]]
            boxes = seen.boxes
            if task.wanted == 1:
                sides = boxes[:, 2:] - boxes[:, :2]
                boxes = boxes[np.argsort(-sides.prod(axis=1))[:1]]
            hits, extra = noses_found(boxes, places)
            found, false = found + hits, false + extra
            noses += min(len(places), task.wanted or len(places))
        return {
            "found": f"{found} of {noses}",
            "false": false,
            "rank-1": None,
            "FNIR at FPIR 1 %": None,
        }

    def _searches(
        self, looked: Mapping[Task, Seen], gallery: Gallery, seen: Mapping[Task, Seen], whole: bool
    ) -> dict[str, Any]:
        mates = {f"lfw/images/{probe.image}": probe.person for probe in self.lists.probes}
        searches = [gallery.search(mates[task.image], one) for task, one in looked.items()]
        mated = [each for each in searches if each.mate is not None]
        hits = sum(centre_is_seen(one) for one in looked.values())
        rank_1 = match_within(mated, 1)
        figures = {
            "found": f"{hits} of {len(looked)}",
            "false": None,
            "rank-1": _share(rank_1),
            "FNIR at FPIR 1 %": None,
        }
        if self._whole:
            strangers = [
                gallery.search(None, seen[_lfw(probe.image)])
                for probe in self.lists.probes
                if probe.person is None
            ]
            threshold = threshold_at(strangers, FPIR)
            figures["FNIR at FPIR 1 %"] = _share(false_negatives(mated, threshold, 1))
        return figures


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.rate:.4f} ({share.count} of {share.total}; {low:.4f} to {high:.4f})"


def _decoded(path: Path) -> Pixels:
    return decode(path.read_bytes(), LIMITS)


def costs(
    eyes: Eyes, sets: Mapping[str, Sequence[Task]], timed: int
) -> dict[tuple[str, str], list[float]]:
    """CPU milliseconds of every timed picture, by set and policy, picture by picture."""
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for title, tasks in tqdm(sets.items(), desc="timing", unit="set"):
        eyes.cost(tasks[0])
        for task in tasks[:: -(-len(tasks) // timed)]:
            for name, figure in eyes.cost(task).items():
                spent[title, name].append(figure)
    return spent


def main(arguments: Sequence[str] | None = None) -> None:
    root = options(__doc__ or "")
    root.add_argument("--data", type=Path, required=True, help="the folder with lfw and photos")
    root.add_argument("--pack", default="starter", help="name or folder of the pack")
    root.add_argument("--keep", type=Path, help="keep here what the fixed policies saw")
    asked: argparse.Namespace = root.parse_args(arguments)

    judge = Judge(asked.data, quick=asked.quick)
    sight = look_at_all(judge.tasks(), asked.pack, asked.data, asked.keep)
    spent = costs(Eyes(asked.pack, asked.data), judge.sets(), TIMED // 4 if asked.quick else TIMED)
    pack = Path(asked.pack).name
    report = Report(
        f"detection-{pack}",
        f"Detection at the size that the picture needs: what is found and what it costs ({pack})",
    )
    for row in judge.rows(sight):
        key = (row["set"], row["policy"])
        report.rows.append(row | {"CPU ms": statistics.median(spent[key])})
    for title in judge.sets():
        report.goal(
            f"{title}: cost of fixed 640 over as needed",
            aim=">= 1",
            figure=(figure := ratio(spent[title, "fixed 640"], spent[title, "as needed"])),
            met=figure.median >= 1,
        )
    report.save(asked.out)


if __name__ == "__main__":
    main()
