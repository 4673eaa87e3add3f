"""`rollcall audit index`: is what the service works with what PostgreSQL holds?"""

import argparse
import asyncio
import contextlib
import json
import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

from rollcall_client import Rollcall, RollcallError

from app.commands.parsing import Commands, add_command
from app.opening import join_database
from app.settings import Settings
from app.store import migrate

if TYPE_CHECKING:
    from app.usecases.audit_index import StartAudit

_COLUMNS = ("replica", "collection", "revision", "templates", "checksum", "equal")
_KINDS = ("missing", "extra", "different")
# An audit of a large gallery takes a while, and nothing is sent before it is done.
_SECONDS: Final = 600.0


def add(actions: Commands) -> None:
    """Beside what `rollcall audit` does with the record of what was done."""
    index = add_command(
        actions,
        "index",
        "compare every collection's index with PostgreSQL",
        description="Compares every template of running replicas (--url, once for each), or of "
        "what the next start would load from the data directory, with PostgreSQL. Exit status 0: "
        "equal; 1: something differs or cannot be used, and is named. A key is taken from "
        "ROLLCALL_KEY; it needs the scopes admin and read.",
        example="rollcall audit index\n"
        "rollcall audit index --url http://10.0.0.1:8000 --url http://10.0.0.2:8000",
    )
    index.add_argument("--url", action="append", default=[], help="a replica, http://host:port")
    index.add_argument(
        "--collection", action="append", default=[], metavar="NAME", help="these alone, not all"
    )
    index.add_argument("--json", action="store_true", help="a JSON list instead of a table")
    index.set_defaults(run=_audit_index)


def _audit_index(asked: argparse.Namespace, settings: Settings) -> int:
    if asked.url:
        key = os.environ.get("ROLLCALL_KEY")
        rows = [row for url in asked.url for row in _of_replica(url, key, asked.collection)]
    else:
        rows = asyncio.run(_of_snapshots(settings, asked.collection))
    print(json.dumps(rows, indent=2) if asked.json else "\n".join(_table(rows)))
    return 0 if all(row["equal"] and row["fault"] is None for row in rows) else 1


def _of_replica(url: str, key: str | None, names: Collection[str]) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        try:
            replica = stack.enter_context(Rollcall(url, key, timeout=_SECONDS, retries=0))
            known = names or [each.name for each in replica.collections()]
        except (RollcallError, ValueError) as reason:
            yield _refused(url, "", _words(reason))
            return
        for name in known:
            try:
                yield _row(url, replica.audit_collection(name).model_dump(mode="json"))
            except RollcallError as reason:
                yield _refused(url, name, _words(reason))


def _words(reason: Exception) -> str:
    return f"{reason.code}: {reason.detail}" if isinstance(reason, RollcallError) else str(reason)


async def _of_snapshots(settings: Settings, names: Collection[str]) -> list[dict[str, Any]]:
    """Raises CannotStart, CollectionNotFound, DatabaseUnavailable."""
    # A second of imports that asking a replica does not need, nor any other command.
    from app.usecases.audit_index import audit_start

    snapshots = settings.data_dir / "snapshots"
    async with join_database(settings) as database:
        await migrate.require_current(database)
        return [
            _of_start(str(snapshots), each)
            async for each in audit_start(database, snapshots, names)
        ]


def _of_start(snapshots: str, found: "StartAudit") -> dict[str, Any]:
    from app.api.schemas import AuditAnswer  # as above

    if found.audit is None:
        return _refused(snapshots, found.collection, found.fault or "")
    return _row(snapshots, AuditAnswer.of(found.audit, "").model_dump(mode="json"), found.fault)


def _row(replica: str, answer: dict[str, Any], fault: str | None = None) -> dict[str, Any]:
    return {
        "replica": replica,
        "collection": answer["collection"],
        "revision": answer["revision"],
        **answer["index"],
        "equal": answer["equal"],
        "fault": fault,
        **{kind: answer[kind] for kind in _KINDS},
    }


def _refused(replica: str, collection: str, fault: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {"count": 0, "face_ids": []}
    return {
        "replica": replica,
        "collection": collection,
        "revision": None,
        "templates": None,
        "checksum": None,
        "equal": False,
        "fault": fault,
        **dict.fromkeys(_KINDS, nothing),
    }


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Columns, and below them what is wrong, a line each."""
    cells = [_COLUMNS, *(tuple(_cell(row[column]) for column in _COLUMNS) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(padded).rstrip()
    for row in rows:
        place = f"{row['replica']} {row['collection']}".rstrip()
        if row["fault"] is not None:
            yield f"{place}: {row['fault']}"
        for kind in _KINDS:
            faces = row[kind]
            if faces["count"]:
                more = ", …" if faces["count"] > len(faces["face_ids"]) else ""
                yield f"{place}: {faces['count']} {kind}: {', '.join(faces['face_ids'])}{more}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return "-" if value in (None, "") else str(value)
