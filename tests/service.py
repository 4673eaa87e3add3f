"""The service as users run it: a process, a port, a log."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from app.vault import Vault

ROOT = Path(__file__).parent.parent

# Of the services that share a named database; VAULT is what they make of it.
SECRET = "8f2b6c0d91e3a7454e6fd0c1b82a7390c5d1e6f7384920ab1c2d3e4f5a6b7c8d"  # noqa: S105
VAULT = Vault(bytes.fromhex(SECRET))


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Our own without what it says to Rollcall, and `settings`."""
    clean = {name: v for name, v in os.environ.items() if not name.startswith("ROLLCALL_")}
    return {**clean, **settings}


class Service:
    """`python -m app serve` on a free port. Settings are environment variables."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings
        self.log = Path(tempfile.mkstemp(prefix="rollcall-test-", suffix=".log")[1])
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=ROOT,
                env=environment({"ROLLCALL_PORT": "0", **settings}),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.url = ""

    def wait_until_listening(self, patience: float = 90.0) -> None:
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            found = re.search(r"serves (http://\S+)", self.output())
            if found:
                self.url = found[1]
                return
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended by itself:\n{self.output()}")
            time.sleep(0.05)
        raise AssertionError(f"the service did not start in {patience} s:\n{self.output()}")

    def wait_until_ready(self, patience: float = 90.0) -> None:
        self.wait_until_listening(patience)
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            if httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200:
                return
            time.sleep(0.05)
        raise AssertionError(f"the service was not ready in {patience} s:\n{self.output()}")

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def said(self) -> list[dict[str, Any]]:
        """The lines of its log that are whole and structured, in order."""
        lines = [line for line in self.output().split("\n")[:-1] if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def client(self, timeout: float = 120.0) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=timeout)

    def kill(self) -> None:
        """kill -9; what it left on its machine stays as it is, but for the log of the test."""
        self.process.kill()
        self.process.wait()
        self.log.unlink(missing_ok=True)

    def terminate(self, patience: float = 60.0) -> int:
        """SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience)
