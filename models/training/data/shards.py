"""WebDataset shards: tar files whose members of one name form a sample."""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from tqdm import tqdm

from models.training.data.source import check_labels, fingerprint_of
from models.training.errors import TrainingDataError

Value = TypeVar("Value")

PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp")
LABELS: Final = (".cls", ".json")
FIELDS: Final = ("label", "cls")  # of a .json
RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
WILD: Final = re.compile(r"[*?\[]")
PACKED: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


@dataclass
class _Sample:
    """One sample while its shard is read: where its picture lies, and its label."""

    name: str
    pictures: list[tuple[int, int]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


class Shards:
    """Samples of uncompressed tar files, found once and then read by offset, in any order.

    The name of a sample is that of its members up to the first dot after the last slash. It has
    one picture (.jpg, .jpeg, .png, .webp) and one label: ``.cls`` with a number, or ``.json``
    that is a number or has one as "label" or "cls". Other members are ignored. Identities are
    named by their labels.

    ``patterns`` are paths, with ``{000..012}`` for a range or ``*`` for whatever is there.

    Raises:
        FileNotFoundError: no such shard.
        TrainingDataError: a shard is compressed, damaged or cut short; a sample lacks its picture
            or label; a label is out of range or without pictures.
    """

    def __init__(self, *patterns: str | Path) -> None:
        self.paths = [path for pattern in patterns for path in expand(str(pattern))]
        self._names: list[str] = []
        places: list[tuple[int, int, int]] = []
        labels = []
        for number, path in enumerate(tqdm(self.paths, "index", unit="shard", disable=None)):
            for sample in _samples(path):
                self._names.append(f"{path.name}/{sample.name}")
                places.append((number, *_only(sample.pictures, path, sample.name, PICTURES)))
                labels.append(_only(sample.labels, path, sample.name, LABELS))
        if not labels:
            raise TrainingDataError(f"{self.paths[0]} is empty, and so are all shards given.")
        self._places = np.array(places, np.int64)
        self.labels = np.array(labels, np.int64)
        classes = int(self.labels.max()) + 1
        check_labels(self.labels, classes, self.name)
        self.identities = tuple(str(label) for label in range(classes))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over label, shard, name and bytes of every picture."""
        pairs = zip(self.labels, self._names, strict=True)
        return fingerprint_of([f"{label}/{name}" for label, name in pairs], self.read)

    def name(self, index: int) -> str:
        return self._names[index]

    def read(self, index: int) -> bytes:
        shard, offset, size = (int(value) for value in self._places[index])
        with self.paths[shard].open("rb") as file:
            file.seek(offset)
            return file.read(size)


def expand(pattern: str) -> list[Path]:
    """The files that a pattern names, in order. Raises FileNotFoundError for one that is missing.

    A range is as wide as its first number is written: ``{08..11}`` is 08, 09, 10, 11.
    """
    found = RANGE.search(pattern)
    if found:
        first, last = found.groups()
        numbers = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
        ends = pattern[: found.start()], pattern[found.end() :]
        return [path for number in numbers for path in expand(number.join(ends))]
    path = Path(pattern)
    if WILD.search(path.name):
        paths = sorted(path.parent.glob(path.name))
        if not paths:
            raise FileNotFoundError(f"No file is named like {pattern}.")
        return paths
    if not path.is_file():
        raise FileNotFoundError(f"There is no shard {path}.")
    return [path]


def _samples(path: Path) -> Iterator[_Sample]:
    """Samples of one shard, in the order in which they begin."""
    samples: dict[str, _Sample] = {}
    size = path.stat().st_size
    with path.open("rb") as content:
        _check_unpacked(path, content.read(8))
        for member in _members(path):
            folder, slash, file = member.name.rpartition("/")
            stem, dot, extension = file.partition(".")
            name, extension = folder + slash + stem, (dot + extension).lower()
            if not member.isfile() or not stem or extension not in PICTURES + LABELS:
                continue
            if member.offset_data + member.size > size:
                raise TrainingDataError(
                    f"{path} is cut short: {member.name} at offset {member.offset_data} needs "
                    f"{member.size} bytes, {size - member.offset_data} are left. Fetch it again."
                )
            sample = samples.setdefault(name, _Sample(name))
            if extension in PICTURES:
                sample.pictures.append((member.offset_data, member.size))
            else:
                content.seek(member.offset_data)
                sample.labels.append(_label(content.read(member.size), path, member.name))
    yield from samples.values()


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(path, "r:") as archive:
            yield from archive
            end = archive.offset
    except tarfile.TarError as error:
        raise TrainingDataError(
            f"{path} cannot be read as a tar file: {error}. Fetch it again."
        ) from None
    # The library takes a broken header for the end; a true end is marked by zeros.
    with path.open("rb") as content:
        content.seek(end)
        if content.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise TrainingDataError(
                f"{path} is cut short or damaged at offset {end}: neither a member nor the end of "
                "the archive is there. Fetch it again."
            )


def _check_unpacked(path: Path, start: bytes) -> None:
    for mark, kind in PACKED:
        if start.startswith(mark):
            raise TrainingDataError(
                f"{path} is compressed ({kind}), and pictures are read from the middle of shards. "
                "Unpack it to a plain .tar."
            )


def _label(content: bytes, path: Path, member: str) -> int:
    """The number in a .cls or .json."""
    try:
        value = json.loads(content)
        if isinstance(value, dict):
            value = next(value[key] for key in FIELDS if key in value)
        if type(value) is int:
            return value
    except (ValueError, StopIteration):
        pass
    raise TrainingDataError(
        f"{path}, {member}: '{content[:40].decode(errors='replace').strip()}' is no label. Write "
        'the number of the identity, or {"label": NUMBER} in a .json.'
    )


def _only(found: list[Value], path: Path, name: str, kinds: tuple[str, ...]) -> Value:
    if len(found) == 1:
        return found[0]
    raise TrainingDataError(
        f"{path}: sample {name} has {len(found)} members of {', '.join(kinds)}; it needs one."
    )
