"""What a backup's folder holds: `manifest.json`, written last, so a folder without one is none."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.store.backup import State
from app.store.errors import BackupFailed, RestoreRefused

DUMP: Final = "database.dump"
_MANIFEST: Final = "manifest.json"


class PackEntry(BaseModel):
    """A pack in the backup: its folder there, and the model that its templates are bound to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    name: str
    version: str
    model: str


class BackupManifest(BaseModel):
    """`files`: the SHA-256 of every file of the backup but this one, by its path in the folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    rollcall: str
    state: State
    packs: tuple[PackEntry, ...]
    files: Mapping[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]


def write(folder: Path, manifest: BackupManifest) -> None:
    """Complete the backup in `folder`, after its files are on the disk. Raises BackupFailed."""
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if damaged := _faults(folder, manifest):
        raise BackupFailed(f"In {folder} {damaged} right after writing. Use another disk.")
    half = folder / f"{_MANIFEST}.half"
    with half.open("w", encoding="utf-8") as file:
        file.write(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    half.replace(folder / _MANIFEST)
    for each in (folder, folder.absolute().parent):
        _sync_folder(each)


def read(folder: Path) -> BackupManifest:
    """The manifest of a backup whose files are all what it says. Raises RestoreRefused."""
    try:
        manifest = BackupManifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except OSError as error:
        raise RestoreRefused(
            f"{folder} is no complete backup: {_MANIFEST} cannot be read ({error.strerror})."
        ) from None
    except ValidationError as error:
        wrong = "; ".join(
            ".".join(map(str, each["loc"])) + ": " + each["msg"] for each in error.errors()
        )
        raise RestoreRefused(f"{folder / _MANIFEST} cannot be understood. {wrong}.") from None
    if DUMP not in manifest.files:
        raise RestoreRefused(f"{folder / _MANIFEST} names no {DUMP}.")
    if damaged := _faults(folder, manifest):
        raise RestoreRefused(f"This backup is damaged: {damaged}. Use another one.")
    return manifest


def hashes(folder: Path) -> Mapping[str, str]:
    """SHA-256 in hex of every file below `folder`, by its path there."""
    return {path.relative_to(folder).as_posix(): _hash(path) for path in _files(folder)}


def _faults(folder: Path, manifest: BackupManifest) -> str:
    found = hashes(folder)
    names = sorted(name for name in manifest.files if found.get(name) != manifest.files[name])
    return ", ".join(
        f"{name} {'is missing' if name not in found else 'has another SHA-256'}" for name in names
    )


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / _MANIFEST:
            yield path


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
