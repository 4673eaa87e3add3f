"""Where a command takes a passphrase from: never an option, which all users of the machine see."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Final

from app.commands.exits import Failed, Misused

_SHORTEST: Final = 12
_VARIABLE: Final = "ROLLCALL_PASSPHRASE"


def add_passphrase_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help=f"a file whose first line is the passphrase (or {_VARIABLE}); else it is asked for",
    )


def passphrase(asked: argparse.Namespace, *, new: bool) -> str:
    """What seals a file, or opens it. A new one is typed twice, and long enough to mean something.

    Raises Failed, Misused.
    """
    given = _given(asked.passphrase_file)
    if given is None:
        if not sys.stdin.isatty():
            raise Misused(f"Give the passphrase with --passphrase-file or in {_VARIABLE}.")
        given = getpass.getpass("Passphrase: ")
        if new and getpass.getpass("Once more: ") != given:
            raise Failed("passphrase_unusable", "The two were different. Nothing was written.")
    if new and len(given) < _SHORTEST:
        raise Failed(
            "passphrase_unusable",
            f"The passphrase has {len(given)} characters; take {_SHORTEST} at least. Whoever finds "
            "the file can try as many as they like.",
        )
    return given


def _given(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(_VARIABLE) or None
    try:
        with file.open(encoding="utf-8") as text:
            return text.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed("passphrase_unusable", f"{file} cannot be read: {error}.") from None
