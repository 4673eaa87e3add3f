"""`python -m app`: serve, and what an operator does beside it."""

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import Sequence

import structlog

from app import __version__, logs
from app.commands import audit, backup, keys, migrate, restore, secrets, serve
from app.commands import settings as settings_command
from app.errors import RollcallError
from app.settings import read_settings

_EPILOG = """\
Settings are read from the environment; `python -m app settings` lists them all.
Packs of models are looked after by `python -m app.packs`.
"""


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m app",
        description="Rollcall: enrol people from photos, verify and identify them over HTTP.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for each in (serve, migrate, keys, secrets, audit, backup, restore, settings_command):
        each.add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done; 1: refused or failed, said on standard error; 2: the command line is wrong."""
    asked = parser().parse_args(arguments)
    logs.configure("info")
    threading.excepthook = logs.thread_failed
    try:
        settings = read_settings(os.environ)
        logs.configure(settings.log_level)
        return int(asked.run(asked, settings) or 0)
    except RollcallError as reason:
        print(f"rollcall: {reason.code}: {reason.detail}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except Exception as error:  # a traceback would say what it says: a row, a URL, a password
        structlog.get_logger().critical("crashed", exc_info=error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
