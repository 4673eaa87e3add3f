"""`rollcall faces`: enrolled faces, listed, looked at, moved and erased."""

import argparse
from pathlib import Path
from uuid import UUID

from rollcall_client import AsyncRollcall

from app.commands.asking_twice import make_sure
from app.commands.collections import print_erased
from app.commands.exits import DONE, FAILED, Failed
from app.commands.parsing import Commands, add_command, add_group, as_json, confirmed
from app.commands.service import add_service_options, asking
from app.commands.showing import plain, print_json, print_json_array, print_table

_EXAMPLE = "e25599a3-8d04-4678-b5a4-c5f3ae56ef76"
_PERSON = "2888a837-53fe-4894-ae74-3e76ddde6adc"


def add(commands: Commands) -> None:
    actions = add_group(commands, "faces", "list enrolled faces, look at, move and erase them")

    listing = add_command(
        actions,
        "list",
        "the enrolled faces of a person, or of a whole collection",
        example=f"rollcall faces list --person {_PERSON}\n"
        "rollcall faces list --collection staff --json",
    )
    whose = listing.add_mutually_exclusive_group()
    whose.add_argument("--person", type=UUID, metavar="ID")
    whose.add_argument("--collection", default="default", metavar="NAME")
    as_json(listing)
    add_service_options(listing)
    listing.set_defaults(run=asking(_list))

    crop = add_command(
        actions,
        "crop",
        "the kept picture of a face, 112 x 112 pixels, PNG",
        description="Writes the kept picture of an enrolled face: a PNG of 112 x 112 pixels. There "
        "is one where ROLLCALL_KEEP_CROPS was on when the face was enrolled.",
        example=f"rollcall faces crop {_EXAMPLE} --out face.png",
    )
    crop.add_argument("id", type=UUID)
    crop.add_argument("--out", type=Path, required=True, metavar="FILE")
    add_service_options(crop)
    crop.set_defaults(run=asking(_crop))

    move = add_command(
        actions,
        "move",
        "give faces to another person of the same collection",
        description="Gives enrolled faces to another person of the same collection. Whoever had "
        "them stays, also without any.",
        example=f"rollcall faces move {_EXAMPLE} --to {_PERSON}",
    )
    move.add_argument("ids", type=UUID, nargs="+", metavar="ID")
    move.add_argument("--to", type=UUID, required=True, metavar="PERSON")
    as_json(move)
    add_service_options(move)
    move.set_defaults(run=asking(_move))

    delete = add_command(
        actions,
        "delete",
        "erase one enrolled face; the person stays",
        example=f"rollcall faces delete {_EXAMPLE} --yes",
    )
    delete.add_argument("id", type=UUID)
    confirmed(delete)
    as_json(delete)
    add_service_options(delete)
    delete.set_defaults(run=asking(_delete))


async def _list(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    if asked.person is not None:
        rows = [
            {**face.model_dump(mode="json"), "person_id": str(asked.person)}
            for face in await client.person_faces(asked.person)
        ]
    else:
        rows = [
            face.model_dump(mode="json")
            async for face in client.faces(asked.collection, limit=1000)
        ]
    if asked.json:
        print_json_array(rows)
    else:
        names = ("id", "person_id", "reference")
        print_table(names, ([row[name] for name in names] for row in rows), empty="no faces")


async def _crop(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    picture = await client.face_crop(asked.id)
    try:
        asked.out.write_bytes(picture)
    except OSError as error:
        raise Failed("file_unwritable", f"{asked.out}: {error.strerror}.") from None


async def _move(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    moved = await client.move_faces(asked.to, asked.ids)
    if asked.json:
        print_json(moved.model_dump(mode="json"))
    else:
        print(f"moved {len(moved.face_ids)} faces to {moved.person.id}")


async def _delete(asked: argparse.Namespace, client: AsyncRollcall) -> int:
    face = await client.face(asked.id)
    named = "" if face.reference is None else f" ('{plain(face.reference)}')"
    if not make_sure(asked, f"erase face {face.id}{named} of person {face.person_id}"):
        return FAILED
    print_erased(asked, await client.delete_face(asked.id))
    return DONE
