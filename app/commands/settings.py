"""`python -m app settings`: every setting, its value and where it came from."""

import argparse
import os

from app.commands.parsing import Commands
from app.settings import Settings


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "settings", help="list every setting, its value and where it came from"
    )
    command.set_defaults(run=_print)


def _print(_: argparse.Namespace, settings: Settings) -> None:
    """Secrets are masked by their type."""
    for name, field in Settings.model_fields.items():
        variable = f"ROLLCALL_{name}".upper()
        given = any(each.split("__")[0] == variable for each in os.environ)
        value = getattr(settings, name)
        print(f"{variable}={value}  [{'environment' if given else 'default'}]")
        print(f"    {field.description}")
