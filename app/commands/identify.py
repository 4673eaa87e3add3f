"""`rollcall identify`: who is on these photos, among the people of a collection?"""

import argparse
from pathlib import Path

from rollcall_client import AsyncRollcall, models
from rollcall_client.errors import RollcallError

from app.commands.bulk import Unusable
from app.commands.exits import DONE, NO, PARTLY
from app.commands.parsing import Commands, add_command, as_json
from app.commands.photo_arguments import of_photo, read_photo
from app.commands.service import add_service_options, asking
from app.commands.showing import print_json, print_table, warn

_COLUMNS = ("photo", "face", "rank", "similarity", "name", "external_id", "person")


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "identify",
        "who is on these photos, among the people of a collection?",
        description="Who is on these photos, among the people of a collection? Status 0: somebody "
        "was recognised on each; 4: on at least one nobody was; 3: at least one was refused, for "
        "there was no face on it or it is no photo. --json prints a line for each photo.",
        example="rollcall identify visitor.jpg --collection staff\n"
        "rollcall identify party/*.jpg --max-faces 0 --json",
    )
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="- is stdin")
    command.add_argument("--collection", default="default", metavar="NAME")
    command.add_argument("--top-k", type=int, metavar="N", help="most persons for a face")
    command.add_argument(
        "--max-faces", type=int, metavar="N", help="the largest so many (default: 1; 0: all)"
    )
    limit = command.add_mutually_exclusive_group()
    limit.add_argument("--threshold", type=float, metavar="S", help="the least similarity to offer")
    limit.add_argument(
        "--target-fpir", type=float, metavar="P", help="name somebody for this share of strangers"
    )
    as_json(command)
    add_service_options(command)
    command.set_defaults(run=asking(_identify))


async def _identify(asked: argparse.Namespace, client: AsyncRollcall) -> int:
    """Raises RollcallError for what concerns more than one photo."""
    rows: list[tuple[object, ...]] = []
    refused = nobody = 0
    for path in asked.photos:
        try:
            answer = await client.identify(
                await read_photo(path),
                collection=asked.collection,
                top_k=asked.top_k,
                max_faces=asked.max_faces,
                threshold=asked.threshold,
                target_fpir=asked.target_fpir,
            )
        except Unusable as reason:
            code, detail = reason.reason, str(reason)
        except RollcallError as error:
            if not of_photo(error):
                raise
            code, detail = error.code, error.detail
        else:
            nobody += not any(face.identified for face in answer.faces)
            if asked.json:
                print_json({"photo": str(path), **answer.model_dump(mode="json")})
            rows += _rows(path, answer)
            continue
        refused += 1
        warn(f"{path}: {code}: {detail}")
        if asked.json:
            print_json({"photo": str(path), "error": {"code": code, "detail": detail}})
    if not asked.json:
        print_table(_COLUMNS, rows)
    return PARTLY if refused else NO if nobody else DONE


def _rows(path: Path, answer: models.IdentifyAnswer) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for number, face in enumerate(answer.faces, 1):
        if not face.candidates:
            rows.append((path, number, None, None, "nobody known", None, None))
        rows += [
            (
                path,
                number,
                each.rank,
                f"{each.similarity:.4f}",
                each.person.name,
                each.person.external_id,
                each.person.id,
            )
            for each in face.candidates
        ]
    return rows
