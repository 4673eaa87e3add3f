"""One pack at work: bytes to faces, crops to embeddings. What the use cases see of vision."""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import cv2
import numpy as np

from app.batching import MicroBatcher
from app.errors import ImageRefused
from app.settings import Device
from app.stages import Stages, current
from app.types import Decoded, Detection, Face, Floats, Pixels
from app.vision.align import SIZE, align
from app.vision.decoder import Decoder
from app.vision.detect import Detector, open_detector, scaled
from app.vision.embed import Recognizer, normalised
from app.vision.errors import DecoderUnavailable, EmbeddingFailed
from app.vision.pack import Pack, find_pack, read_pack
from app.vision.quality import measure

# A picture is one thread's work; OpenCV's own threads would only take the cores from each other.
cv2.setNumThreads(1)


class _Look(NamedTuple):
    """An image, how many of its largest faces are wanted (0: all), and whether embedded too."""

    image: bytes
    most: int
    embed: bool
    stages: Stages


class Seen(NamedTuple):
    """Faces and their embeddings float32[N, D] of length one; [0, D] where none were wanted."""

    faces: list[Face]
    embeddings: Floats


class _Crops(NamedTuple):
    """The crops of one request, uint8[N, 112, 112, 3]."""

    pixels: Pixels
    stages: Stages


class Vision:
    """A pack at work: `look` takes images through decode, detect and align, `embed` takes crops.

    On CPU both share one pool of `workers` threads, and each image has one of them from its bytes
    to its embeddings. On CUDA one thread owns the recognizer's batches while the others decode,
    detect and align.
    """

    def __init__(
        self,
        pack: Pack,
        detector: Detector,
        recognizer: Recognizer,
        *,
        device: Device,
        workers: int,
        embed_batch: int,
        decoder: Decoder,
        queue_depth: int,
        queue_seconds: float,
        deadline: float,
    ) -> None:
        self.pack = pack
        self.model = pack.model
        self.dimension = recognizer.dimension
        self.providers: tuple[str, ...] = recognizer.providers
        self.decoder = decoder
        self._nobody = np.empty((0, recognizer.dimension), dtype=np.float32)
        self._detector = detector
        self._recognizer = recognizer
        self._device = device
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="vision")
        self._owner = (
            ThreadPoolExecutor(1, thread_name_prefix="device") if device == "cuda" else self._pool
        )
        self.look: MicroBatcher[_Look, Seen] = MicroBatcher(
            "look",
            self._look,
            executor=self._pool,
            workers=workers,
            limit=1,
            depth=queue_depth,
            patience=queue_seconds,
            deadline=deadline,
        )
        self.embedding: MicroBatcher[_Crops, Floats] = MicroBatcher(
            "embed",
            self._embed,
            executor=self._owner,
            workers=1 if device == "cuda" else workers,
            limit=embed_batch,
            depth=queue_depth,
            patience=queue_seconds,
            deadline=deadline,
        )

    async def faces(self, image: bytes, most: int = 0) -> list[Face]:
        """The `most` largest faces in an image, 0 for all, largest first; empty if there are none.

        Where fewer than all are wanted a large image is looked at only as closely as they need.
        Raises ImageRefused where it cannot be decoded, Overloaded where too many wait.
        """
        return (await self.look.submit(_Look(image, most, False, current()))).faces

    async def recognise(self, image: bytes, most: int = 0) -> Seen:
        """What `faces` gives, with the embeddings. Raises what `faces` and `embed` raise."""
        if self._device == "cpu":  # a batch gains nothing, and a hand-over between threads costs
            return await self.look.submit(_Look(image, most, True, current()))
        faces = await self.faces(image, most)
        return Seen(faces, await self.embed([face.crop for face in faces]))

    async def embed(self, crops: Sequence[Pixels]) -> Floats:
        """Embeddings float32[N, D] of length one, in the order of `crops`, uint8[112, 112, 3] each.

        Raises Overloaded where too many wait, EmbeddingFailed and DeviceFailed as the recognizer.
        """
        if not crops:
            return self._nobody
        return await self.embedding.submit(_Crops(np.stack(crops), current()))

    def warm_up(self) -> None:
        """Run everything once in the shapes that will come, and free the memory that it took.

        Blocks; call it off the event loop.
        """
        # It is logged, and requests say it by name until a process can be started.
        with contextlib.suppress(DecoderUnavailable):
            self.decoder.warm_up()
        for size in self._detector.sizes:
            self._detector.detect(np.zeros((size, size, 3), dtype=np.uint8), most=1)
        noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        for rows in self._recognizer.buckets:
            self._recognizer.embed(np.repeat(noise[None], rows, axis=0))
        self._detector.give_back()
        self._recognizer.give_back()

    async def close(self) -> None:
        """Answer what waits with Overloaded, let what runs end, and free the threads."""
        await self.look.close()
        await self.embedding.close()
        self._pool.shutdown()
        self._owner.shutdown()

    def _look(self, items: Sequence[_Look]) -> list[Seen | Exception]:
        return [self._try(item) for item in items]

    def _try(self, item: _Look) -> Seen | Exception:
        try:
            faces = look(item.image, self.decoder, self._detector, item.stages, item.most)
            if not item.embed:
                return Seen(faces, self._nobody)
            with item.stages("embed"):
                crops = np.array([face.crop for face in faces], dtype=np.uint8)
                return Seen(faces, self._recognizer.embed(crops))
        except (ImageRefused, EmbeddingFailed) as error:
            return error

    def _embed(self, items: Sequence[_Crops]) -> list[Floats | Exception]:
        begin = perf_counter()
        raw = self._recognizer.raw(np.concatenate([item.pixels for item in items]))
        seconds = perf_counter() - begin
        for item in items:
            item.stages.add("embed", seconds)
        ends = np.cumsum([len(item.pixels) for item in items])[:-1]
        return [_direction(rows) for rows in np.split(raw, ends)]


