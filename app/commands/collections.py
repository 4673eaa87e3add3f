"""`rollcall collections`: named galleries, listed, made and erased."""

import argparse

from rollcall_client import AsyncRollcall, models

from app.commands.asking_twice import make_sure
from app.commands.exits import DONE, FAILED
from app.commands.parsing import Commands, add_command, add_group, as_json, confirmed
from app.commands.service import add_service_options, asking
from app.commands.showing import plain, print_facts, print_json, print_json_array, print_table

_COLUMNS = ("name", "persons", "faces", "revision", "model", "made")


def add(commands: Commands) -> None:
    actions = add_group(commands, "collections", "list, make and erase collections")

    listing = add_command(
        actions, "list", "every collection with its counts", example="rollcall collections list"
    )
    as_json(listing)
    add_service_options(listing)
    listing.set_defaults(run=asking(_list))

    show = add_command(
        actions, "show", "one collection", example="rollcall collections show staff --json"
    )
    show.add_argument("name")
    as_json(show)
    add_service_options(show)
    show.set_defaults(run=asking(_show))

    make = add_command(
        actions,
        "make",
        "make an empty collection",
        description="Makes an empty collection. An enrolment makes one at its first use too.",
        example="rollcall collections make staff",
    )
    make.add_argument("name")
    as_json(make)
    add_service_options(make)
    make.set_defaults(run=asking(_make))

    delete = add_command(
        actions,
        "delete",
        "erase a collection with everybody in it",
        example="rollcall collections delete visitors --yes",
    )
    delete.add_argument("name")
    confirmed(delete)
    as_json(delete)
    add_service_options(delete)
    delete.set_defaults(run=asking(_delete))


async def _list(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    found = [each async for each in client.collections(limit=1000)]
    if asked.json:
        print_json_array(each.model_dump(mode="json") for each in found)
    else:
        print_table(_COLUMNS, map(_row, found), empty="there are no collections")


def _row(each: models.Collection) -> tuple[object, ...]:
    made = each.created_at.isoformat(timespec="seconds")
    return each.name, each.person_count, each.face_count, each.revision, each.model, made


async def _show(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    _print(asked, await client.collection(asked.name))


async def _make(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    _print(asked, await client.make_collection(asked.name))


def _print(asked: argparse.Namespace, found: models.CollectionAnswer) -> None:
    if asked.json:
        print_json(found.model_dump(mode="json"))
    else:
        print_facts(dict(zip(_COLUMNS, _row(found), strict=True)))


async def _delete(asked: argparse.Namespace, client: AsyncRollcall) -> int:
    found = await client.collection(asked.name)
    what = (
        f"erase collection '{plain(found.name)}' with {found.person_count} persons and "
        f"{found.face_count} faces"
    )
    if not make_sure(asked, what):
        return FAILED
    print_erased(asked, await client.delete_collection(asked.name))
    return DONE


def print_erased(asked: argparse.Namespace, gone: models.ErasedAnswer) -> None:
    if asked.json:
        print_json(gone.model_dump(mode="json"))
    else:
        print(
            f"erased {gone.persons} persons and {gone.faces} faces from '{plain(gone.collection)}'"
        )
