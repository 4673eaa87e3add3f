"""`rollcall detect`: the faces on photos, as a table, JSON, CSV, or drawn on the picture."""

import argparse
import csv
import sys
from pathlib import Path

from rollcall_client import AsyncRollcall, models
from rollcall_client.errors import RollcallError

from app.commands.bulk import Unusable
from app.commands.exits import DONE, NO, PARTLY, Failed, Misused
from app.commands.parsing import Commands, add_command, as_json
from app.commands.photo_arguments import of_photo, read_photo
from app.commands.service import add_service_options, asking
from app.commands.showing import print_json, print_table, warn

_COLUMNS = ("photo", "face", "x", "y", "width", "height", "score", "sharpness", "brightness",
            "yaw", "pitch", "roll")  # fmt: skip


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "detect",
        "the faces on photos: a table, JSON, CSV, or the picture with boxes drawn",
        description="The faces on photos, largest first; nothing is stored. Status 0: each photo "
        "has a face; 4: at least one has none; 3: at least one was refused. --json prints a line "
        "for each photo.",
        example="rollcall detect group.jpg --draw boxes.jpg\n"
        "rollcall detect photos/*.jpg --csv > faces.csv",
    )
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="- is stdin")
    form = command.add_mutually_exclusive_group()
    as_json(form)
    form.add_argument("--csv", action="store_true", help="print CSV")
    command.add_argument(
        "--draw", type=Path, metavar="FILE", help="write the one photo, with its faces marked, as "
        "JPEG or PNG",
    )  # fmt: skip
    add_service_options(command)
    command.set_defaults(run=asking(_detect))


async def _detect(asked: argparse.Namespace, client: AsyncRollcall) -> int:
    """Raises Misused, Failed, and RollcallError for what concerns more than one photo."""
    if asked.draw is not None and len(asked.photos) != 1:
        raise Misused("--draw goes with one photo.")
    rows: list[tuple[object, ...]] = []
    refused = faceless = 0
    for path in asked.photos:
        try:
            photo = await read_photo(path)
            answer = await client.detect(photo)
        except Unusable as reason:
            code, detail = reason.reason, str(reason)
        except RollcallError as error:
            if not of_photo(error):
                raise
            code, detail = error.code, error.detail
        else:
            faceless += not answer.faces
            if asked.draw is not None:
                _draw(photo, answer, asked.draw)
            if asked.json:
                print_json({"photo": str(path), **answer.model_dump(mode="json")})
            rows += [_row(path, number, face) for number, face in enumerate(answer.faces, 1)]
            continue
        refused += 1
        warn(f"{path}: {code}: {detail}")
        if asked.json:
            print_json({"photo": str(path), "error": {"code": code, "detail": detail}})
    if asked.csv:
        csv.writer(sys.stdout).writerows([_COLUMNS, *rows])
    elif not asked.json:
        print_table(_COLUMNS, rows, empty="no face was found")
    return PARTLY if refused else NO if faceless else DONE


def _row(path: Path, number: int, face: models.Face) -> tuple[object, ...]:
    box, quality = face.bounding_box, face.quality
    return (
        path,
        number,
        *(f"{value:.1f}" for value in (box.x, box.y, box.width, box.height)),
        f"{face.detection_score:.3f}",
        *(
            f"{value:.2f}"
            for value in (
                quality.sharpness,
                quality.brightness,
                quality.yaw,
                quality.pitch,
                quality.roll,
            )
        ),
    )


def _draw(photo: bytes, answer: models.DetectAnswer, target: Path) -> None:
    """Raises Failed where the file cannot be written."""
    # The room of pictures takes a moment to enter, and only this needs it.
    from app.vision.drawing import Mark, marked

    marks = [
        Mark(
            box=(
                face.bounding_box.x,
                face.bounding_box.y,
                face.bounding_box.width,
                face.bounding_box.height,
            ),
            points=[tuple(point) for point in face.landmarks.model_dump().values()],
            label=str(number),
        )
        for number, face in enumerate(answer.faces, 1)
    ]
    try:
        target.write_bytes(marked(photo, marks, png=target.suffix.lower() == ".png"))
    except OSError as error:
        raise Failed("file_unwritable", f"{target}: {error.strerror}.") from None
