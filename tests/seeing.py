"""Packs at work without a service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.types import ImageLimits
from app.vision.decoder import Decoder
from app.vision.faces import Vision
from app.vision.opening import Opening
from app.vision.pack import read_pack
from app.vision.threads import Threads


def opening(**given: Any) -> Opening:
    usual = {
        "device": "cpu",
        "limits": ImageLimits(),
        "seconds": 60.0,
        "workers": 2,
        "embed_batch": 1,
        "depth": 100,
        "patience": 60.0,
        "deadline": 60.0,
    }
    return Opening(**(usual | given))


@contextmanager
def in_threads(folder: Path, how: Opening | None = None) -> Iterator[Vision]:
    """A pack as it works before a GPU, on this machine's CPU. Any event loop may use it."""
    how = how or opening()
    pack, decoder = read_pack(folder), Decoder(how.limits, seconds=how.seconds)
    crew = Threads(
        pack, how.device, workers=how.workers, embed_batch=how.embed_batch, decoder=decoder
    )
    yield Vision(pack, crew, depth=how.depth, patience=how.patience, deadline=how.deadline)
    decoder.close()
