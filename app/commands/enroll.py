"""`rollcall enroll`: a folder or a table of photos into a collection."""

import argparse
import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from rollcall_client import AsyncRollcall
from rollcall_client.errors import RollcallError

from app.commands.bulk import Photo, Way, enroll_all
from app.commands.exits import DONE, Failed
from app.commands.ledger import Ledger, reporting
from app.commands.parsing import Commands, add_command, as_json, positive
from app.commands.photo_files import Plan, plan_of_folder
from app.commands.photo_table import COLUMNS, METADATA, plan_of_table
from app.commands.service import PATIENT, add_service_options, in_words, service
from app.commands.showing import plain, print_json
from app.settings import Settings

# Requests under way for each thread of the service that looks at pictures: none of them idles.
_A_THREAD = 4
_MOST = 64


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "enroll",
        "enrol a folder of photos, or a table of them; goes on where it was stopped",
        description="Enrols many photos: FOLDER holds a folder for each person, named as the "
        "person is; a CSV has a row for each photo, with the columns path and person, and if "
        f"wanted {', '.join(sorted({*COLUMNS.values()} - {'path', 'person'}))} and "
        f"{METADATA}ANYTHING. Run it again after Ctrl-C, a crash or a refusal: what is enrolled "
        "is left alone (told by the person's external_id and the photo's path), the rest is done. "
        "A key needs the scopes enroll and read. Status 3: some photos were refused.",
        example="rollcall enroll photos/ --collection staff\n"
        "rollcall enroll people.csv --root photos --collection staff --report refused.csv",
    )
    command.add_argument("source", type=Path, metavar="FOLDER|CSV")
    command.add_argument(
        "--root", type=Path, metavar="FOLDER", help="what the paths of a CSV are relative to "
        "(default: the folder it is in)",
    )  # fmt: skip
    command.add_argument(
        "--each-file-a-person",
        action="store_true",
        help="photos in FOLDER itself: each is one person, named as the file is",
    )
    add_bulk_options(command)
    command.add_argument(
        "--dry-run", action="store_true", help="read and check folder or table, and send nothing"
    )
    add_service_options(command)
    command.set_defaults(run=_run)


def add_bulk_options(parser: argparse.ArgumentParser) -> None:
    """What every bulk enrolment can be told; `run_bulk` reads it."""
    parser.add_argument("--collection", default="default", metavar="NAME")
    parser.add_argument(
        "--face",
        choices=("only", "largest"),
        default="only",
        help="only: a photo must show exactly one face; largest: take the largest "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--on-duplicate",
        choices=("allow", "flag", "reject"),
        default="flag",
        help="when someone enrolled already looks like this (default: %(default)s)",
    )
    parser.add_argument(
        "--concurrency",
        type=positive,
        metavar="N",
        help=f"photos under way (default: {_A_THREAD} for each of the service's workers)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a CSV of what was refused, and why"
    )
    as_json(parser)


def _run(asked: argparse.Namespace, settings: Settings) -> int:
    """Raises PlanWrong, and what `run_bulk` raises."""
    if asked.source.is_dir():
        plan = plan_of_folder(asked.source, each_file_a_person=asked.each_file_a_person)
    else:
        plan = plan_of_table(asked.source, asked.root)
    if asked.dry_run:
        return _print_plan(asked, plan)
    return run_bulk(asked, settings, plan.photos, total=len(plan.photos))


def run_bulk(
    asked: argparse.Namespace,
    settings: Settings,
    photos: Iterable[Photo],
    *,
    total: int | None,
) -> int:
    """Enrol `photos` as the options say, with progress, a report and a summary; the exit status.

    Raises Failed, NotNow, CannotStart.
    """
    with reporting(asked.report) as report:
        return asyncio.run(_bulk(asked, settings, photos, Ledger(total, report)))


async def _bulk(
    asked: argparse.Namespace, settings: Settings, photos: Iterable[Photo], ledger: Ledger
) -> int:
    try:
        async with service(asked, settings, retries=PATIENT) as client:
            way = Way(
                collection=asked.collection,
                face=asked.face,
                on_duplicate=asked.on_duplicate,
                concurrency=asked.concurrency or await _wide(client),
                photos=ledger.total,
            )
            ledger.begin()
            try:
                await enroll_all(client, photos, way, ledger)
            finally:
                ledger.end()
    except RollcallError as error:
        _say_stopped(ledger)
        raise in_words(error) from None
    except (asyncio.CancelledError, Failed):
        _say_stopped(ledger)
        raise
    if asked.json:
        ledger.print_json(asked.collection)
    else:
        ledger.print_summary(asked.collection, asked.report)
    return ledger.status


async def _wide(client: AsyncRollcall) -> int:
    """As many photos at a time as keep the service busy."""
    return min(_A_THREAD * (await client.models()).arrangement.vision_workers, _MOST)


def _say_stopped(ledger: Ledger) -> None:
    if ledger.photos:
        print(
            f"rollcall: stopped after {ledger.photos} photos. What is enrolled stays; the same "
            "command goes on from here.",
            file=sys.stderr,
        )


def _print_plan(asked: argparse.Namespace, plan: Plan) -> int:
    missing = plan.missing()
    if asked.json:
        print_json(
            {
                "collection": asked.collection,
                "photos": len(plan.photos),
                "persons": plan.persons,
                "missing": [str(path) for path in missing],
                "ignored": [str(path) for path in plan.ignored],
            }
        )
        return DONE
    print(f"{len(plan.photos)} photos of {plan.persons} persons for '{asked.collection}'")
    for what, paths in (("not there", missing), ("no photos, left aside", plan.ignored)):
        if paths:
            shown = ", ".join(plain(str(path)) for path in paths[:5])
            print(f"{what}: {len(paths)} ({shown}{', …' if len(paths) > 5 else ''})")
    print("Nothing was sent (--dry-run).")
    return DONE
