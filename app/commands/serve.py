"""`python -m app serve`: the service, until a signal comes."""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
import uvloop

from app import __version__, memory
from app.api.protocol import Patience, connection_class
from app.commands.parsing import Commands, add_command
from app.commands.running import announced
from app.errors import CannotStart
from app.settings import Settings

# Files and sockets that are no callers: PostgreSQL's connections, snapshots, the log.
_OTHER_FILES: Final = 300


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "serve",
        "start the service (with a PostgreSQL of its own if need be)",
        description="Starts the service, and a PostgreSQL of its own where ROLLCALL_DATABASE_URL "
        "names none. SIGTERM or Ctrl-C ends it in order.",
        example="rollcall serve\nROLLCALL_PORT=8001 ROLLCALL_DATA_DIR=/srv/faces rollcall serve",
    )
    command.set_defaults(run=lambda _, settings: uvloop.run(serve(settings)))


class CannotBind(CannotStart):
    code = "cannot_bind"


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
    _allow_files(settings.max_connections + settings.database_pool + _OTHER_FILES)
    memory.keep_in_one_heap()
    with _bound(settings) as listener:
        # Seconds of imports that no other command needs.
        from app.main import create_app

        app = create_app(settings)
        main = asyncio.current_task()
        if main is not None:  # a signal before the server stands undoes what was begun
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
        async with app.router.lifespan_context(app):
            server = _Server(
                uvicorn.Config(
                    app,
                    http=connection_class(
                        Patience(
                            header_seconds=settings.header_seconds,
                            body_seconds=settings.body_seconds,
                            body_rate=settings.body_rate,
                            connections=settings.max_connections,
                        )
                    ),
                    ws="none",
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    timeout_keep_alive=30,
                    timeout_graceful_shutdown=int(settings.deadline) + 5,
                )
            )
            with announced(settings.data_dir, *listener.getsockname()[:2]):
                await server.serve(sockets=[listener])


@contextlib.contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """The socket to serve on, taken before the models are loaded, so that a taken port shows."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle on: the body of an answer would wait for an ACK, 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotBind(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
                "Choose another ROLLCALL_HOST or ROLLCALL_PORT."
            ) from None
        yield listener


def _allow_files(count: int) -> None:
    """Let the process open `count` files at once. Raises CannotStart where it may not.

    Without this the usual limit of 1,024 would be met before ROLLCALL_MAX_CONNECTIONS is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise CannotStart(
                f"This process may open {hard} files, and {count} are needed. Raise the limit "
                "(ulimit -n, LimitNOFILE) or lower ROLLCALL_MAX_CONNECTIONS."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
