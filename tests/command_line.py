"""What an operator types beside a running service, and waiting for what it changes there."""

import subprocess
import sys
import time
from collections.abc import Callable

from tests.service import ROOT, Service, environment


def make_on_command_line(service: Service, *options: str) -> str:
    return run(service, "keys", "create", "--name", "test", *options).strip()


def run(service: Service, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=environment(service.settings),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def wait_until(holds: Callable[[], bool], patience: float = 30.0) -> None:
    give_up = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < give_up, "it never came to be"
        time.sleep(0.02)
