"""A load generator in a process of its own: raw HTTP/1.1 over asyncio, bounded in count and time.

    python -m tests.load URL PATH BODY-FILE BOUNDARY closed CLIENTS SECONDS
    python -m tests.load URL PATH BODY-FILE BOUNDARY open RATE SECONDS

closed: so many clients, each of which asks again as soon as it has its answer, and after
Retry-After where it was refused. open: so many
requests a second come whatever becomes of the others, each on a connection of its own. Prints a
JSON list of [seconds, status, Retry-After]; status 0 stands for a connection that broke. A time
runs from the moment of connecting (open) or sending (closed) to the last byte of the answer.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

MOST = 20_000
"""Requests of one run."""

IN_FLIGHT = 800
"""Open requests at once; beyond, an arrival is left out, and counted with status -1."""

Heard = list[tuple[float, int, str]]


class Load:
    def __init__(self, url: str, path: str, body: bytes, boundary: str) -> None:
        at = urlsplit(url)
        self._host, self._port = at.hostname or "", at.port or 80
        self._request = (
            f"POST {path} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n"
        ).encode() + body
        self.heard: Heard = []

    async def closed(self, clients: float, seconds: float) -> None:
        end = perf_counter() + seconds
        await asyncio.gather(*(self._client(end) for _ in range(int(clients))))

    async def open(self, rate: float, seconds: float) -> None:
        begin = perf_counter()
        asks: set[asyncio.Task[None]] = set()
        for number in range(min(MOST, int(rate * seconds))):
            await asyncio.sleep(max(0.0, begin + number / rate - perf_counter()))
            if len(asks) >= IN_FLIGHT:
                self.heard.append((0.0, -1, ""))
                continue
            ask = asyncio.create_task(self._one())
            asks.add(ask)
            ask.add_done_callback(asks.discard)
        await asyncio.gather(*asks)

    async def _client(self, end: float) -> None:
        while perf_counter() < end and len(self.heard) < MOST:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                while perf_counter() < end:
                    if not await self._ask(reader, writer, perf_counter()):
                        break
            finally:
                writer.close()
            await asyncio.sleep(float(self.heard[-1][2] or 0) if self.heard else 0)

    async def _one(self) -> None:
        begin = perf_counter()
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            self.heard.append((perf_counter() - begin, 0, ""))
            return
        await self._ask(reader, writer, begin)
        writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begin: float
    ) -> bool:
        """One request; whether the connection can take another."""
        try:
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            await reader.readexactly(int(fields["content-length"]))
        except (OSError, asyncio.IncompleteReadError):
            self.heard.append((perf_counter() - begin, 0, ""))
            return False
        status, wait = int(head.split(" ")[1]), fields.get("retry-after", "")
        self.heard.append((perf_counter() - begin, status, wait))
        return fields.get("connection") != "close"


def main(url: str, path: str, file: str, boundary: str, kind: str, *numbers: str) -> None:
    load = Load(url, path, Path(file).read_bytes(), boundary)
    run: dict[str, Callable[..., asyncio.Future[None]]] = {"closed": load.closed, "open": load.open}

    async def work() -> None:
        await run[kind](*(float(number) for number in numbers))

    asyncio.run(work())
    json.dump(load.heard, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
