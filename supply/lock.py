"""A lock as `uv pip compile --generate-hashes` writes it, read strictly."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.markers import Marker

# Where the image runs the packages: markers that do not hold there name what is not in it.
_IMAGE: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.15",
    "python_version": "3.11",
    "sys_platform": "linux",
}
_ENTRY: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?==(?P<version>[^\s;]+)"
    r"(?:\s*;\s*(?P<marker>.+?))?(?P<hashes>(?:\s+--hash=\S+)*)"
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Refused(Exception):
    """A lock, licence or answer that may not be taken as it is; the message is for people."""


@dataclass(frozen=True, slots=True)
class Locked:
    """A package of a lock; `hashes` are the SHA-256 of the files that may be installed as it."""

    name: str
    version: str
    hashes: Sequence[str]
    marker: str | None

    @property
    def in_image(self) -> bool:
        return self.marker is None or Marker(self.marker).evaluate(_IMAGE)


def read_lock(path: Path) -> Sequence[Locked]:
    """Its packages, in order. Raises Refused for a line that is no pinned package with hashes."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [_entry(path, line.strip()) for line in joined.splitlines() if line.strip()]


def _entry(path: Path, line: str) -> Locked:
    found = _ENTRY.fullmatch(line)
    if found is None:
        raise Refused(f"{path}: '{line[:60]}' is no package pinned with ==.")
    given = found["hashes"].split()
    hashes = [each[1] for each in map(_HASH.fullmatch, given) if each]
    if not hashes or len(hashes) != len(given):
        raise Refused(f"{path}: {found['name']} has no hash, or one that is not SHA-256.")
    return Locked(found["name"].lower(), found["version"], hashes, found["marker"])
