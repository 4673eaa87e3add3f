"""What an operator types beside a running service, and waiting for what it changes there."""

import subprocess
import sys

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
