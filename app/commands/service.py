"""The service that a command asks: one elsewhere, the one on this data directory, or one for now.

The last is the application itself, started inside the command and asked without a port. Whoever
may open the data directory may do everything there, so it asks for no key; its records name no
key, and a request id that begins with `command-line`.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx
from rollcall_client import AsyncRollcall
from rollcall_client.errors import (
    RollcallError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unreachable,
)

from app import logs
from app.commands.exits import Failed, NotNow
from app.commands.running import running
from app.settings import Settings, is_loopback

# How often a request is repeated: a person waits for seconds, a bulk run for a service's restart.
IMPATIENT: Final = 3
PATIENT: Final = 10
_TIMEOUT: Final = 600.0  # an audit of a large gallery sends nothing before it is done

Work = Callable[[argparse.Namespace, AsyncRollcall], Awaitable[int | None]]


def add_service_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "the service",
        "Without --url: the service that runs on this data directory (ROLLCALL_DATA_DIR), or, "
        "where none runs, the application itself for as long as the command takes. A key is never "
        "given as an option, since every user of the machine can read options (ps).",
    )
    group.add_argument(
        "--url", metavar="URL", help="a running service, http://host:port (or ROLLCALL_URL)"
    )
    group.add_argument(
        "--key-file", type=Path, metavar="FILE", help="a file with the API key (or ROLLCALL_KEY)"
    )


def asking(
    work: Work, *, retries: int = IMPATIENT
) -> Callable[[argparse.Namespace, Settings], int]:
    """What a parser sets as `run`: `work` with a client of the service that is meant."""

    async def run(asked: argparse.Namespace, settings: Settings) -> int:
        try:
            async with service(asked, settings, retries=retries) as client:
                return await work(asked, client) or 0
        except RollcallError as error:
            raise in_words(error) from None

    return lambda asked, settings: asyncio.run(run(asked, settings))


def named_url(asked: argparse.Namespace) -> str | None:
    """The service that the caller named, if any."""
    return asked.url or os.environ.get("ROLLCALL_URL") or None


@contextlib.asynccontextmanager
async def service(
    asked: argparse.Namespace, settings: Settings, *, retries: int = IMPATIENT
) -> AsyncIterator[AsyncRollcall]:
    """A client of the service that is meant. Raises CannotStart, NotNow, Failed."""
    key = _key(asked.key_file)
    url = named_url(asked)
    if url is not None:
        async with _client(url, key, retries, None) as client:
            yield client
        return
    found = await asyncio.to_thread(running, settings.data_dir)
    if found is not None:
        # A transport of our own: no proxy of the environment stands between us and ourselves.
        async with _client(found.url, key, retries, httpx.AsyncHTTPTransport()) as client:
            try:
                await client.health()
            except Unreachable:
                raise NotNow(
                    "service_silent",
                    f"A service works on {settings.data_dir} (process {found.pid}), and does not "
                    f"answer at {found.url}.",
                ) from None
            yield client
        return
    async with _for_now(settings) as transport:
        async with _client("http://localhost", None, retries, transport) as client:
            yield client


def in_words(error: RollcallError) -> Failed:
    """What a client met, as a command ends with it."""
    detail = error.detail
    if isinstance(error, Unauthenticated):
        detail += " Put a key into ROLLCALL_KEY, or name a file that holds one with --key-file."
    if error.request_id and (error.status or 0) >= 500:
        detail += f" (request {error.request_id})"
    kind = NotNow if isinstance(error, Unreachable | Unavailable | TooManyRequests) else Failed
    return kind(error.code, detail)


def _client(
    url: str, key: str | None, retries: int, transport: httpx.AsyncBaseTransport | None
) -> AsyncRollcall:
    """Raises Failed for an address that is none."""
    try:
        return AsyncRollcall(url, key, timeout=_TIMEOUT, retries=retries, transport=transport)
    except (ValueError, httpx.InvalidURL) as error:
        raise Failed("url_invalid", f"--url: {error}") from None


def _key(file: Path | None) -> str | None:
    """The key in `file`, else in the environment. Raises Failed."""
    if file is None:
        return os.environ.get("ROLLCALL_KEY") or None
    try:
        text = file.read_text(encoding="ascii").strip()
        open_to_others = stat.S_IMODE(file.stat().st_mode) & 0o077
    except OSError as error:
        raise Failed("key_file_unusable", f"--key-file: {error.strerror}.") from None
    except ValueError:
        raise Failed("key_file_unusable", f"{file} does not hold a key.") from None
    if not text or len(text.split()) != 1:
        raise Failed("key_file_unusable", f"{file} does not hold one key and nothing else.")
    if open_to_others:
        print(f"rollcall: others may read {file}; chmod 600 it", file=sys.stderr)
    return text


@contextlib.asynccontextmanager
async def _for_now(settings: Settings) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """The application on this data directory, while this is entered. Raises CannotStart."""
    main = asyncio.current_task()
    if main is not None:  # as Ctrl-C does, so that PostgreSQL is stopped and nothing is left over
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    if "ROLLCALL_LOG_LEVEL" not in os.environ:  # it speaks to a person here, by what it prints
        logs.configure("error")
    # Seconds of imports that asking another service does not need.
    from app.main import create_app
    from app.opening import open_vault

    if settings.secret is None and not is_loopback(settings.host):
        open_vault(settings)  # refuses, as it would the service: no second secret is made unseen
    app = create_app(settings.model_copy(update={"host": "127.0.0.1", "require_keys": False}))
    async with app.router.lifespan_context(app):
        yield _Inside(httpx.ASGITransport(app))


class _Inside(httpx.AsyncBaseTransport):
    """Hands requests to an application in this process; its records tell where they came from."""

    def __init__(self, application: httpx.ASGITransport) -> None:
        self._application = application

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["X-Request-Id"] = f"command-line-{uuid4().hex}"
        return await self._application.handle_async_request(request)
