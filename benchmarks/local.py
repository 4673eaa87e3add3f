"""What a benchmark runs on: this machine, this commit, and a service started for it alone."""

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

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


@contextmanager
def own_service(pack: str) -> Iterator[str]:
    """A service on a free port with a database of its own; its URL. Stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        log = Path(folder, "log")
        settings = {
            **{name: v for name, v in os.environ.items() if not name.startswith("ROLLCALL_")},
            "ROLLCALL_PORT": "0",
            "ROLLCALL_PACK": pack,
            "ROLLCALL_DATA_DIR": str(Path(folder, "data")),
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
            yield _listening(process, log)
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
