"""A load generator in a process of its own: HTTP/1.1 on bare sockets, requests made beforehand.

It shares the machine with the service, so it computes as little as it can, and says how much.
`Generator` is its other end. It reads a line of JSON for each run and answers with one.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from benchmarks.local import ROOT

_BOUNDARY: Final = "rollcall-benchmark"
_PATIENCE: Final = 60.0
"""Seconds without any answer after which a run is given up."""

Done = Callable[["Connection"], None]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one run heard. `rate` counts the 2xx that came within the run, by its seconds.

    `cpu` is the processor time of the generator. `slowest`, `p50`, `p99` are seconds from the
    moment at which a request was due to the last byte of its answer. `bodies` are only kept when
    every picture is asked for once, in their order.
    """

    rate: float
    count: int
    p50: float
    p99: float
    slowest: float
    statuses: Mapping[str, int]
    cpu: float
    bodies: Sequence[Any]


class Generator:
    """Asks a service at `url` for `pictures`, each as the file `field` of a form with `fields`."""

    def __init__(
        self,
        url: str,
        path: str,
        pictures: Sequence[Path],
        field: str = "image",
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask(
            url=url,
            path=path,
            pictures=[str(each) for each in pictures],
            field=field,
            fields=dict(fields or {}),
        )

    def closed(self, clients: int, seconds: float) -> Heard:
        """So many clients, each of which asks again as soon as it has its answer."""
        return Heard(**self._ask(kind="closed", number=clients, seconds=seconds))

    def open(self, rate: float, seconds: float) -> Heard:
        """So many requests a second at random moments (Poisson), whatever becomes of the others."""
        return Heard(**self._ask(kind="open", number=rate, seconds=seconds))

    def each(self, clients: int) -> Heard:
        """Every picture once."""
        return Heard(**self._ask(kind="each", number=clients, seconds=0.0))

    def close(self) -> None:
        self._process.communicate()

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, **what: Any) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("both are pipes, as they were opened")
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The load generator ended by itself; what it said is above.")
        return json.loads(line)


class Connection(asyncio.Protocol):
    """One connection, one request at a time; `done` is called when its answer is there."""

    def __init__(self) -> None:
        self.picture = 0
        self.due = 0.0
        self.status = 0
        self.body = b""
        self.retry_after = 0.0
        self.usable = True
        self._got = bytearray()
        self._size = -1
        self._done: Done | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self.usable = False
        self._answered(0)

    def ask(self, request: bytes, done: Done) -> None:
        self._done = done
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._size < 0:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._got[:end]).lower()
            self.status = int(head[9:12])
            self.usable = b"\r\nconnection: close" not in head
            self.retry_after = float(_header(head, b"retry-after") or 0)
            self._size = end + 4 + int(_header(head, b"content-length") or 0)
            self._head = end + 4
        if len(self._got) >= self._size:
            self.body = bytes(self._got[self._head : self._size])
            del self._got[: self._size]
            self._size = -1
            self._answered(self.status)

    def _answered(self, status: int) -> None:
        self.status = status
        done, self._done = self._done, None
        if done is not None:
            done(self)


def _header(head: bytes, name: bytes) -> bytes:
    begin = head.find(b"\r\n" + name + b": ")
    if begin < 0:
        return b""
    begin += len(name) + 4
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else None]