def _direction(raw: Floats) -> Floats | Exception:
    try:
        return normalised(raw)
    except EmbeddingFailed as error:
        return error


def look(
    image: bytes, decoder: Decoder, detector: Detector, stages: Stages, most: int = 0
) -> list[Face]:
    """Decode, detect, align and measure one image in the calling thread; faces largest first.

    `most` is as in `Vision.faces`; the detector's order decides between faces of one size. Raises
    ImageRefused and DecoderUnavailable. Seconds of the stages decode, detect and align go to
    `stages`.
    """
    with stages("decode"):
        # Half of a large picture is as much as the detector looks at, and mostly enough to cut one
        # face from; of many faces one would be too small.
        decoded = decoder.decode_at_least(image, detector.sizes[-1] if most == 1 else 0)
    with stages("detect"):
        found = detector.detect(decoded.pixels, most)
        detections = sorted(found, key=lambda each: -each.box.area)[: most or None]
    across = decoded.width / decoded.pixels.shape[1]
    down = decoded.height / decoded.pixels.shape[0]
    enlarged = [scaled(each, across, down) for each in detections]
    if not decoded.is_whole and any(_shorter_side(each) < SIZE for each in detections):
        # Half the size has too few pixels for a crop: what it shows is cut from the whole.
        with stages("decode"):
            decoded, detections = Decoded.whole(decoder.decode(image)), enlarged
    with stages("align"):
        frame = decoded.width, decoded.height
        faces = []
        for seen, whole in zip(detections, enlarged, strict=True):
            crop = align(decoded.pixels, seen.landmarks)
            quality = measure(whole, crop)
            faces.append(Face(whole.box, whole.landmarks, whole.score, quality, crop, frame))
        return faces


def _shorter_side(detection: Detection) -> float:
    return min(detection.box.width, detection.box.height)


def open_vision(
    pack_name: str,
    *,
    packs_dir: Path,
    device: Device,
    workers: int,
    embed_batch: int,
    decoder: Decoder,
    queue_depth: int,
    queue_seconds: float,
    deadline: float,
) -> Vision:
    """The pack of that name or path, at work on `device`, not yet warm.

    `workers` threads look at images, `embed_batch` requests share a run of the recognizer.
    `decoder` may serve several packs; who made it closes it, after them. Raises PackInvalid and
    ProviderUnavailable. Blocks while files are read and hashed.
    """
    pack = read_pack(find_pack(pack_name, packs_dir))
    return Vision(
        pack,
        open_detector(pack.detector, device),
        Recognizer(pack.recognizer, device),
        device=device,
        workers=workers,
        embed_batch=embed_batch,
        decoder=decoder,
        queue_depth=queue_depth,
        queue_seconds=queue_seconds,
        deadline=deadline,
    )
