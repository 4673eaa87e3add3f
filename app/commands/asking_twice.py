"""What cannot be undone is spelled out and asked for once more."""

import argparse
import sys

from app.commands.exits import Misused


def make_sure(asked: argparse.Namespace, what: str) -> bool:
    """Whether to go on: `--yes` was given, or a person types it. Raises Misused where none can."""
    if asked.yes:
        return True
    if not sys.stdin.isatty():
        raise Misused(f"This would {what}. There is no undo; add --yes to do it.")
    print(f"This will {what}. There is no undo. Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() == "yes":
        return True
    print("Nothing was changed.", file=sys.stderr)
    return False
