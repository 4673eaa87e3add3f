"""The value types that cross rooms, in the words of ISO/IEC 2382-37 (docs/architecture.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An upright picture or a crop: uint8[H, W, 3], RGB."""

Floats = NDArray[np.float32]
"""An embedding float32[D] of length one, or rows of them float32[N, D]."""

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""The order of landmarks everywhere; left means left in the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What an image may be, checked from its header before a pixel is decoded."""

    max_bytes: int = 10_000_000
    max_pixels: int = 50_000_000


Scope = Literal["identify", "verify", "enroll", "read", "delete", "embeddings", "metrics", "admin"]
"""What an API key may be allowed to do. None includes another."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an API key; with `key_id` None whoever reaches a service that asks for none, or
    the service itself.

    `collections` are the names that the key may know of; None means all.
    """

    key_id: str | None
    scopes: frozenset[Scope]
    collections: frozenset[str] | None
    request_id: str

    def sees(self, collection: str) -> bool:
        """Whether a collection of that name can exist for this caller."""
        return self.collections is None or collection in self.collections


@dataclass(frozen=True, slots=True)
class Box:
    """A region in pixels of the upright picture; x and y are its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright picture as it was decoded: whole, or smaller than its `height` and `width`."""

    pixels: Pixels
    height: int
    width: int

    @classmethod
    def whole(cls, pixels: Pixels) -> "Decoded":
        return cls(pixels, *pixels.shape[:2])

    @property
    def is_whole(self) -> bool:
        return self.pixels.shape[:2] == (self.height, self.width)


@dataclass(frozen=True, slots=True)
class Detection:
    """A region that a detector calls a face. `landmarks` is float32[5, 2] in pixels."""

    box: Box
    landmarks: Floats
    score: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What can be measured of a face before it is recognised.

    size: the shorter side of the box in pixels. sharpness: variance of the Laplacian over the
    grey crop, higher is sharper. brightness: mean luma of the crop, 0 to 1. yaw, pitch, roll:
    degrees, estimated from the five landmarks; zero looks into the camera.
    """

    size: float
    sharpness: float
    brightness: float
    yaw: float
    pitch: float
    roll: float
    detection_score: float


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face, with its crop: uint8[112, 112, 3], RGB, aligned by its landmarks.

    `frame` is width and height of the upright picture that it was found in, where that is known.
    """

    box: Box
    landmarks: Floats
    score: float
    quality: Quality
    crop: Pixels
    frame: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Templates on their way into an index: face and person ids as uint8[N, 16], float32[N, D]."""

    faces: NDArray[np.uint8]
    persons: NDArray[np.uint8]
    vectors: Floats

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person offered for a probe: the best of that person's templates and its similarity.

    `source` is the number of the gallery it was found in, where several were searched.
    """

    person_id: UUID
    face_id: UUID
    similarity: float
    source: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """Where a collection's history stands: its revision and the digest chained up to it."""

    revision: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Person:
    """An enrolled identity, without its templates.

    `consent` is the caller's reference to the person's consent; after `expires_at` the person is
    erased.
    """

    id: UUID
    collection: str
    name: str | None
    external_id: str | None
    metadata: Mapping[str, Any]
    consent: str | None
    expires_at: datetime | None
    face_count: int
