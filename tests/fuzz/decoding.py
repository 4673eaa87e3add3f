"""What the targets of the image formats share: seeds out of the corpus, and what is a finding."""

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["app", "PIL"]):
    from app.errors import ImageRefused
    from app.types import ImageLimits
    from app.vision.decode import decode

from PIL import Image

from tests.hostile import hostile_files

# Small pictures: what is looked for are faults, not waiting.
LIMITS = ImageLimits(max_bytes=200_000, max_pixels=250_000)
SEED_BYTES = 30_000


def decode_or_refuse(data: bytes) -> None:
    """Anything but a whole picture or a refusal is a finding."""
    try:
        pixels = decode(data, LIMITS)
    except ImageRefused:
        return
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.flags.c_contiguous
    assert 0 < pixels.shape[0] * pixels.shape[1] <= LIMITS.max_pixels


def seeds(start: bytes) -> list[bytes]:
    """The files of the corpus that begin so, made from a picture of 32 x 40 pixels."""
    gradient = Image.linear_gradient("L").resize((32, 40))
    picture = Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(180)))
    file = io.BytesIO()
    picture.save(file, "PNG")
    files = (each.data for each in hostile_files(file.getvalue()))
    return [data for data in files if data.startswith(start) and len(data) <= SEED_BYTES]


def fuzz(target: Callable[[bytes], None], seeds: list[bytes]) -> None:
    """Run `target`, a function of bytes, with the options of libFuzzer on the command line."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number, seed in enumerate(seeds):
        (folder / f"{number:03}").write_bytes(seed)
    options = [sys.argv[0], str(folder), "-timeout=10", "-rss_limit_mb=2048", *sys.argv[1:]]
    atheris.Setup(options, target)
    atheris.Fuzz()
