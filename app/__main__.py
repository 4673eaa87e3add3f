"""`python -m app`: serve, and what an operator does beside it."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

import uvicorn

from app import __version__, logs
from app.errors import CannotStart, RollcallError
from app.main import create_app, open_database
from app.settings import Settings, read_settings
from app.store import migrate

_EPILOG = """\
Settings are read from the environment; `python -m app settings` lists them all.
Packs of models are looked after by `python -m app.packs`.
"""


class _Server(uvicorn.Server):
    """Stops on SIGINT and SIGTERM, and then returns, so that the house is left in order.

    uvicorn's own way raises the signal again when it is done, which would end the process before
    PostgreSQL is stopped and the snapshots are written.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self.handle_exit, each, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            print(f"Rollcall {__version__} serves http://{name}:{port} (try /docs)", flush=True)


async def serve(settings: Settings) -> None:
    """Serve until a signal comes; requests in flight are answered first. Raises CannotStart."""
    with _bound(settings) as listener:
        app = create_app(settings)
        main = asyncio.current_task()
        if main is not None:  # a signal before the server stands undoes what was begun
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
        async with app.router.lifespan_context(app):
            server = _Server(
                uvicorn.Config(
                    app,
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    timeout_keep_alive=30,
                    timeout_graceful_shutdown=int(settings.deadline) + 5,
                )
            )
            await server.serve(sockets=[listener])


@contextlib.contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """The socket to serve on, taken before the models are loaded, so that a taken port shows."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotBind(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
                "Choose another ROLLCALL_HOST or ROLLCALL_PORT."
            ) from None
        yield listener


class CannotBind(CannotStart):
    code = "cannot_bind"


async def migrate_schema(settings: Settings, down_to: str | None) -> None:
    """Bring the schema up to date, or back down. Raises CannotStart, DatabaseUnavailable."""
    async with open_database(settings) as database:
        if down_to is None:
            await migrate.upgrade(database)
        else:
            await migrate.downgrade(database, down_to)


def print_settings(settings: Settings) -> None:
    """Every setting, its value and where it came from; secrets masked by their type."""
    for name, field in Settings.model_fields.items():
        variable = f"ROLLCALL_{name}".upper()
        given = any(each.split("__")[0] == variable for each in os.environ)
        value = getattr(settings, name)
        print(f"{variable}={value}  [{'environment' if given else 'default'}]")
        print(f"    {field.description}")


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m app",
        description="Rollcall: enrol people from photos, verify and identify them over HTTP.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="start the service (with a PostgreSQL of its own if need be)")
    schema = commands.add_parser("migrate", help="bring the database's schema up to date")
    schema.add_argument(
        "--down-to",
        metavar="REVISION",
        help="go back instead, to a revision or to `base`; what newer revisions hold is lost",
    )
    commands.add_parser("settings", help="list every setting, its value and where it came from")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done; 1: refused, with the reason on standard error; 2: the command line is wrong."""
    asked = parser().parse_args(arguments)
    try:
        settings = read_settings(os.environ)
        logs.configure(settings.log_level)
        if asked.command == "serve":
            asyncio.run(serve(settings))
        elif asked.command == "migrate":
            asyncio.run(migrate_schema(settings, asked.down_to))
        else:
            print_settings(settings)
    except RollcallError as reason:
        print(f"rollcall: {reason.code}: {reason.detail}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
