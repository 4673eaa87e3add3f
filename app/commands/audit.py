"""`python -m app audit`: what was done, proved and handed on; and `audit index`."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO
from uuid import UUID

from app.commands import audit_index
from app.commands.parsing import Commands
from app.errors import BadRequest
from app.opening import join_database
from app.settings import Settings
from app.store import audit
from app.store.audit import BEGINNING, Link, Walk


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "audit", help="prove and export the record of what was done; compare indexes"
    )
    actions = command.add_subparsers(required=True, metavar="ACTION")
    audit_index.add(actions)

    verify = actions.add_parser(
        "verify",
        help="walk the chain of the audit record; status 1 where it is broken",
        description="Walks the chain of the audit record and prints its head. Keep that head "
        "elsewhere and give it as --anchor next time: only so is a record noticed that was cut off "
        "at its end, or made anew as a whole.",
    )
    verify.add_argument(
        "--anchor", metavar="NUMBER:DIGEST", help="a head that this chain must go through"
    )
    verify.add_argument("--file", type=Path, help="an export, instead of the database")
    verify.set_defaults(run=lambda asked, settings: asyncio.run(_verify(asked, settings)))

    export = actions.add_parser("export", help="write the record as JSON lines, oldest first")
    export.add_argument("file", type=Path, help="a new file, or - for standard output")
    export.add_argument("--after", type=int, default=0, metavar="NUMBER", help="only later ones")
    export.set_defaults(run=lambda asked, settings: asyncio.run(_export(asked, settings)))

    prune = actions.add_parser(
        "prune",
        help="remove records that were exported; not for the role of a hardened service",
    )
    prune.add_argument("--before", type=int, required=True, metavar="NUMBER")
    prune.add_argument("--exported", type=Path, required=True, help="the export that holds them")
    prune.set_defaults(run=lambda asked, settings: asyncio.run(_prune(asked, settings)))


class ExportUnusable(BadRequest):
    """A file that is not an export, or does not hold what it should."""

    code = "export_unusable"


async def _verify(asked: argparse.Namespace, settings: Settings) -> int:
    anchor = _anchor(asked.anchor)
    walk, met, fault = Walk(), anchor is None or anchor == (0, BEGINNING), None

    def take(link: Link) -> str | None:
        nonlocal met
        wrong = walk.take(link)
        met = met or (walk.last, walk.digest) == anchor
        return wrong

    if asked.file is not None:
        fault = next((wrong for link in _read(asked.file) if (wrong := take(link))), None)
    else:
        async with join_database(settings) as database, database.snapshot() as connection:
            async for link in audit.links(connection):
                if fault := take(link):
                    break
    if fault is None and not met:
        fault = "the anchor is not in it: it was cut off or made anew"
    if fault is not None:
        print(f"broken: {fault}")
        return 1
    print(f"sound: records {walk.first} to {walk.last}, head {walk.last}:{walk.digest.hex()}")
    return 0


async def _export(asked: argparse.Namespace, settings: Settings) -> None:
    async with join_database(settings) as database, database.snapshot() as connection:
        if str(asked.file) == "-":
            await _write(audit.links(connection, asked.after), sys.stdout)
            return
        try:
            with asked.file.open("x", encoding="utf-8") as out:
                await _write(audit.links(connection, asked.after), out)
        except FileExistsError:
            raise ExportUnusable(f"{asked.file} is there already. Name a new file.") from None
    print(f"wrote {asked.file}; `python -m app audit verify --file {asked.file}` proves it")


async def _write(links: AsyncIterator[Link], out: IO[str]) -> None:
    async for link in links:
        chained = {
            "sequence": link.sequence,
            "id": str(link.id),
            "parent": link.parent.hex(),
            "digest": link.digest.hex(),
        }
        # The record as text too: the digest is over its very bytes.
        print(json.dumps({**json.loads(link.record), **chained, "record": link.record}), file=out)


async def _prune(asked: argparse.Namespace, settings: Settings) -> None:
    walk = Walk()
    for link in _read(asked.exported):
        if wrong := walk.take(link):
            raise ExportUnusable(f"{asked.exported} is broken: {wrong}.")
    async with join_database(settings) as database, database.transaction() as connection:
        async for link in audit.links(connection, limit=1):
            if not walk.first or link.sequence < walk.first:
                raise ExportUnusable(f"{asked.exported} begins after record {link.sequence}.")
        if walk.last < asked.before - 1:
            raise ExportUnusable(f"{asked.exported} ends at record {walk.last}.")
        gone = await audit.prune(connection, asked.before)
    print(f"removed {gone} records; the chain begins at {asked.before} now")


def _read(path: Path) -> Iterator[Link]:
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield Link(
                    row["sequence"],
                    UUID(row["id"]),
                    row["record"],
                    bytes.fromhex(row["parent"]),
                    bytes.fromhex(row["digest"]),
                )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportUnusable(f"{path} is no export: {error}.") from None


def _anchor(text: str | None) -> tuple[int, bytes] | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    try:
        return int(number), bytes.fromhex(digest)
    except ValueError:
        raise ExportUnusable("--anchor reads NUMBER:DIGEST, as `audit verify` prints it.") from None
