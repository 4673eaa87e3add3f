"""Where a service runs on a data directory, so that commands on the same machine find it.

The service holds a lock on the file for as long as it lives, and the kernel lets go with the
process: what a killed service left is never taken for a running one, whoever has its number or its
port by then.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAME: Final = "service.json"
_TRIES: Final = 5
_PAUSE: Final = 0.02
# Addresses to listen on that are none to connect to.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (told apart, not bound)


@dataclass(frozen=True, slots=True)
class Running:
    """A service that lives: where it listens, and the number of its process."""

    url: str
    pid: int


@contextlib.contextmanager
def announced(data_dir: Path, host: str, port: int) -> Iterator[None]:
    """Let commands find the service of this process; a second one of the same folder is not told.

    host, port: as bound.
    """
    path = data_dir / _NAME
    with _opened(path) as file:
        if not _taken(file):
            yield
            return
        host = _EVERYWHERE.get(host, host)
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        os.truncate(file, 0)
        os.write(file, json.dumps({"url": url, "pid": os.getpid()}).encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def running(data_dir: Path) -> Running | None:
    """The service that works on `data_dir`, if one has said so and lives."""
    try:
        with (data_dir / _NAME).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = json.load(file)
                return Running(str(said["url"]), int(said["pid"]))
    except (OSError, ValueError, KeyError, TypeError):  # none, or one that is being written
        return None
    return None  # nobody holds it: its service was killed


def _taken(file: int) -> bool:
    """Whether the lock is ours now. A command that looks holds it for a moment."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_PAUSE)
    return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)
        yield file
    finally:
        os.close(file)