class Run:
    """One run: requests go out over connections that are kept, and answers are written down."""

    def __init__(self, url: str, requests: Sequence[bytes]) -> None:
        at = urlsplit(url)
        self._at = at.hostname, at.port
        self._requests = requests
        self._connections: list[Connection] = []
        self._idle: list[Connection] = []
        self._under_way = 0
        self._all_answered = asyncio.Event()
        self.heard: list[tuple[float, float, int]] = []
        self.bodies: dict[int, Any] = {}

    async def closed(self, clients: float, seconds: float) -> None:
        end = perf_counter() + seconds
        await self._chains(int(clients), lambda number: perf_counter() < end, keep=False)

    async def each(self, clients: float, _seconds: float) -> None:
        await self._chains(int(clients), lambda number: number < len(self._requests), keep=True)

    async def open(self, rate: float, seconds: float) -> None:
        chance = random.Random(1)
        due = begin = perf_counter()
        number = 0
        while due < begin + seconds:
            wait = due - perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            connection = self._idle.pop() if self._idle else await self._connect()
            self._send(connection, number, due, self._rest)
            number += 1
            due += chance.expovariate(rate)
        await self._finish()

    async def _chains(self, clients: int, more: Callable[[int], bool], *, keep: bool) -> None:
        numbers = iter(range(1 << 60))
        loop = asyncio.get_running_loop()

        def go_on(connection: Connection) -> None:
            self._note(connection)
            refused = connection.status in (429, 503)
            if keep and connection.status != 0 and not refused:
                self.bodies[connection.picture] = [connection.status, json.loads(connection.body)]
            if keep and refused:
                again = connection.picture
                loop.call_later(connection.retry_after, send, connection, again)
            elif connection.usable:
                loop.call_later(connection.retry_after, following, connection)
            else:
                raise SystemExit("The service closed a connection.")

        def following(connection: Connection) -> None:
            number = next(numbers)
            if more(number):
                send(connection, number)

        def send(connection: Connection, number: int) -> None:
            self._send(connection, number, perf_counter(), go_on)

        for connection in [await self._connect() for _ in range(clients)]:
            following(connection)
        await self._finish()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, *self._at)
        self._connections.append(connection)
        return connection

    def _send(self, connection: Connection, number: int, due: float, done: Done) -> None:
        connection.picture = number % len(self._requests)
        connection.due = due
        self._under_way += 1
        self._all_answered.clear()
        connection.ask(self._requests[connection.picture], done)

    def _rest(self, connection: Connection) -> None:
        self._note(connection)
        if connection.usable:
            self._idle.append(connection)

    def _note(self, connection: Connection) -> None:
        now = perf_counter()
        self.heard.append((now, now - connection.due, connection.status))
        self._under_way -= 1
        if not self._under_way:
            self._all_answered.set()

    async def _finish(self) -> None:
        heard = -1
        while self._under_way and heard < len(self.heard):  # as long as answers come
            heard = len(self.heard)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_answered.wait(), _PATIENCE)
            await asyncio.sleep(0)  # a client that goes on does so now
        if self._under_way:
            raise SystemExit(f"{self._under_way} requests were not answered in {_PATIENCE:g} s.")
        for connection in self._connections:
            connection.close()


def main() -> None:
    setting = json.loads(sys.stdin.readline())
    requests = [
        _request(setting["url"], setting["path"], Path(each), setting["field"], setting["fields"])
        for each in setting["pictures"]
    ]
    print(json.dumps(len(requests)), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(asyncio.run(_run(setting["url"], requests, asked))), flush=True)


async def _run(url: str, requests: Sequence[bytes], asked: Mapping[str, Any]) -> dict[str, Any]:
    run = Run(url, requests)
    kinds = {"closed": run.closed, "open": run.open, "each": run.each}
    begin, cpu = perf_counter(), process_time()
    await kinds[asked["kind"]](asked["number"], asked["seconds"])
    seconds = asked["seconds"] or perf_counter() - begin
    good = [(at, took) for at, took, status in run.heard if status // 100 == 2]
    took = [each for _, each in good] or [float("nan")]
    p50, p99 = np.percentile(took, (50, 99))
    statuses = [str(status) for _, _, status in run.heard]
    return {
        "rate": sum(at <= begin + seconds for at, _ in good) / seconds,
        "count": len(run.heard),
        "p50": float(p50),
        "p99": float(p99),
        "slowest": max(took),
        "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
        "cpu": process_time() - cpu,
        "bodies": [run.bodies[number] for number in sorted(run.bodies)],
    }


def _request(url: str, path: str, picture: Path, field: str, fields: Mapping[str, str]) -> bytes:
    part = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = [f'{part}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    head = f'{part}"{field}"; filename="image.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = b"".join(parts) + head.encode() + picture.read_bytes() + f"\r\n--{_BOUNDARY}--".encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n\r\n"
    ).encode() + body


if __name__ == "__main__":
    main()
