"""The ceiling: bytes to candidates without HTTP, database or journal, in the best arrangement.

    python -m benchmarks.pipeline --data DIR [--pack PACK] [--enlarge PIXELS] [--seconds N]

Decode, detect, align, embed and search exactly, the largest face of each picture. Measured with
the service's own classes and, for a pack of InsightFace's, with that library's; as one process and
as several, with one thread and with several, every one of them single-threaded inside.
"""

import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from app.settings import Settings
from app.types import Floats, ImageLimits
from benchmarks.pictures import Pictures, read_pictures
from benchmarks.report import Report, in_turns, options, ratio

TOP: Final = 5
ROUNDS: Final = 3


class Pipeline(Protocol):
    """Bytes to embedding; None where there is no face."""

    def embedding(self, image: bytes) -> Floats | None: ...


class OwnClasses:
    """The service's own decoder, detector, alignment and recognizer, in the calling thread."""

    def __init__(self, pack_name: str) -> None:
        import cv2

        from app.vision.align import align
        from app.vision.decode import decode
        from app.vision.detect import open_detector
        from app.vision.embed import Recognizer
        from app.vision.pack import find_pack, read_pack

        cv2.setNumThreads(1)
        pack = read_pack(find_pack(pack_name, Settings().packs_dir))
        self._decode, self._align = decode, align
        self._limits = ImageLimits()
        self._detector = open_detector(pack.detector, "cpu")
        self._recognizer = Recognizer(pack.recognizer, "cpu")

    def embedding(self, image: bytes) -> Floats | None:
        pixels = self._decode(image, self._limits)
        faces = self._detector.detect(pixels, most=1)
        if not faces:
            return None
        return self._recognizer.embed(self._align(pixels, faces[0].landmarks)[None])[0]


class InsightFaceClasses:
    """InsightFace's own, with single-threaded sessions; detection at 640x640 as it comes."""

    def __init__(self, pack_name: str) -> None:
        import warnings

        import cv2
        import onnxruntime
        from insightface.app import FaceAnalysis

        warnings.filterwarnings("ignore", category=FutureWarning)  # one a picture
        cv2.setNumThreads(1)
        single = onnxruntime.SessionOptions()
        single.intra_op_num_threads = 1
        self._decode = lambda image: cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        self._faces = FaceAnalysis(
            name=pack_name, providers=["CPUExecutionProvider"], sess_options=single
        )
        self._faces.prepare(ctx_id=-1, det_size=(640, 640))

    def embedding(self, image: bytes) -> Floats | None:
        faces = self._faces.get(self._decode(image), max_num=1)
        return np.asarray(faces[0].normed_embedding, np.float32) if faces else None


CLASSES: Final = {"own": OwnClasses, "insightface": InsightFaceClasses}


@dataclass(frozen=True, slots=True)
class Arrangement:
    """`processes` with `threads` each."""

    processes: int
    threads: int

    def __str__(self) -> str:
        return f"{self.processes} x {self.threads}"


@dataclass(frozen=True, slots=True)
class Pace:
    """Pictures a second, and milliseconds of processor time for each."""

    rate: float
    cpu_ms: float


class Crew:
    """Processes that wait for work; between turns they cost nothing."""

    def __init__(self, classes: str, pack: str, pictures: Pictures, how: Arrangement) -> None:
        self.how = how
        spawn = multiprocessing.get_context("spawn")
        self._ends: list[Connection] = []
        self._processes = []
        for number in range(how.processes):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(
                target=_work, args=(theirs, classes, pack, pictures, how, number), daemon=True
            )
            process.start()
            self._ends.append(ours)
            self._processes.append(process)
        gallery = np.concatenate([end.recv() for end in self._ends])
        for end in self._ends:
            end.send(gallery)
        for end in self._ends:
            end.recv()

    def pace(self, seconds: float) -> Pace:
        """Every thread works for so long."""
        for end in self._ends:
            end.send(seconds)
        answers = [end.recv() for end in self._ends]
        count = sum(answer[0] for answer in answers)
        return Pace(count / seconds, sum(answer[1] for answer in answers) / count * 1e3)

    def close(self) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join()


