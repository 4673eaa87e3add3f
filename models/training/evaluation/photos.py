"""Raw photos as a pack sees them: found and aligned by its detector, embedded by its recognizer."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.errors import ImageRefused
from app.types import Detection, Floats, ImageLimits, Pixels
from app.vision.align import align
from app.vision.decode import decode
from app.vision.detect import Detector, open_detector
from app.vision.directions import normalised
from app.vision.embed import Recognizer
from app.vision.pack import DetectorPart
from models.training.data.source import in_order
from models.training.errors import TrainingDataError

log = logging.getLogger(__name__)

BATCH: Final = 256


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Pictures by name with their embeddings float32 [n, D], L2-normalised; NaN without a face."""

    names: tuple[str, ...]
    rows: Floats

    @property
    def missed(self) -> tuple[str, ...]:
        """Pictures in which no face was found."""
        lost = np.flatnonzero(np.isnan(self.rows[:, 0]))
        return tuple(self.names[index] for index in lost)

    def of(self, wanted: Sequence[str]) -> Floats:
        """The rows of these pictures, in this order. Raises TrainingDataError for unknown ones."""
        place = {name: index for index, name in enumerate(self.names)}
        if unknown := [name for name in wanted if name not in place]:
            raise TrainingDataError(
                f"The list names {len(unknown)} pictures that are not in the folder, such as "
                f"{unknown[0]}."
            )
        return self.rows[[place[name] for name in wanted]]


def central_face(found: Sequence[Detection], width: int, height: int) -> Detection | None:
    """The largest face whose box holds the picture's centre, else the largest; None of none."""

    def rank(face: Detection) -> tuple[bool, float]:
        box = face.box
        inside_x = box.x <= width / 2 <= box.x + box.width
        inside_y = box.y <= height / 2 <= box.y + box.height
        return inside_x and inside_y, box.area

    return max(found, key=rank, default=None)


def decoded(content: bytes, name: str) -> Pixels:
    """The picture uint8 [H, W, 3], RGB. Raises TrainingDataError that names it."""
    try:
        return decode(content, ImageLimits())
    except ImageRefused as error:
        raise TrainingDataError(f"{name}: {error}") from None


def crop_of(pixels: Pixels, detector: Detector) -> Pixels | None:
    """The aligned crop uint8 [112, 112, 3] of a picture's central face, None without a face."""
    face = central_face(detector.detect(pixels), pixels.shape[1], pixels.shape[0])
    return None if face is None else align(pixels, face.landmarks)


def align_photos(
    folder: Path, names: Sequence[str], part: DetectorPart, cache: Path | None = None
) -> dict[str, Pixels]:
    """Crops of the photos in which a face was found, by name; the others are not in the answer.

    ``cache`` is a file that keeps the crops between runs. It goes by each photo's content and by
    the detector's hash: what another detector made is dropped.

    Raises TrainingDataError for a photo that cannot be decoded, FileNotFoundError for a missing.
    """
    contents = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    known = _read_cache(cache, part.sha256) if cache else {}
    fresh = [name for name in names if contents[name] not in known]
    if fresh:
        detector = open_detector(part, "cpu")

        def work(name: str) -> Pixels | None:
            return crop_of(decoded((folder / name).read_bytes(), str(folder / name)), detector)

        crops = in_order(lambda index: work(fresh[index]), len(fresh), "align")
        for name, crop in zip(fresh, crops, strict=True):
            known[contents[name]] = crop
        if cache:
            _write_cache(cache, part.sha256, known)
    found = {name: known[contents[name]] for name in names}
    return {name: crop for name, crop in found.items() if crop is not None}


def embed(recognizer: Recognizer, crops: Sequence[Pixels] | Pixels) -> Floats:
    """Embeddings float32 [n, D] of length one of crops uint8 [112, 112, 3], with progress."""
    return normalised(embed_raw(recognizer, crops))


def embed_raw(recognizer: Recognizer, crops: Sequence[Pixels] | Pixels) -> Floats:
    """The same, of the length that the network gave them."""
    rows = [np.empty((0, recognizer.dimension), np.float32)]
    with tqdm(total=len(crops), desc="embed", disable=None) as progress:
        for start in range(0, len(crops), BATCH):
            batch = np.stack(list(crops[start : start + BATCH]))
            rows.append(recognizer.raw(batch))
            progress.update(len(batch))
    return np.concatenate(rows)


def embed_photos(
    folder: Path,
    names: Sequence[str],
    *,
    part: DetectorPart,
    recognizer: Recognizer,
    cache: Path | None = None,
) -> Embedded:
    """Photos through detector and recognizer. Raises as ``align_photos`` does."""
    crops = align_photos(folder, names, part, cache)
    rows = np.full((len(names), recognizer.dimension), np.nan, np.float32)
    rows[[name in crops for name in names]] = embed(recognizer, list(crops.values()))
    embedded = Embedded(names=tuple(names), rows=rows)
    if embedded.missed:
        log.warning("no face in %d of %d: %s", len(embedded.missed), len(names), embedded.missed)
    return embedded


def _read_cache(cache: Path, detector: str) -> dict[str, Pixels | None]:
    if not cache.is_file():
        return {}
    with np.load(cache) as kept:
        if "contents" not in kept or str(kept["detector"]) != detector:
            log.warning("%s was made by another detector; it is made anew", cache)
            return {}
        crops: NDArray[np.uint8] = kept["crops"]
        found: dict[str, Pixels | None] = dict(zip(kept["contents"].tolist(), crops, strict=True))
        return found | dict.fromkeys(kept["missed"].tolist())


def _write_cache(cache: Path, detector: str, known: dict[str, Pixels | None]) -> None:
    crops = {content: crop for content, crop in known.items() if crop is not None}
    missed = [content for content, crop in known.items() if crop is None]
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial = cache.with_name(cache.name + ".part")
    with partial.open("wb") as file:  # a name without .npz would be changed by NumPy
        np.savez(
            file,
            detector=detector,
            contents=np.array(list(crops), "U64"),
            crops=np.stack([*crops.values()]) if crops else np.empty((0, 112, 112, 3), np.uint8),
            missed=np.array(missed, "U64"),
        )
    partial.replace(cache)
