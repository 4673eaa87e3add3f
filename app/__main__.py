"""`rollcall`, the same as `python -m app`: serve, and what people do beside it."""

import argparse
import asyncio
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from keyword import iskeyword
from typing import Final

import structlog

from app import __version__, logs
from app.commands.exits import FAILED, INTERRUPTED, MEANINGS, Failed
from app.commands.showing import plain
from app.errors import RollcallError
from app.settings import read_settings

# In the order in which a reader of --help wants them. A module is imported when its command is
# asked for: most of them bring more along than the others need.
_COMMANDS: Final = {
    name: f"app.commands.{name.replace('-', '_')}{'_' if iskeyword(name) else ''}"
    for name in (
        "serve",
        "enroll",
        "identify",
        "verify",
        "detect",
        "collections",
        "persons",
        "faces",
        "packs",
        "keys",
        "audit",
        "config",
        "migrate",
        "secrets",
        "export",
        "import",
        "import-embeddings",
        "backup",
        "restore",
        "import-from",
        "completion",
    )
}

_EPILOG = """\
`rollcall COMMAND --help` says more of each, with an example. Settings are read from the
environment; `rollcall config` lists them all.

exit status:
""" + "\n".join(f"  {status:3}  {meaning}" for status, meaning in MEANINGS.items())


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Of the whole command line, or of one command and nothing else."""
    root = argparse.ArgumentParser(
        prog="rollcall",
        description="Rollcall: enrol people from photos, verify and identify them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        if only in (None, name):
            importlib.import_module(module).add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status; `app.commands.exits` says what each means."""
    words = sys.argv[1:] if arguments is None else arguments
    asked = parser(words[0] if words and words[0] in _COMMANDS else None).parse_args(words)
    logs.configure("info")
    threading.excepthook = logs.thread_failed
    try:
        settings = read_settings(os.environ)
        logs.configure(settings.log_level)
        status = int(asked.run(asked, settings) or 0)
        sys.stdout.flush()
        return status
    except (RollcallError, Failed) as reason:
        print(f"rollcall: {reason.code}: {plain(reason.detail)}", file=sys.stderr)
        return reason.status if isinstance(reason, Failed) else FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough; nothing is written after it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # a traceback would say what it says: a row, a URL, a password
        structlog.get_logger().critical("crashed", exc_info=error)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
