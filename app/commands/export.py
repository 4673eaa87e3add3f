"""`rollcall export`: a whole collection in one encrypted file."""

import argparse
import json
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rollcall_client import AsyncRollcall

from app import parcel
from app.commands.exits import Failed
from app.commands.parsing import Commands, add_command, as_json
from app.commands.passphrases import add_passphrase_option, passphrase
from app.commands.progress import Progress
from app.commands.service import add_service_options, asking
from app.commands.showing import print_json


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "export",
        "write a whole collection, templates and all, into an encrypted file",
        description="Writes persons, faces, templates and kept crops of a collection, at one "
        "revision, into a file that only the passphrase opens. `rollcall import` brings it into "
        "another installation, which then gives the same answers: ids are kept, and templates are "
        "bound to their model. Needs a key with the scopes admin and embeddings where keys are "
        "asked for.",
        example="rollcall export staff staff.rollcall\n"
        "rollcall export staff staff.rollcall --passphrase-file ~/.staff-passphrase",
    )
    command.add_argument("collection")
    command.add_argument("file", type=Path, help="a file that is not there yet")
    add_passphrase_option(command)
    as_json(command)
    add_service_options(command)
    command.set_defaults(run=asking(_export))


async def _export(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    _require_new(asked.file)
    phrase = passphrase(asked, new=True)
    half = asked.file.with_name(asked.file.name + ".half")
    try:
        head = await _write(half, phrase, asked.collection, client)
        half.replace(asked.file)
    except OSError as error:
        raise Failed(
            "file_not_written", f"{asked.file} cannot be written: {error.strerror}."
        ) from None
    finally:
        half.unlink(missing_ok=True)
    _tell(asked, head)


def _require_new(file: Path) -> None:
    if file.exists():
        raise Failed("file_there", f"{file} is there already. Name another file.")


def _tell(asked: argparse.Namespace, head: Any) -> None:
    size = asked.file.stat().st_size
    if asked.json:
        print_json({**head, "file": str(asked.file), "bytes": size})
        return
    print(
        f"{asked.file}: {head['persons']:,} persons and {head['faces']:,} faces of "
        f"'{head['name']}' at revision {head['revision']}, model {head['model']}, {size:,} bytes."
    )
    print("Without the passphrase nobody can read it, nor can you.")


async def _write(half: Path, phrase: str, collection: str, client: AsyncRollcall) -> Any:
    """What the head of the export says. Raises Failed where the answer was cut off."""
    head: Any = None
    end: Any = None
    progress: Progress | None = None
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        writer = parcel.Writer(out, phrase)
        try:
            async with aclosing(client.export_collection(collection)) as lines:
                async for line in lines:
                    if head is None:
                        head = json.loads(line)["collection"]
                        progress = Progress(head["persons"] + head["faces"], "persons and faces")
                    elif line.startswith(b'{"end"'):
                        end = json.loads(line)["end"]
                    writer.write(line + b"\n")
                    if progress is not None:
                        progress.step()
        finally:
            if progress is not None:
                progress.end()
        if end != {"persons": head["persons"], "faces": head["faces"]}:
            raise Failed("cut_off", "The service broke off its answer. Export again.")
        writer.finish()
        out.flush()
        os.fsync(out.fileno())
    return head
