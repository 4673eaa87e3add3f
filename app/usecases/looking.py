"""From the images of a request to the faces that are meant."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import ImageRefused
from app.store import collections
from app.types import Caller, Face
from app.vision.errors import FaceNotFound
from app.vision.faces import Vision


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


async def largest_face(vision: Vision, image: bytes, name: str) -> Face:
    """The largest face of an image. Raises FaceNotFound and what decoding refuses."""
    with naming(name):
        faces = by_size(await vision.faces(image, most=1))
        if not faces:
            raise FaceNotFound
        return faces[0]


def known_to(caller: Caller, collection: str) -> None:
    """Raises CollectionNotFound for a collection that the caller may not know of, as if it were
    not there, whether it is or not."""
    if not caller.sees(collection):
        raise collections.missing(collection)
