"""Folders of aligned faces, decoded once into memory."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

PICTURE_SIZE: Final = 160
CROP_SIZE: Final = 112
MARGIN: Final = (PICTURE_SIZE - CROP_SIZE) // 2
TRAIN_FOLDERS: Final = ("celeba/train", "families/train")
VAL_FOLDERS: Final = ("celeba/val", "families/val")


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Aligned faces of labelled people.

    ``pictures`` is uint8 [n, 160, 160, 3], RGB; its inner 112x112 is the ``arcface-112`` crop.
    ``labels`` is int64 [n], an index into ``identities``. ``fingerprint`` is the SHA-256 over
    every file's relative path and bytes, in order.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    identities: tuple[str, ...]
    fingerprint: str

    def crops(self) -> NDArray[np.uint8]:
        """The aligned crops, a view: uint8 [n, 112, 112, 3]."""
        return self.pictures[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def load_faces(root: Path, folders: Sequence[str]) -> Faces:
    """Read ``root/FOLDER/IDENTITY/*.webp`` of every folder, in sorted order.

    Raises:
        FileNotFoundError: no picture was found.
        ValueError: a picture cannot be decoded or is not 160x160.
    """
    files = [file for folder in folders for file in sorted((root / folder).glob("*/*.webp"))]
    if not files:
        raise FileNotFoundError(f"no */*.webp in {', '.join(folders)} of {root}")
    pictures = np.empty((len(files), PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    digest = hashlib.sha256()

    def decode(index: int) -> bytes:
        content = files[index].read_bytes()
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if picture is None or picture.shape != pictures.shape[1:]:
            raise ValueError(f"{files[index]} is not a {PICTURE_SIZE}x{PICTURE_SIZE} picture")
        pictures[index] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return hashlib.sha256(content).digest()

    with ThreadPoolExecutor() as pool:
        for file, content_digest in zip(files, pool.map(decode, range(len(files))), strict=True):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + content_digest)
    names = [file.parent.relative_to(root).as_posix() for file in files]
    identities = tuple(sorted(set(names)))
    number = {name: index for index, name in enumerate(identities)}
    return Faces(
        pictures=pictures,
        labels=np.array([number[name] for name in names], np.int64),
        identities=identities,
        fingerprint=digest.hexdigest(),
    )
