"""From the images of a request to the faces that are meant."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from app.errors import ImageRefused
from app.settings import QualityLimits
from app.store import collections
from app.types import Caller, Face, Floats
from app.vision.errors import FaceNotFound
from app.vision.faces import Vision
from app.vision.quality import refusals


@contextmanager
def naming(image: str) -> Iterator[None]:
    """Let a refusal say which image of the request is meant."""
    try:
        yield
    except ImageRefused as refusal:
        refusal.facts.setdefault("image", image)
        raise


async def recognised(vision: Vision, image: bytes, name: str) -> tuple[Face, Floats]:
    """The largest face of an image and its embedding float32[D].

    Raises FaceNotFound and what decoding refuses.
    """
    with naming(name):
        seen = await vision.recognise(image, most=1)
        if not seen.faces:
            raise FaceNotFound
        return seen.faces[0], seen.embeddings[0]


def good_enough(faces: Sequence[Face], limits: QualityLimits | None) -> list[Face]:
    """Those that are as good as `limits`, where there are any, in their order."""
    return [face for face in faces if limits is None or not refusals(face.quality, limits)]


def known_to(caller: Caller, collection: str) -> None:
    """Raises CollectionNotFound for a collection that the caller may not know of, as if it were
    not there, whether it is or not."""
    if not caller.sees(collection):
        raise collections.missing(collection)
