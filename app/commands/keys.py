"""`rollcall keys`: API keys, made and revoked by whoever has the database, or a key for that."""

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rollcall_client import AsyncRollcall, models

from app.commands.on_database import on_database
from app.commands.parsing import Commands, add_command, add_group, as_json, positive
from app.commands.service import Work, add_service_options, asking, named_url
from app.commands.showing import plain, print_json, print_json_array, print_table
from app.settings import Settings
from app.store.database import Database
from app.store.keys import ApiKey, NewKey
from app.types import SCOPES, Caller
from app.usecases import keys

_OPERATOR: Final = Caller(None, frozenset(SCOPES), None, "command line")
_PAGE: Final = 1000
_FACTS: Final = (
    "id",
    "name",
    "scopes",
    "collections",
    "requests_a_minute",
    "concurrency",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
)
_EXAMPLE: Final = "3f0c9a51b2d48e67"

OnDatabase = Callable[[argparse.Namespace, Database], Awaitable[int | None]]


def add(commands: Commands) -> None:
    actions = add_group(
        commands,
        "keys",
        "make, list, rotate and revoke API keys",
        description="API keys. A key's text is printed once, when it is made or rotated; only an "
        "HMAC of it is kept. Without --url this works on the database itself, beside a running "
        "service or without one, and needs no key; with --url it needs one with the scope admin.",
    )

    create = add_command(
        actions,
        "create",
        "make a key and print it",
        example="rollcall keys create --name admin --scope admin\n"
        "rollcall keys create --name door --scope identify --collection staff --concurrency 8",
    )
    create.add_argument("--name", required=True, help="what it is for, for people")
    create.add_argument(
        "--scope", action="append", required=True, choices=SCOPES, help="may be given again"
    )
    create.add_argument(
        "--collection", action="append", help="only this one; may be given again (default: all)"
    )
    create.add_argument("--requests-a-minute", type=positive, metavar="N")
    create.add_argument("--concurrency", type=positive, metavar="N", help="requests at a time")
    create.add_argument("--expires-days", type=positive, metavar="N", help="end after so many days")
    as_json(create)
    add_service_options(create)
    create.set_defaults(run=_either(_create, _create_there))

    listing = add_command(
        actions,
        "list",
        "every key, revoked ones too; never their text",
        example="rollcall keys list --json",
    )
    as_json(listing)
    add_service_options(listing)
    listing.set_defaults(run=_either(_list, _list_there))

    rotate = add_command(
        actions,
        "rotate",
        "give a key a new text and print it",
        example=f"rollcall keys rotate {_EXAMPLE} --grace-hours 24",
    )
    rotate.add_argument("id")
    rotate.add_argument(
        "--grace-hours",
        type=float,
        default=1.0,
        metavar="H",
        help="how long the old text goes on beside it (default: %(default)g)",
    )
    as_json(rotate)
    add_service_options(rotate)
    rotate.set_defaults(run=_either(_rotate, _rotate_there))

    aws = add_command(
        actions,
        "aws",
        "print what a key signs requests with at the door for Rekognition",
        description="The id of a key, and the secret that AWS's signatures are made with: on the "
        "database alone, with no --url. It is made of what is stored and can be printed again; "
        "another one comes with each rotation. The second line is secret.",
        example=f"rollcall keys aws {_EXAMPLE}",
    )
    aws.add_argument("id")
    as_json(aws)
    aws.set_defaults(run=on_database(_aws))

    revoke = add_command(
        actions,
        "revoke",
        "let a key open nothing any more",
        example=f"rollcall keys revoke {_EXAMPLE}",
    )
    revoke.add_argument("id")
    as_json(revoke)
    add_service_options(revoke)
    revoke.set_defaults(run=_either(_revoke, _revoke_there))


def _either(here: OnDatabase, there: Work) -> Callable[[argparse.Namespace, Settings], int | None]:
    """On the database of the settings, or by a service that the caller named."""
    on_it, of_it = on_database(here), asking(there)
    return lambda asked, settings: (of_it if named_url(asked) else on_it)(asked, settings)


