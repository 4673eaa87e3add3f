"""`rollcall secrets`: which secret wraps what, and moving to another secret or another key."""

import argparse
from collections import Counter, defaultdict
from dataclasses import asdict

from app.commands.on_database import on_database
from app.commands.parsing import Commands, add_command, add_group, as_json
from app.commands.showing import print_json
from app.store import change, collections, resealing, vaultkeys
from app.store.database import Database


def add(commands: Commands) -> None:
    actions = add_group(
        commands,
        "secrets",
        "see and change the secrets and keys that everything is encrypted with",
        description="What is encrypted with what. Works beside a running service.",
    )
    status = add_command(
        actions,
        "status",
        "the secrets, and the keys that each of them wraps",
        example="rollcall secrets status",
    )
    as_json(status)
    status.set_defaults(run=on_database(_status))
    rewrap = add_command(
        actions,
        "rewrap",
        "wrap every key under ROLLCALL_SECRET; the other secrets may go then",
        example="rollcall secrets rewrap",
    )
    as_json(rewrap)
    rewrap.set_defaults(run=on_database(_rewrap))
    rotate = add_command(
        actions,
        "rotate",
        "give collections new keys, and encrypt their templates anew",
        example="rollcall secrets rotate --collection staff",
    )
    rotate.add_argument("--collection", metavar="NAME", help="only this one (default: all)")
    as_json(rotate)
    rotate.set_defaults(run=on_database(_rotate))


async def _status(asked: argparse.Namespace, database: Database) -> None:
    """Raises DatabaseUnavailable. Shows also what the secrets given here do not open."""
    async with database.snapshot() as connection:
        keys = await vaultkeys.census(connection)
        plain = await vaultkeys.plain_templates(connection)
        given = vaultkeys.keychain_of(connection).vault.secret_ids
    if asked.json:
        print_json(
            {
                "secrets_given": list(given),
                "keys": [asdict(key) for key in keys],
                "plain_templates": dict(plain),
            }
        )
        return
    wrapped = Counter(key.secret_id for key in keys)
    for number, secret_id in enumerate(given):
        name = "ROLLCALL_SECRET" if number == 0 else "ROLLCALL_OTHER_SECRETS"
        print(f"secret {secret_id}  wraps {wrapped.pop(secret_id, 0)} keys  [{name}]")
    for secret_id, count in sorted(wrapped.items()):
        print(f"secret {secret_id}  wraps {count} keys  [NOT GIVEN HERE]")
    versions = defaultdict(list)
    for key in keys:
        if key.collection is None:
            print(f"key of {key.purpose}")
        else:
            versions[key.collection].append(f"version {key.version}: {key.templates} templates")
    for collection, lines in versions.items():
        print(f"keys of collection {collection}  {', '.join(lines)}")
    for collection, count in plain:
        print(f"collection {collection} holds {count} templates in plain; the service seals them")


async def _rewrap(asked: argparse.Namespace, database: Database) -> None:
    """Raises DatabaseUnavailable, TemplateUnreadable."""
    async with database.transaction(patience=60.0) as connection:
        count = await vaultkeys.rewrap(connection)
    if asked.json:
        print_json({"keys": count})
        return
    print(f"{count} keys are now wrapped by ROLLCALL_SECRET; none is left under another secret")


async def _rotate(asked: argparse.Namespace, database: Database) -> None:
    """Raises CollectionNotFound, DatabaseUnavailable, TemplateUnreadable."""
    async with database.transaction() as connection:
        if asked.collection is None:
            homes = await collections.heads(connection)
        else:
            homes = [await collections.get(connection, asked.collection)]
    for home in homes:
        done = await resealing.rotate(database, home.id)
        async with database.transaction() as connection:
            await change.notify(connection, home.id)
        if asked.json:  # a line each, as they are done: a large one takes a while
            print_json({"collection": home.name, **asdict(done)})
            continue
        print(
            f"collection {home.name}: {done.templates} templates and {done.crops} crops under a "
            f"new key, {done.keys_destroyed} older keys destroyed",
            flush=True,
        )
