"""`rollcall audit`: what was done, proved and handed on; and `audit index`."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO
from uuid import UUID

from rollcall_client import AsyncRollcall, models

from app.commands import audit_index
from app.commands.exits import DONE, FAILED
from app.commands.parsing import Commands, add_command, add_group, as_json, positive
from app.commands.service import add_service_options, asking
from app.commands.showing import print_json, print_json_array, print_table
from app.errors import BadRequest
from app.opening import join_database
from app.settings import Settings
from app.store import audit
from app.store.audit import BEGINNING, Link, Walk

# Of a record, beside its number.
_SHOWN = ("at", "action", "key", "collection", "request_id")


def add(commands: Commands) -> None:
    actions = add_group(
        commands, "audit", "read, prove and export the record of what was done; compare indexes"
    )
    audit_index.add(actions)

    listing = add_command(
        actions,
        "list",
        "the newest records of what was done",
        description="The newest records of what was done, newest first. They name ids, never "
        "persons. A key needs the scope admin.",
        example="rollcall audit list --limit 20",
    )
    listing.add_argument("--limit", type=positive, default=50, metavar="N", help="(default: 50)")
    as_json(listing)
    add_service_options(listing)
    listing.set_defaults(run=asking(_list))

    verify = add_command(
        actions,
        "verify",
        "walk the chain of the audit record; status 1 where it is broken",
        description="Walks the chain of the audit record and prints its head. Keep that head "
        "elsewhere and give it as --anchor next time: only so is a record noticed that was cut off "
        "at its end, or made anew as a whole.",
        example="rollcall audit verify\nrollcall audit verify --file audit.jsonl",
    )
    verify.add_argument(
        "--anchor", metavar="NUMBER:DIGEST", help="a head that this chain must go through"
    )
    verify.add_argument("--file", type=Path, help="an export, instead of the database")
    as_json(verify)
    verify.set_defaults(run=lambda asked, settings: asyncio.run(_verify(asked, settings)))

    export = add_command(
        actions,
        "export",
        "write the record as JSON lines, oldest first",
        example="rollcall audit export audit.jsonl",
    )
    export.add_argument("file", type=Path, help="a new file, or - for standard output")
    export.add_argument("--after", type=int, default=0, metavar="NUMBER", help="only later ones")
    export.set_defaults(run=lambda asked, settings: asyncio.run(_export(asked, settings)))

    prune = add_command(
        actions,
        "prune",
        "remove records that were exported; not for the role of a hardened service",
        example="rollcall audit prune --before 10000 --exported audit.jsonl",
    )
    prune.add_argument("--before", type=int, required=True, metavar="NUMBER")
    prune.add_argument("--exported", type=Path, required=True, help="the export that holds them")
    as_json(prune)
    prune.set_defaults(run=lambda asked, settings: asyncio.run(_prune(asked, settings)))


async def _list(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    found: list[models.AuditRecord] = []
    async for each in client.audit(limit=min(asked.limit, 1000)):
        found.append(each)
        if len(found) == asked.limit:
            break
    if asked.json:
        print_json_array(each.model_dump(mode="json") for each in found)
        return
    print_table(
        ("number", "at", "action", "key", "collection", "request"),
        ((each.sequence, *(each.record.get(name) for name in _SHOWN)) for each in found),
        empty="nothing was recorded",
    )


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
    head = f"{walk.last}:{walk.digest.hex()}"
    if asked.json:
        print_json({"fault": fault, "first": walk.first, "last": walk.last, "head": head})
        return FAILED if fault is not None else DONE
    if fault is not None:
        print(f"broken: {fault}")
        return FAILED
    print(f"sound: records {walk.first} to {walk.last}, head {head}")
    return DONE


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
    print(f"wrote {asked.file}; `rollcall audit verify --file {asked.file}` proves it")


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
    if asked.json:
        print_json({"removed": gone, "first": asked.before})
        return
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
