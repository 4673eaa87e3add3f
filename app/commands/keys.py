"""`python -m app keys`: API keys, made and revoked by whoever has the database."""

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.commands.on_database import on_database
from app.commands.parsing import Commands
from app.store.database import Database
from app.store.keys import ApiKey, NewKey
from app.types import SCOPES, Caller
from app.usecases import keys

_OPERATOR: Final = Caller(None, frozenset(SCOPES), None, "command line")
_PAGE: Final = 1000


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "keys",
        help="make, list, rotate and revoke API keys",
        description="API keys. A key's text is printed once, when it is made or rotated; only an "
        "HMAC of it is kept.",
    )
    actions = command.add_subparsers(required=True, metavar="ACTION")

    create = actions.add_parser("create", help="make a key and print it")
    create.add_argument("--name", required=True, help="what it is for, for people")
    create.add_argument(
        "--scope", action="append", required=True, choices=SCOPES, help="may be given again"
    )
    create.add_argument(
        "--collection", action="append", help="only this one; may be given again (default: all)"
    )
    create.add_argument("--requests-a-minute", type=_positive, metavar="N")
    create.add_argument("--concurrency", type=_positive, metavar="N", help="requests at a time")
    create.add_argument(
        "--expires-days", type=_positive, metavar="N", help="end after so many days"
    )
    _as_json(create)
    create.set_defaults(run=on_database(_create))

    listing = actions.add_parser("list", help="every key, revoked ones too; never their text")
    _as_json(listing)
    listing.set_defaults(run=on_database(_list))

    rotate = actions.add_parser("rotate", help="give a key a new text and print it")
    rotate.add_argument("id")
    rotate.add_argument(
        "--grace-hours",
        type=float,
        default=1.0,
        metavar="H",
        help="how long the old text goes on beside it (default: %(default)g)",
    )
    _as_json(rotate)
    rotate.set_defaults(run=on_database(_rotate))

    revoke = actions.add_parser("revoke", help="let a key open nothing any more")
    revoke.add_argument("id")
    _as_json(revoke)
    revoke.set_defaults(run=on_database(_revoke))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _as_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


async def _create(asked: argparse.Namespace, database: Database) -> None:
    expires = None
    if asked.expires_days is not None:
        expires = datetime.now(UTC) + timedelta(days=asked.expires_days)
    new = NewKey(
        name=asked.name,
        scopes=frozenset(asked.scope),
        collections=None if asked.collection is None else frozenset(asked.collection),
        requests_a_minute=asked.requests_a_minute,
        concurrency=asked.concurrency,
        expires_at=expires,
    )
    key, text = await keys.create(database, _OPERATOR, new)
    _print_new(asked, key, text)


async def _rotate(asked: argparse.Namespace, database: Database) -> None:
    grace = timedelta(hours=asked.grace_hours)
    key, text = await keys.rotate(database, _OPERATOR, asked.id, grace)
    _print_new(asked, key, text)


async def _revoke(asked: argparse.Namespace, database: Database) -> None:
    key = await keys.revoke(database, _OPERATOR, asked.id)
    if asked.json:
        print(json.dumps(_facts(key)))
    else:
        print(f"{key.id} ({key.name}) is revoked. Running services know within a poll interval.")


async def _list(asked: argparse.Namespace, database: Database) -> None:
    found: list[ApiKey] = []
    while page := await keys.page(database, found[-1].id if found else "", _PAGE):
        found += page
    if asked.json:
        print(json.dumps([_facts(key) for key in found]))
        return
    for key in found:
        scopes = ",".join(sorted(key.scopes))
        places = "all" if key.collections is None else ",".join(sorted(key.collections))
        state = "revoked" if key.revoked_at else "in use"
        used = key.last_used_at.isoformat(timespec="seconds") if key.last_used_at else "never used"
        print(f"{key.id}  {state:8} {scopes:32} {places:16} {used}  {key.name}")
    if not found:
        print("there are no keys; `python -m app keys create --help` tells how to make one")


def _print_new(asked: argparse.Namespace, key: ApiKey, text: str) -> None:
    if asked.json:
        print(json.dumps({**_facts(key), "secret": text}))
    else:
        # The text alone on standard output, so that it can go straight into a file.
        print(text)


def _facts(key: ApiKey) -> dict[str, Any]:
    def when(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat()

    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "collections": None if key.collections is None else sorted(key.collections),
        "requests_a_minute": key.requests_a_minute,
        "concurrency": key.concurrency,
        "created_at": when(key.created_at),
        "expires_at": when(key.expires_at),
        "revoked_at": when(key.revoked_at),
        "last_used_at": when(key.last_used_at),
    }
