"""`rollcall verify`: is this the same person?"""

import argparse
from pathlib import Path
from uuid import UUID

from rollcall_client import AsyncRollcall

from app.commands.bulk import Unusable
from app.commands.exits import DONE, NO, Failed, Misused
from app.commands.parsing import Commands, add_command, as_json
from app.commands.photo_arguments import read_photo
from app.commands.service import add_service_options, asking
from app.commands.showing import paint, print_json


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "verify",
        "is this the same person? Two photos, or a photo and an enrolled person",
        description="Is this the same person? Status 0: yes; 4: no; anything else: it could not "
        "be told.",
        example="rollcall verify passport.jpg door.jpg && echo the same\n"
        "rollcall verify door.jpg --person 2888a837-53fe-4894-ae74-3e76ddde6adc --collection staff",
    )
    command.add_argument("photo", type=Path, metavar="PHOTO", help="- is stdin")
    command.add_argument("other", type=Path, nargs="?", metavar="OTHER", help="a second photo")
    command.add_argument("--person", type=UUID, metavar="ID", help="an enrolled person instead")
    command.add_argument(
        "--collection", metavar="NAME", help="where that person is (default: default)"
    )
    limit = command.add_mutually_exclusive_group()
    limit.add_argument("--threshold", type=float, metavar="S", help="the least similarity")
    limit.add_argument(
        "--target-fmr", type=float, metavar="P", help="accept this share of pairs of strangers"
    )
    as_json(command)
    add_service_options(command)
    command.set_defaults(run=asking(_verify))


async def _verify(asked: argparse.Namespace, client: AsyncRollcall) -> int:
    """Raises Misused, Failed, RollcallError."""
    if (asked.other is None) == (asked.person is None):
        raise Misused("verify compares a photo with OTHER, or with --person ID.")
    if asked.collection is not None and asked.person is None:
        raise Misused("--collection goes with --person.")
    answer = await client.verify(
        await _photo(asked.photo),
        None if asked.other is None else await _photo(asked.other),
        person_id=asked.person,
        collection=asked.collection,
        threshold=asked.threshold,
        target_fmr=asked.target_fmr,
    )
    if asked.json:
        print_json(answer.model_dump(mode="json"))
    else:
        verdict = paint("the same", "green") if answer.verified else paint("not the same", "red")
        sign = ">=" if answer.verified else "<"
        print(
            f"{verdict}  similarity {answer.similarity:.4f} {sign} threshold "
            f"{answer.threshold:.4f} ({answer.threshold_source})"
        )
        if answer.fmr is not None:
            print(f"one in {1 / answer.fmr:,.0f} pairs of strangers reaches this threshold")
    return DONE if answer.verified else NO


async def _photo(path: Path) -> bytes:
    try:
        return await read_photo(path)
    except Unusable as reason:
        raise Failed(reason.reason, f"{path}: {reason}") from None
