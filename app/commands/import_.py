"""`rollcall import`: what `rollcall export` wrote, into this installation."""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rollcall_client import AsyncRollcall

from app import parcel
from app.commands.exits import DONE, FAILED, Failed
from app.commands.parsing import Commands, add_command, as_json
from app.commands.passphrases import add_passphrase_option, passphrase
from app.commands.progress import Progress
from app.commands.service import PATIENT, add_service_options, asking
from app.commands.showing import print_json, warn
from app.parcel import ParcelUnusable

# A request may have a megabyte; the names of members and the commas between take a little.
_PART_BYTES: Final = 900_000
_PART_FACES: Final = 500


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "import",
        "bring in a collection that `rollcall export` wrote",
        description="Brings a collection into this installation, with its ids. It may be "
        "interrupted and run again: what is there already stays as it is. At the end the index and "
        "the database are compared with what the file says. Needs a key with the scopes admin and "
        "enroll where keys are asked for.",
        example="rollcall import staff.rollcall\n"
        "rollcall import staff.rollcall --collection staff-2026",
    )
    command.add_argument("file", type=Path)
    command.add_argument("--collection", help="under another name than it had")
    add_passphrase_option(command)
    as_json(command)
    add_service_options(command)
    command.set_defaults(run=asking(_import, retries=PATIENT))


@dataclass(slots=True)
class Part:
    """Some lines of a collection that fit into one request."""

    persons: list[Any] = field(default_factory=list)
    faces: list[Any] = field(default_factory=list)
    size: int = 0

    def has_room(self, size: int) -> bool:
        return self.size + size <= _PART_BYTES and len(self.faces) < _PART_FACES


def parts(lines: Iterable[tuple[str, Any, int]]) -> Iterator[Part]:
    """Lines as (person or face, content, bytes), in requests of their order."""
    part = Part()
    for kind, content, size in lines:
        if part.size and not part.has_room(size):
            yield part
            part = Part()
        (part.persons if kind == "person" else part.faces).append(content)
        part.size += size + 1
    if part.size:
        yield part


async def _import(asked: argparse.Namespace, client: AsyncRollcall) -> int:
    phrase = passphrase(asked, new=False)
    try:
        with asked.file.open("rb") as file:
            return await _take(asked, client, _lines(parcel.read(file, phrase)))
    except OSError as error:
        raise Failed("file_unusable", f"{asked.file} cannot be read: {error.strerror}.") from None


async def _take(
    asked: argparse.Namespace, client: AsyncRollcall, lines: Iterator[tuple[str, Any, int]]
) -> int:
    nothing: tuple[str, Any, int] = ("", None, 0)
    kind, head, _ = next(lines, nothing)
    if kind != "collection":
        raise ParcelUnusable("The file does not begin as an export does.")
    name, model = asked.collection or head["name"], head["model"]
    progress = Progress(head["persons"] + head["faces"], "persons and faces")
    persons = faces = 0
    try:
        for part in parts(_between(lines, head)):
            taken = await client.import_part(name, model, part.persons, part.faces)
            persons += taken.persons
            faces += taken.faces
            progress.step(len(part.persons) + len(part.faces))
    finally:
        progress.end()
    audit = await client.audit_collection(name)
    expected = (head["templates"], head["checksum"])
    equal = all(
        (side.templates, side.checksum) == expected for side in (audit.index, audit.database)
    )
    if asked.json:
        print_json(
            {
                "collection": name,
                "model": model,
                "persons": persons,
                "faces": faces,
                "revision": audit.revision,
                "equal": equal,
            }
        )
    else:
        print(f"{name}: {persons:,} persons and {faces:,} faces are new, at model {model}.")
        if equal:
            print("Index and database hold just what the file says.")
    if not equal:
        warn(
            f"'{name}' does not hold just what the file says: {audit.database.templates:,} "
            f"templates in the database, {audit.index.templates:,} in the index, {expected[0]:,} "
            "in the file. It held others before, or some of its own were erased."
        )
    loaded = {each.model for each in (await client.models()).models}
    if model not in loaded and not model.startswith("external:"):
        warn(
            f"No pack of model {model} is loaded here, so photos cannot be searched in '{name}' "
            "yet. Name its pack in ROLLCALL_PACK or ROLLCALL_EXTRA_PACKS and restart."
        )
    return DONE if equal else FAILED


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[str, Any, int]]:
    """Each line's kind, content and bytes. Raises ParcelUnusable."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            try:
                [(kind, content)] = json.loads(line).items()
            except (ValueError, AttributeError):
                raise ParcelUnusable("A line of the file is not of an export.") from None
            yield kind, content, len(line)
    if rest:
        raise ParcelUnusable("The last line of the file is cut off.")


def _between(lines: Iterator[tuple[str, Any, int]], head: Any) -> Iterator[tuple[str, Any, int]]:
    """Persons and faces, up to the end that must come. Raises ParcelUnusable."""
    for kind, content, size in lines:
        if kind == "end":
            if content != {"persons": head["persons"], "faces": head["faces"]}:
                raise ParcelUnusable("The file holds other counts than its head says.")
            return
        yield kind, content, size
    raise ParcelUnusable("The file has no end.")
