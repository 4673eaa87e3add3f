"""What is typed at `rollcall`, in this process: starting another takes seconds."""

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from app.__main__ import main


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]


def typed(*arguments: object, **settings: str) -> Done:
    """`rollcall ARGUMENTS`, on a pipe, with these settings and no others."""
    clean = {name: v for name, v in os.environ.items() if not name.startswith("ROLLCALL_")}
    environment = {**clean, "ROLLCALL_LOG_LEVEL": "error", **settings}
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            status = main([str(each) for each in arguments])
        except SystemExit as end:  # argparse's own
            status = int(end.code or 0)
    return Done(status, out.getvalue(), err.getvalue())
