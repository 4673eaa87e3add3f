"""From the images of a request to the faces that are meant."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import ImageRefused
from app.store import collections
from app.types import Caller, Face, Floats
from app.vision.errors import FaceNotFound
from app.vision.faces import Choose, Vision


@contextmanager
def naming(image: str) -> Iterator[None]:
    """Let a refusal say which image of the request is meant."""
    try:
        yield
    except ImageRefused as refusal:
        refusal.facts.setdefault("image", image)
        raise


def by_size(faces: list[Face]) -> list[Face]:
    """Largest first; the detector's order decides between equals."""
    return sorted(faces, key=lambda face: -face.box.area)


def largest(count: int) -> Choose:
    """The largest `count` faces of an image, largest first; 0 stands for all."""
    return lambda faces: by_size(faces)[: count or None]


async def recognised(vision: Vision, image: bytes, name: str) -> tuple[Face, Floats]:
    """The largest face of an image and its embedding float32[D].

    Raises FaceNotFound and what decoding refuses.
    """
    with naming(name):
        seen = await vision.recognise(image, largest(1))
        if not seen.faces:
            raise FaceNotFound
        return seen.faces[0], seen.embeddings[0]


def known_to(caller: Caller, collection: str) -> None:
    """Raises CollectionNotFound for a collection that the caller may not know of, as if it were
    not there, whether it is or not."""
    if not caller.sees(collection):
        raise collections.missing(collection)
