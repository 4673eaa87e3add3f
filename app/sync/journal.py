"""From an answer to the audit record: a file that is on disk before the caller hears anything.

What changes data is recorded in the transaction that changes it. What only looks (identify, verify,
reading) must go on while PostgreSQL is away, so its records are written to a journal in the data
directory, many at a time with one fsync, and moved into PostgreSQL's chain a moment later. A crash
anywhere repeats the move at most, and a record that is there already is not added again.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from hashlib import sha256
from io import FileIO
from os import fsync
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from app.errors import Unavailable
from app.store import audit
from app.store.audit import Record
from app.store.database import Database
from app.store.errors import DatabaseUnavailable

log = structlog.get_logger()

_PAUSE: Final = 0.25
_CHUNK: Final = 500
_PROOF: Final = 16

Line = tuple[UUID, str]


class AuditUnavailable(Unavailable):
    """What was asked cannot be recorded, so it is not answered."""

    code = "audit_unavailable"


class Journal:
    """Records on their way to PostgreSQL. `folder` is this process's own, `most` its bytes."""

    def __init__(self, database: Database, folder: Path, *, most: int = 256_000_000) -> None:
        self._database = database
        self._folder = folder
        self._most = most
        self._size = 0
        self._number = 0
        self._file: FileIO | None = None
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._came = asyncio.Event()
        self._written = asyncio.Event()
        self._turn = asyncio.Lock()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin with what an earlier process left behind. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = self._segments()
        self._number = max((int(path.stem) for path in left), default=0)
        self._size = sum(path.stat().st_size for path in left)
        if left:
            self._written.set()
        self._loops = [asyncio.create_task(each()) for each in (self._write_on, self._move_on)]

    async def stop(self) -> None:
        """Write what waits, and move what can be moved; the rest stays for the next start."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._write_down()
        with contextlib.suppress(DatabaseUnavailable):
            await self._move()

    async def write(self, record: Record) -> None:
        """Return once the record is on disk. Raises AuditUnavailable where it cannot be."""
        if self._size > self._most:
            raise AuditUnavailable(
                "The audit record is full of what PostgreSQL has not taken yet. Try again later."
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, done))
        self._came.set()
        await done

    async def _write_on(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            await self._write_down()

    async def _write_down(self) -> None:
        """All that waits, with one fsync. Whoever comes meanwhile is in the next round."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            body = b"".join(_line(record) for record, _ in waiting)
            async with self._turn:
                await asyncio.to_thread(self._append, body)
        except Exception as error:  # whatever it is, nobody may be left waiting
            log.error("audit.not_written", error=type(error).__name__)
            for _, done in waiting:
                if not done.done():
                    done.set_exception(
                        AuditUnavailable("This cannot be recorded now, so it was not done.")
                    )
            return
        self._written.set()
        for _, done in waiting:
            if not done.done():
                done.set_result(None)

    def _append(self, body: bytes) -> None:
        if self._file is None:
            self._number += 1
            path = self._folder / f"{self._number:012}.jsonl"
            path.touch(mode=0o600)
            self._file = path.open("ab", buffering=0)
        begin = self._file.tell()
        try:
            left = memoryview(body)
            while left:
                left = left[self._file.write(left) :]
            fsync(self._file.fileno())
        except OSError:
            # Half a line would hide what comes behind it.
            with contextlib.suppress(OSError):
                self._file.truncate(begin)
            self._close()
            raise
        self._size += len(body)

    async def _move_on(self) -> None:
        while True:
            await self._written.wait()
            self._written.clear()
            try:
                await self._move()
            except DatabaseUnavailable:
                self._written.set()  # what is left is tried again
            except Exception:  # the loop must outlive any fault of one round
                self._written.set()
                log.error("audit.failed", exc_info=True)
            await asyncio.sleep(_PAUSE)

    async def _move(self) -> None:
        """Close the segment that is written to, and move every closed one."""
        async with self._turn:
            self._close()
            segments = self._segments()
        for path in segments:
            lines = await asyncio.to_thread(_lines, path)
            for begin in range(0, len(lines), _CHUNK):
                await self._hand_over(lines[begin : begin + _CHUNK])
            size = path.stat().st_size
            path.unlink()
            self._size -= size

    async def _hand_over(self, lines: Sequence[Line]) -> None:
        async with self._database.transaction() as connection:
            await audit.append(connection, lines)

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _line(record: Record) -> bytes:
    """A record with a proof in front, so that a line that was cut or changed is told apart."""
    body = record.id.hex.encode() + b" " + record.text().encode()
    return sha256(body).hexdigest()[:_PROOF].encode() + b" " + body + b"\n"


def _lines(path: Path) -> list[Line]:
    """The whole lines of a segment. The last may be half: then nobody was answered for it."""
    lines = []
    for raw in path.read_bytes().split(b"\n")[:-1]:
        proof, _, body = raw.partition(b" ")
        if sha256(body).hexdigest()[:_PROOF].encode() != proof:
            log.error("audit.line_damaged", segment=path.name)
            continue
        record_id, _, record = body.partition(b" ")
        lines.append((UUID(record_id.decode()), record.decode()))
    return lines
