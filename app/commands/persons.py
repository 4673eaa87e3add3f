"""`rollcall persons`: who is enrolled, listed, edited, merged and erased."""

import argparse
import json
from datetime import datetime
from typing import Any
from uuid import UUID

from rollcall_client import AsyncRollcall, models

from app.commands.asking_twice import make_sure
from app.commands.collections import print_erased
from app.commands.exits import DONE, FAILED, Misused
from app.commands.parsing import Commands, add_command, add_group, as_json, confirmed
from app.commands.service import add_service_options, asking
from app.commands.showing import plain, print_facts, print_json, print_json_array, print_table

_EXAMPLE = "2888a837-53fe-4894-ae74-3e76ddde6adc"
_OTHER = "140991bc-444d-4bb6-9748-ea361a53dafa"
# What an edit may set, and what may be cleared by --clear.
_TEXTS = ("name", "external_id", "consent")
_CLEARABLE = (*_TEXTS, "expires_at")


def add(commands: Commands) -> None:
    actions = add_group(commands, "persons", "list, show, edit, merge and erase persons")

    listing = add_command(
        actions,
        "list",
        "the persons of a collection, in order of enrolment",
        example="rollcall persons list --collection staff --name ann\n"
        "rollcall persons list --external-id nasa-1 --json",
    )
    listing.add_argument("--collection", default="default", metavar="NAME")
    listing.add_argument("--name", metavar="TEXT", help="a part of the name, whatever its case")
    listing.add_argument("--external-id", metavar="ID", help="the one with this id of yours")
    as_json(listing)
    add_service_options(listing)
    listing.set_defaults(run=asking(_list))

    show = add_command(
        actions, "show", "one person, with the faces", example=f"rollcall persons show {_EXAMPLE}"
    )
    show.add_argument("id", type=UUID)
    as_json(show)
    add_service_options(show)
    show.set_defaults(run=asking(_show))

    edit = add_command(
        actions,
        "edit",
        "change what is kept of a person beside the faces",
        description="Changes what is kept of a person. What is not named stays as it is.",
        example=f"rollcall persons edit {_EXAMPLE} --name 'Eileen Collins' --clear external_id\n"
        f"""rollcall persons edit {_EXAMPLE} --metadata '{{"team": "STS-93"}}'""",
    )
    edit.add_argument("id", type=UUID)
    edit.add_argument("--name", metavar="TEXT")
    edit.add_argument("--external-id", metavar="ID")
    edit.add_argument("--consent", metavar="TEXT", help="where you keep the person's consent")
    edit.add_argument("--expires-at", type=_moment, metavar="TIME", help="erase the person then")
    edit.add_argument(
        "--metadata", type=_object, metavar="JSON", help="an object, in place of the old one"
    )
    edit.add_argument(
        "--clear", action="append", default=[], choices=_CLEARABLE, help="may be given again"
    )
    as_json(edit)
    add_service_options(edit)
    edit.set_defaults(run=asking(_edit))

    merge = add_command(
        actions,
        "merge",
        "make several persons one: all faces to the first, the others are erased",
        description="Moves all faces of the other persons to the first, and erases the others; "
        "the first keeps its name, external_id and metadata. Needs the scopes enroll and delete.",
        example=f"rollcall persons merge {_EXAMPLE} {_OTHER} --yes",
    )
    merge.add_argument("into", type=UUID, help="who stays")
    merge.add_argument("others", type=UUID, nargs="+", help="who go into it")
    confirmed(merge)
    as_json(merge)
    add_service_options(merge)
    merge.set_defaults(run=asking(_merge))

    delete = add_command(
        actions,
        "delete",
        "erase a person with all faces",
        example=f"rollcall persons delete {_EXAMPLE} --yes",
    )
    delete.add_argument("id", type=UUID)
    confirmed(delete)
    as_json(delete)
    add_service_options(delete)
    delete.set_defaults(run=asking(_delete))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError("must be like 2030-01-31T12:00:00Z")
    return moment


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value


async def _list(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    found = [
        each
        async for each in client.persons(
            asked.collection, name=asked.name, external_id=asked.external_id, limit=1000
        )
    ]
    if asked.json:
        print_json_array(each.model_dump(mode="json") for each in found)
        return
    print_table(
        ("id", "name", "external_id", "faces", "metadata"),
        (
            (each.id, each.name, each.external_id, each.face_count, each.metadata or None)
            for each in found
        ),
        empty="nobody",
    )


async def _show(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    person = await client.person(asked.id)
    faces = await client.person_faces(asked.id)
    if asked.json:
        told = [face.model_dump(mode="json") for face in faces]
        print_json({**person.model_dump(mode="json"), "faces": told})
        return
    _print(person)
    if faces:
        print()
        print_table(("face", "reference"), ((face.id, face.reference) for face in faces))


def _print(person: models.PersonAnswer) -> None:
    print_facts(
        {
            "id": person.id,
            "collection": person.collection,
            "name": person.name,
            "external_id": person.external_id,
            "metadata": person.metadata,
            "consent": person.consent,
            "expires_at": person.expires_at,
            "faces": person.face_count,
        }
    )


async def _edit(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    given = {
        name: value
        for name in (*_CLEARABLE, "metadata")
        if (value := getattr(asked, name)) is not None
    }
    if twice := set(given) & set(asked.clear):
        raise Misused(f"{', '.join(sorted(twice))} cannot be both set and cleared.")
    changes: dict[str, Any] = {**given, **dict.fromkeys(asked.clear)}
    if not changes:
        raise Misused("Name something to change: --name, --external-id, --metadata …")
    person = await client.edit_person(asked.id, **changes)
    if asked.json:
        print_json(person.model_dump(mode="json"))
    else:
        _print(person)


async def _merge(asked: argparse.Namespace, client: AsyncRollcall) -> int:
    into = await client.person(asked.into)
    others = [await client.person(each) for each in asked.others]
    faces = sum(each.face_count for each in others)
    what = f"move {faces} faces to {_called(into)} and erase {', '.join(map(_called, others))}"
    if not make_sure(asked, what):
        return FAILED
    moved = await client.merge_persons(asked.into, asked.others)
    if asked.json:
        print_json(moved.model_dump(mode="json"))
    else:
        print(f"moved {faces} faces to {_called(into)}, erased {len(others)} persons")
    return DONE


async def _delete(asked: argparse.Namespace, client: AsyncRollcall) -> int:
    person = await client.person(asked.id)
    what = f"erase {_called(person)} with {person.face_count} faces"
    if not make_sure(asked, what):
        return FAILED
    print_erased(asked, await client.delete_person(asked.id))
    return DONE


def _called(person: models.PersonAnswer) -> str:
    name = person.name or person.external_id
    return str(person.id) if name is None else f"'{plain(name)}' ({person.id})"