async def _create(asked: argparse.Namespace, database: Database) -> None:
    new = NewKey(
        name=asked.name,
        scopes=frozenset(asked.scope),
        collections=None if asked.collection is None else frozenset(asked.collection),
        requests_a_minute=asked.requests_a_minute,
        concurrency=asked.concurrency,
        expires_at=_end(asked),
    )
    key, text = await keys.create(database, _OPERATOR, new)
    _print_new(asked, key, text)


async def _create_there(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    key = await client.make_key(
        asked.name,
        asked.scope,
        collections=asked.collection,
        requests_a_minute=asked.requests_a_minute,
        concurrency=asked.concurrency,
        expires_at=_end(asked),
    )
    _print_new(asked, key, key.secret.get_secret_value())


def _end(asked: argparse.Namespace) -> datetime | None:
    if asked.expires_days is None:
        return None
    return datetime.now(UTC) + timedelta(days=asked.expires_days)


async def _rotate(asked: argparse.Namespace, database: Database) -> None:
    grace = timedelta(hours=asked.grace_hours)
    key, text = await keys.rotate(database, _OPERATOR, asked.id, grace)
    _print_new(asked, key, text)


async def _rotate_there(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    key = await client.rotate_key(asked.id, grace_seconds=round(asked.grace_hours * 3600))
    _print_new(asked, key, key.secret.get_secret_value())


async def _aws(asked: argparse.Namespace, database: Database) -> None:
    secret = await keys.signing_secret(database, _OPERATOR, asked.id)
    pair = {"aws_access_key_id": asked.id, "aws_secret_access_key": secret}
    if asked.json:
        print_json(pair)
    else:
        for name, value in pair.items():  # as ~/.aws/credentials has them
            print(f"{name} = {value}")


async def _revoke(asked: argparse.Namespace, database: Database) -> None:
    _print_revoked(asked, await keys.revoke(database, _OPERATOR, asked.id))


async def _revoke_there(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    _print_revoked(asked, await client.revoke_key(asked.id))


async def _list(asked: argparse.Namespace, database: Database) -> None:
    found: list[ApiKey] = []
    while page := await keys.page(database, found[-1].id if found else "", _PAGE):
        found += page
    _print_all(asked, found)


async def _list_there(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    _print_all(asked, [key async for key in client.keys(limit=_PAGE)])


def _print_all(asked: argparse.Namespace, found: Sequence[ApiKey | models.Key]) -> None:
    if asked.json:
        print_json_array(map(_facts, found))
        return
    print_table(
        ("id", "state", "scopes", "collections", "last used", "name"),
        (
            (
                key.id,
                "revoked" if key.revoked_at else "in use",
                ",".join(sorted(key.scopes)),
                "all" if key.collections is None else ",".join(sorted(key.collections)),
                key.last_used_at.isoformat(timespec="seconds") if key.last_used_at else "never",
                key.name,
            )
            for key in found
        ),
        empty="there are no keys; `rollcall keys create --help` tells how to make one",
    )


def _print_new(asked: argparse.Namespace, key: ApiKey | models.Key, text: str) -> None:
    if asked.json:
        print_json({**_facts(key), "secret": text})
    else:
        # The text alone on standard output, so that it can go straight into a file.
        print(text)


def _print_revoked(asked: argparse.Namespace, key: ApiKey | models.Key) -> None:
    if asked.json:
        print_json(_facts(key))
    else:
        print(
            f"{key.id} ({plain(key.name)}) is revoked. Running services know within a poll "
            "interval."
        )


def _facts(key: ApiKey | models.Key) -> Mapping[str, Any]:
    """The same whoever was asked."""
    return {name: _told(getattr(key, name)) for name in _FACTS}


def _told(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return sorted(value) if isinstance(value, frozenset | list) else value
