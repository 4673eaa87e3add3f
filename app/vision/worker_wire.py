"""What the service and its worker processes say to each other.

To a worker, over a stream: ASK and so many bytes, of an image or of crops; back come ANSWER and so
many bytes. To the process that workers are forked from, over a socket that keeps messages apart:
JSON objects, with the worker's end of its stream beside FORK. Nothing here runs what it reads.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from app.errors import RollcallError
from app.stages import Stages
from app.types import Box, Face, Floats, Pixels, Quality
from app.vision.calibration import read_calibration
from app.vision.crew import Seen
from app.vision.errors import (
    DeviceFailed,
    EmbeddingFailed,
    ImageAnimated,
    ImageBroken,
    ImageEmpty,
    ImageTooLarge,
    ImageTypeUnsupported,
    PackInvalid,
    ProviderUnavailable,
)
from app.vision.pack import CALIBRATION, Pack

ASK: Final = struct.Struct(">BBIQ")
"""Kind, number of the pack, most faces (0: all), and the bytes that follow."""

READY: Final = b"+"
"""What a worker says before anything is asked: it has given up what it does not need."""

LOOK: Final = 0
LOOK_AND_EMBED: Final = 1
EMBED: Final = 2

ANSWER: Final = struct.Struct(">BIQ")
"""Kind, how many faces or rows, and the bytes that follow."""

SEEN: Final = 0
EMBEDDED: Final = 1
REFUSED: Final = 2
FAULT: Final = 3
"""Decoding failed in a way that no error stands for."""
BUG: Final = 4
"""What came after decoding did."""

FORK: Final = "fork"
KILL: Final = "kill"
WARM: Final = "warm"

STAGES: Final = ("decode", "detect", "align", "embed")
MOST_FACES: Final = 10_000
"""In one picture; a finest look has room for fewer."""

MOST_WORDS: Final = 1 << 16
"""Bytes of JSON in an answer."""

CROP: Final = (112, 112, 3)
_CROP_BYTES: Final = 112 * 112 * 3
_NUMBERS: Final = 22
"""Of a face: box 4, landmarks 10, score 1, quality 7."""

_PACK: Final = TypeAdapter(Pack)

ERRORS: Final[Mapping[str, type[RollcallError]]] = {
    each.code: each
    for each in (
        ImageEmpty,
        ImageTypeUnsupported,
        ImageTooLarge,
        ImageBroken,
        ImageAnimated,
        EmbeddingFailed,
        DeviceFailed,
        PackInvalid,
        ProviderUnavailable,
    )
}


def words(kind: int, content: Mapping[str, Any]) -> bytes:
    """An answer in words."""
    text = json.dumps(content).encode()
    return ANSWER.pack(kind, 0, len(text)) + text


def told(error: RollcallError) -> dict[str, Any]:
    return {"code": error.code, "detail": error.detail, "facts": error.facts}


def error_of(content: Mapping[str, Any]) -> RollcallError:
    """The error that `told` was given. Raises KeyError and TypeError for what is none."""
    return ERRORS[content["code"]](str(content["detail"]), **content["facts"])


def pack_told(pack: Pack) -> Any:
    """A pack without its calibration, which is another file."""
    return _PACK.dump_python(replace(pack, calibration=None), mode="json")


def pack_of(told: Any) -> Pack:
    """The pack that `pack_told` was given, with its calibration. Raises PackInvalid."""
    pack = _PACK.validate_python(told)
    return replace(pack, calibration=read_calibration(pack.folder / CALIBRATION, pack.model))


def seen(found: Seen, stages: Stages) -> bytes:
    """An answer with faces."""
    faces, embeddings = found
    frame = faces[0].frame if faces else None
    head = [stages.seconds.get(name, 0.0) for name in STAGES] + list(frame or (0, 0))
    numbers = [_numbers(face) for face in faces]
    body = b"".join(
        (
            np.array(head, dtype=np.float64).tobytes(),
            np.array(numbers, dtype=np.float64).tobytes(),
            embeddings.tobytes(),
            *(face.crop.tobytes() for face in faces),
        )
    )
    return ANSWER.pack(SEEN, len(faces), len(body)) + body


def embedded(raw: Floats, seconds: float) -> bytes:
    """An answer with the network's rows, float32[N, D]."""
    body = np.array([seconds]).tobytes() + raw.tobytes()
    return ANSWER.pack(EMBEDDED, len(raw), len(body)) + body


def size_of(kind: int, count: int, dimension: int, *, embed: bool) -> int:
    """Bytes that an answer of this kind must have; the most it may have where it is words.

    Raises ValueError for what no answer is.
    """
    if kind in (REFUSED, FAULT, BUG):
        return MOST_WORDS
    if count > MOST_FACES:
        raise ValueError("no picture has so many faces")
    row = 4 * dimension
    if kind == SEEN:
        return 8 * (len(STAGES) + 2) + count * (8 * _NUMBERS + _CROP_BYTES + row * embed)
    if kind == EMBEDDED:
        return 8 + count * row
    raise ValueError("no answer")


def seen_in(body: memoryview, count: int, dimension: int, stages: Stages, *, embed: bool) -> Seen:
    """What `seen` was given; `body` has the size that `size_of` tells. Raises ValueError."""
    head = np.frombuffer(body, np.float64, len(STAGES) + 2)
    at = head.nbytes
    numbers = np.frombuffer(body, np.float64, count * _NUMBERS, at).reshape(count, _NUMBERS)
    at += numbers.nbytes
    if not (np.isfinite(head).all() and np.isfinite(numbers).all()):
        raise ValueError("numbers that are none")
    rows = count if embed else 0
    embeddings = np.frombuffer(body, np.float32, rows * dimension, at).reshape(rows, dimension)
    at += embeddings.nbytes
    crops = np.frombuffer(body, np.uint8, count * _CROP_BYTES, at).reshape(count, *CROP)
    for name, seconds in zip(STAGES, head.tolist(), strict=False):
        if seconds:
            stages.add(name, seconds)
    width, height = head[-2:].tolist()
    frame = (int(width), int(height))
    return Seen(
        [_face(row, crop, frame) for row, crop in zip(numbers, crops, strict=True)], embeddings
    )


def rows_in(body: memoryview, count: int, dimension: int) -> tuple[Floats, float]:
    """What `embedded` was given; `body` has the size that `size_of` tells."""
    [seconds] = np.frombuffer(body, np.float64, 1)
    return np.frombuffer(body, np.float32, offset=8).reshape(count, dimension), float(seconds)


def _numbers(face: Face) -> Sequence[float]:
    box, quality = face.box, face.quality
    return (
        *(box.x, box.y, box.width, box.height),
        *face.landmarks.ravel().tolist(),
        face.score,
        *(quality.size, quality.sharpness, quality.brightness),
        *(quality.yaw, quality.pitch, quality.roll, quality.detection_score),
    )


def _face(row: NDArray[np.float64], crop: Pixels, frame: tuple[int, int]) -> Face:
    numbers = row.tolist()
    return Face(
        Box(*numbers[:4]),
        row[4:14].astype(np.float32).reshape(5, 2),
        numbers[14],
        Quality(*numbers[15:22]),
        crop,
        frame,
    )
