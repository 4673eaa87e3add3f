"""A worker that cannot give up what it does not need, as under limits that others have set."""

import sys
from typing import Any

from app.vision import worker_process


def refused(*_: Any, **__: Any) -> None:
    raise OSError(1, "prctl")


if __name__ == "__main__":
    worker_process.confine = refused
    worker_process.main(sys.argv[1:])
