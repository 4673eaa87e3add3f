"""`rollcall packs`: what `python -m app.packs` does, and the packs that a service works with."""

import argparse
from collections.abc import Callable
from pathlib import Path

from rollcall_client import AsyncRollcall

from app import packs
from app.commands.parsing import Commands, add_command, add_group, as_json
from app.commands.service import add_service_options, asking
from app.commands.showing import print_json_array, print_table
from app.settings import Settings


def add(commands: Commands) -> None:
    actions = add_group(
        commands,
        "packs",
        "the packs of models: which are here, what is in them, fetching more",
        description="Model packs: a detector, a recognizer, their contract and calibration.",
    )
    for name, (text, example, describe) in packs.ACTIONS.items():
        command = add_command(actions, name, text, example=f"rollcall {example}")
        command.add_argument(
            "--packs-dir",
            type=Path,
            metavar="FOLDER",
            help="where packs are kept (default: ROLLCALL_PACKS_DIR, else models/packs)",
        )
        describe(command)
        command.set_defaults(run=_in_packs_dir(command.get_default("run")))

    loaded = add_command(
        actions,
        "loaded",
        "the packs that a service works with",
        example="rollcall packs loaded --url http://10.0.0.1:8000",
    )
    as_json(loaded)
    add_service_options(loaded)
    loaded.set_defaults(run=asking(_loaded))


async def _loaded(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    found = (await client.models()).models
    if asked.json:
        print_json_array(each.model_dump(mode="json") for each in found)
        return
    print_table(
        ("pack", "version", "model", "default", "calibrated", "providers", "licence"),
        (
            (
                each.pack,
                each.version,
                each.model,
                each.default,
                each.calibration is not None,
                ",".join(each.providers),
                each.licence,
            )
            for each in found
        ),
    )


def _in_packs_dir(
    run: Callable[[argparse.Namespace], int],
) -> Callable[[argparse.Namespace, Settings], int]:
    def with_settings(asked: argparse.Namespace, settings: Settings) -> int:
        asked.packs_dir = asked.packs_dir or settings.packs_dir
        return run(asked)

    return with_settings
