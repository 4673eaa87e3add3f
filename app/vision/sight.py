"""From an image's bytes to faces and embeddings, in the calling thread."""

from typing import Protocol

import cv2
import numpy as np

from app.stages import Stages
from app.types import Decoded, Detection, Face, Pixels
from app.vision.align import SIZE, align
from app.vision.crew import Seen
from app.vision.detect import Detector, scaled
from app.vision.embed import Recognizer
from app.vision.measure import measure

# A picture is one thread's work; OpenCV's own threads would only take the cores from each other.
cv2.setNumThreads(1)


class Decodes(Protocol):
    """What `app.vision.decode` does, wherever it is done."""

    def decode(self, data: bytes) -> Pixels: ...

    def decode_at_least(self, data: bytes, side: int) -> Decoded: ...


class Sight:
    """A pack's detector and recognizer. Threads may share it."""

    def __init__(self, detector: Detector, recognizer: Recognizer, decoder: Decodes) -> None:
        self.recognizer = recognizer
        self._detector = detector
        self._decoder = decoder

    def see(self, image: bytes, most: int, embed: bool, stages: Stages) -> Seen:
        """The `most` largest faces of an image, 0 for all, and their embeddings where asked for.

        Raises ImageRefused, EmbeddingFailed, DeviceFailed, and DecoderUnavailable.
        """
        faces = look(image, self._decoder, self._detector, stages, most)
        if not embed:
            return Seen(faces, np.empty((0, self.recognizer.dimension), dtype=np.float32))
        with stages("embed"):
            crops = np.array([face.crop for face in faces], dtype=np.uint8)
            return Seen(faces, self.recognizer.embed(crops))

    def warm_up(self) -> None:
        """Run everything once in the shapes that will come, and free the memory that it took."""
        for size in self._detector.sizes:
            self._detector.detect(np.zeros((size, size, 3), dtype=np.uint8), most=1)
        noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        for rows in self.recognizer.buckets:
            self.recognizer.embed(np.repeat(noise[None], rows, axis=0))
        self._detector.give_back()
        self.recognizer.give_back()


def look(
    image: bytes, decoder: Decodes, detector: Detector, stages: Stages, most: int = 0
) -> list[Face]:
    """Decode, detect, align and measure one image in the calling thread; faces largest first.

    `most` is as in `Sight.see`; the detector's order decides between faces of one size. Raises
    ImageRefused and what `decoder` raises. Seconds of the stages decode, detect and align go to
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
