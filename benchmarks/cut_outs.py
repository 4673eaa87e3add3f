"""What a cut-out of a face is worth, as InsightFace Server saves them, beside the whole photo.

    python -m benchmarks.cut_outs --data DIR [--pack PACK] [--quick]

The largest face of probes of lfw/identify is cut out by its box and squeezed into 112 x 112 pixels,
JPEG. It is then looked at as it is, with its shape given back, and as `rollcall import-from
insightface-server` frames it (app.vision.framing). Counted is how often the face is found, and
compared its template with that of the whole photo.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from tqdm import tqdm

from app.settings import Settings
from app.stages import Stages
from app.types import Box, Face, ImageLimits
from app.vision.align import SIZE
from app.vision.decode import decode
from app.vision.decoder import Decoder
from app.vision.detect import Detector, open_detector
from app.vision.embed import Recognizer
from app.vision.framing import framed
from app.vision.pack import find_pack, read_pack
from app.vision.sight import look
from benchmarks.identify import read_lists
from benchmarks.report import Report, options

_LIMITS: Final = ImageLimits()


class Looking:
    """A pack that looks at one picture after the other, on one thread."""

    def __init__(self, pack: str) -> None:
        settings = Settings()
        opened = read_pack(find_pack(pack, settings.packs_dir))
        self._decoder = Decoder(settings.images, seconds=settings.decode_seconds)
        self._detector: Detector = open_detector(opened.detector, "cpu")
        self._recognizer = Recognizer(opened.recognizer, "cpu")

    def largest(self, image: bytes) -> tuple[Face, np.ndarray] | None:
        """The largest face and its embedding float32[D], None where there is no face."""
        found = look(image, self._decoder, self._detector, Stages(), 1)
        if not found:
            return None
        return found[0], self._recognizer.embed(found[0].crop[None])[0]


def cut_out(photo: bytes, box: Box) -> bytes:
    """The box of a face, squeezed into a square, as JPEG."""
    pixels = decode(photo, _LIMITS)
    left, top = max(0, int(box.x)), max(0, int(box.y))
    part = pixels[top : int(box.y + box.height) + 1, left : int(box.x + box.width) + 1]
    square = cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
    return cv2.imencode(".jpg", cv2.cvtColor(square, cv2.COLOR_RGB2BGR), quality)[1].tobytes()


def _shaped(image: bytes, box: Box) -> bytes:
    """With its shape given back, and nothing around it."""
    pixels = cv2.cvtColor(decode(image, _LIMITS), cv2.COLOR_RGB2BGR)
    scale = SIZE / min(box.width, box.height)
    size = (round(box.width * scale), round(box.height * scale))
    return cv2.imencode(".png", cv2.resize(pixels, size))[1].tobytes()


WAYS: Final[dict[str, Callable[[bytes, Box], bytes]]] = {
    "as it is": lambda image, _: image,
    "in shape": _shaped,
    "framed": lambda image, box: framed(image, box.width, box.height),
}


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--data", type=Path, required=True, help="a folder that holds lfw")
    root.add_argument("--pack", default="starter")
    given = root.parse_args()
    looking = Looking(given.pack)
    probes = read_lists(given.data).probes[:: 40 if given.quick else 4]
    similarities: dict[str, list[float]] = {name: [] for name in WAYS}
    faces = 0
    for probe in tqdm(probes, unit="photos"):
        photo = (given.data / "lfw" / "images" / probe.image).read_bytes()
        whole = looking.largest(photo)
        if whole is None:
            continue
        faces += 1
        face, template = whole
        square = cut_out(photo, face.box)
        for name, made in WAYS.items():
            seen = looking.largest(made(square, face.box))
            if seen is not None:
                similarities[name].append(float(seen[1] @ template))
    report = Report("cut_outs", "Is the face of a cut-out found, and is its template the face's?")
    for name, values in similarities.items():
        report.rows.append(
            {
                "cut-out": name,
                "faces": faces,
                "found": len(values),
                "mean similarity": float(np.mean(values)),
                "10th percentile": float(np.percentile(values, 10)),
            }
        )
    report.notes.append(f"Pack {given.pack}; similarity to the template of the whole photo.")
    report.save(given.out)


if __name__ == "__main__":
    main()
