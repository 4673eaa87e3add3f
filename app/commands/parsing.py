"""What the commands share in saying what can be asked of them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where a command adds its parser. It sets `run`, called with the parsed command line and the
settings; what it returns is the exit status, None for 0."""


def add_command(
    commands: Commands, name: str, text: str, *, example: str, description: str | None = None
) -> argparse.ArgumentParser:
    """A command that does something: what it does, said in a line, and an example of its use."""
    return commands.add_parser(
        name,
        help=text,
        description=description or f"{text[0].upper()}{text[1:]}.",
        epilog="example:\n" + "\n".join(f"  {line}" for line in example.splitlines()),
        formatter_class=_Formatter,
        allow_abbrev=False,  # what a script says goes on to mean the same
    )


def add_group(
    commands: Commands, name: str, text: str, *, description: str | None = None
) -> Commands:
    """A command that is a family of commands; to be given those."""
    group = commands.add_parser(
        name,
        help=text,
        description=description or f"{text[0].upper()}{text[1:]}.",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    return group.add_subparsers(dest="action", required=True, metavar="ACTION")


def as_json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def confirmed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it without asking")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def leaves(
    parser: argparse.ArgumentParser, words: Sequence[str] = ()
) -> list[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every command that does something, with the words that lead to it."""
    branches = subcommands(parser)
    if not branches:
        return [(tuple(words), parser)]
    return [leaf for name, branch in branches.items() for leaf in leaves(branch, (*words, name))]


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    # argparse has no public way to ask a parser for what was added to it.
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def takes_file(action: argparse.Action) -> bool:
    """Whether its value is the path of something on this machine."""
    return action.type is Path


class _Formatter(argparse.HelpFormatter):
    """Wraps the description as ever, and leaves the example in its lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(("example", "exit status")):
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)
