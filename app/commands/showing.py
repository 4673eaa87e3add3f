"""What a person reads on a terminal, and a program on a pipe: tables, JSON, a little colour.

Names come from whoever enrolled them. Nothing in a name reaches the terminal as a control: what is
no printable character is shown as its number.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Final

# What a cell of a table on a terminal has room for; a pipe gets everything.
_WIDEST: Final = 48
_COLOURS: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def plain(value: object) -> str:
    """A value as text of printable characters on one line; None is a dash."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else _said(value)
    return "".join(_seen(character) for character in text)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _seen(character: str) -> str:
    if character.isprintable():  # no control, no direction, no separator but the plain blank
        return character
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def width(text: str) -> int:
    """Columns that plain text takes on a terminal."""
    return sum(
        0
        if unicodedata.combining(each) or unicodedata.category(each) == "Me"
        else 2
        if unicodedata.east_asian_width(each) in ("W", "F")
        else 1
        for each in text
    )


def cut(text: str, columns: int) -> str:
    """Plain text in at most so many columns; what is left out is said by three dots."""
    if width(text) <= columns:
        return text
    taken, used = [], 0
    for each in text:
        used += width(each)
        if used > columns - 1:
            break
        taken.append(each)
    return "".join(taken) + "…"


def paint(text: str, *colours: str, out: IO[str] | None = None) -> str:
    """In colour where a person looks on (https://no-color.org)."""
    if not colours or not colourful(out or sys.stdout):
        return text
    codes = ";".join(_COLOURS[each] for each in colours)
    return f"\x1b[{codes}m{text}\x1b[0m"


def colourful(out: IO[str]) -> bool:
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "") -> None:
    """Columns under their names, numbers to the right; `empty` where there is no row."""
    cells = [[plain(value) for value in row] for row in rows]
    if not cells:
        if empty:
            print(empty)
        return
    if sys.stdout.isatty():
        cells = [[cut(cell, _WIDEST) for cell in row] for row in cells]
    widths = [max(width(row[at]) for row in (columns, *cells)) for at in range(len(columns))]
    to_the_right = [all(_is_number(row[at]) for row in cells) for at in range(len(columns))]
    print(paint(_line(columns, widths, to_the_right), "bold"))
    for row in cells:
        print(_line(row, widths, to_the_right))


def _line(row: Sequence[str], widths: Sequence[int], to_the_right: Sequence[bool]) -> str:
    parts = []
    for cell, wide, right in zip(row, widths, to_the_right, strict=True):
        blank = " " * (wide - width(cell))
        parts.append(blank + cell if right else cell + blank)
    return "  ".join(parts).rstrip()


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").replace(".", "", 1).lstrip("-").isdigit()


def print_facts(facts: Mapping[str, object]) -> None:
    """One thing: a line for each of its facts."""
    wide = max(width(name) for name in facts)
    for name, value in facts.items():
        print(f"{paint(name, 'bold')}{' ' * (wide - width(name))}  {plain(value)}")


def print_json(value: Any) -> None:
    """One document on one line. ASCII alone, so that no name is more than text on any terminal."""
    print(json.dumps(value, default=str))


def print_json_array(values: Iterable[Any]) -> None:
    """One document, an entry a line, printed as the entries come."""
    print("[", end="")
    for number, value in enumerate(values):
        print(",\n " if number else "", end="")
        print(json.dumps(value, default=str), end="")
    print("]")


def warn(text: str) -> None:
    """A line on standard error."""
    print(f"rollcall: {plain(text)}", file=sys.stderr)