@contextmanager
def crew(classes: str, pack: str, pictures: Pictures, how: Arrangement) -> Iterator[Crew]:
    made = Crew(classes, pack, pictures, how)
    try:
        yield made
    finally:
        made.close()


def _work(
    ours: Connection,
    classes: str,
    pack: str,
    pictures: Pictures,
    how: Arrangement,
    number: int,
) -> None:
    """A process of a crew: enrol a share of the gallery, then work when asked."""
    pipeline = CLASSES[classes](pack)
    share = pictures.enrol[number :: how.processes]
    found = [pipeline.embedding(each.read_bytes()) for each in share]
    ours.send(np.stack([each for each in found if each is not None]))
    # As the service would: one thread a search, the others are at other pictures.
    import faiss

    faiss.omp_set_num_threads(1)
    gallery = ours.recv()
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(gallery)
    probes = [each.read_bytes() for each in pictures.probes]
    ours.send(None)
    while True:
        try:
            seconds = ours.recv()
        except EOFError:
            return
        ours.send(_run(pipeline, index, probes, how.threads, seconds))


def _run(
    pipeline: Pipeline, index: Any, probes: Sequence[bytes], threads: int, seconds: float
) -> tuple[int, float]:
    """How many pictures so many threads answered, and the processor seconds that it took."""
    end = time.perf_counter() + seconds
    counts = [0] * threads
    turn = itertools.cycle(probes)
    cpu = time.process_time()

    def work(number: int) -> None:
        while time.perf_counter() < end:
            embedding = pipeline.embedding(next(turn))
            if embedding is not None:
                index.search(embedding[None], TOP)
            counts[number] += 1

    others = [threading.Thread(target=work, args=(each,)) for each in range(1, threads)]
    for other in others:
        other.start()
    work(0)
    for other in others:
        other.join()
    return sum(counts), time.process_time() - cpu


def arrangements(cores: int) -> list[Arrangement]:
    """A single thread, and the two ways of using every core."""
    ways = [Arrangement(1, 1), Arrangement(1, cores), Arrangement(cores, 1)]
    return list(dict.fromkeys(ways))


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--data", type=Path, required=True, help="the folder with lfw/ in it")
    root.add_argument("--pack", default="starter", help="a pack by name or path")
    root.add_argument("--enlarge", type=int, default=0, help="blow pictures up to so many pixels")
    root.add_argument("--seconds", type=float, default=5.0, help="seconds of a turn")
    root.add_argument("--name", default="pipeline", help="name of the report")
    asked = root.parse_args()
    seconds = 1.0 if asked.quick else asked.seconds
    cores = len(os.sched_getaffinity(0))
    library = asked.pack != "starter" and not (Path(asked.pack) / "pack.json").exists()
    report = Report(
        asked.name,
        "How many pictures a second can be answered without a service around it?",
        about={"pack": Path(asked.pack).name, "enlarged_to": asked.enlarge or None},
    )
    with read_pictures(asked.data, enlarge=asked.enlarge, quick=asked.quick) as pictures:
        ways = {
            f"{classes}, {how}": Crew(classes, asked.pack, pictures, how)
            for classes in (["own", "insightface"] if library else ["own"])
            for how in arrangements(cores)
        }
        paces: dict[str, list[Pace]] = {name: [] for name in ways}

        def side(name: str) -> float:
            paces[name].append(ways[name].pace(seconds))
            return paces[name][-1].rate

        figures = in_turns(
            {name: lambda name=name: side(name) for name in ways},
            1 if asked.quick else ROUNDS,
        )
        for each in ways.values():
            each.close()
    first = next(iter(figures.values()))
    for name, rates in figures.items():
        report.rows.append(
            {
                "classes, processes x threads": name,
                "pictures/s": round(float(np.median(rates)), 1),
                "CPU ms a picture": round(float(np.median([p.cpu_ms for p in paces[name]])), 2),
                "against the first": round(ratio(rates, first).median, 2),
            }
        )
    report.save(asked.out)


if __name__ == "__main__":
    main()
