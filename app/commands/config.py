"""`rollcall config`: every setting, its value and where it came from."""

import argparse
import os
from collections.abc import Iterator
from typing import Any

from app.commands.parsing import Commands, add_command, as_json
from app.commands.showing import print_json
from app.settings import Settings


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "config",
        "list every setting, its value and where it came from",
        description="Every setting, its value, and whether it was given in the environment or is "
        "the default. Secrets are masked.",
        example="ROLLCALL_PORT=8001 rollcall config\nrollcall config --json",
    )
    as_json(command)
    command.set_defaults(run=_print)


def _print(asked: argparse.Namespace, settings: Settings) -> None:
    """Secrets are masked by their type."""
    if asked.json:
        values = settings.model_dump(mode="json")
        print_json(
            [
                {"name": variable, "value": values[name], "source": source, "description": text}
                for name, variable, source, text in _each()
            ]
        )
        return
    for name, variable, source, text in _each():
        print(f"{variable}={getattr(settings, name)}  [{source}]")
        print(f"    {text}")


def _each() -> Iterator[tuple[str, str, str, Any]]:
    """Field, variable, source and meaning of every setting."""
    given = {each.split("__")[0] for each in os.environ}
    for name, field in Settings.model_fields.items():
        variable = f"ROLLCALL_{name}".upper()
        yield name, variable, "environment" if variable in given else "default", field.description
