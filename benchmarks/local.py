"""What a benchmark runs on: this machine, this commit, and a service started for it alone."""

import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

ROOT: Final = Path(__file__).resolve().parent.parent


def commit() -> str:
    """The commit of this checkout, with a mark where files differ from it."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("-dirty" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """What this ran on; the service is taken to run here too."""
    cpu = ""
    if (cpus := Path("/proc/cpuinfo")).exists():
        found = re.search(r"model name\s*:\s*(.+)", cpus.read_text(encoding="utf-8"))
        cpu = found[1] if found else ""
    return {
        "cpu": cpu or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


@dataclass(frozen=True, slots=True)
class Own:
    """A service that was started for a benchmark."""

    url: str
    pid: int
    data: Path

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time so far of the service, its workers and its PostgreSQL."""
        service = psutil.Process(self.pid)
        pid_file = self.data / "postgres" / "data" / "postmaster.pid"
        postmaster = psutil.Process(int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0]))
        times = service.cpu_times()
        return {
            "service": times.user + times.system,
            "workers": _of_children(service),
            "PostgreSQL": sum(postmaster.cpu_times()[:2]) + _of_children(postmaster),
        }


def _of_children(process: psutil.Process) -> float:
    """Processor seconds of the children, those that have ended too."""
    ended = process.cpu_times()
    seconds = ended.children_user + ended.children_system
    for child in process.children(recursive=True):
        try:
            seconds += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:  # ended since it was listed
            continue
    return float(seconds)


def free_port() -> int:
    """A port that nobody listens on, a moment ago at least."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def own_service(pack: str) -> Iterator[str]:
    """The URL of a service of its own, as `own_process` starts it."""
    with own_process(pack) as own:
        yield own.url


@contextmanager
def own_process(pack: str, **given: str) -> Iterator[Own]:
    """A service on a free port with a database of its own, stopped at the end.

    `given` are further settings, by their names in the environment.
    """
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        log = Path(folder, "log")
        settings = {
            **{name: v for name, v in os.environ.items() if not name.startswith("ROLLCALL_")},
            "ROLLCALL_PORT": "0",
            "ROLLCALL_PACK": pack,
            "ROLLCALL_DATA_DIR": str(Path(folder, "data")),
            **given,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=ROOT,
                env=settings,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is ours; the service is asked to stop below
            )
        try:
            yield Own(_listening(process, log), process.pid, Path(folder, "data"))
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listening(process: "subprocess.Popen[bytes]", log: Path, patience: float = 600.0) -> str:
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up and process.poll() is None:
        found = re.search(r"serves (http://\S+)", log.read_text(errors="replace"))
        if found and httpx.get(f"{found[1]}/readyz", timeout=30, trust_env=False).is_success:
            return found[1]
        time.sleep(0.2)
    raise SystemExit(f"The service did not start:\n{log.read_text(errors='replace')}")
