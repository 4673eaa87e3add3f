"""``python -m models.training COMMAND``: from a folder of faces to a calibrated pack."""

import argparse
import importlib
import logging
import sys
from typing import Final

from app.errors import RollcallError

# Imported when named: preparing, evaluating and calibrating need no torch.
COMMANDS: Final = {
    "prepare": "find and align the faces of raw photos",
    "train": "train a recognizer by a recipe",
    "export": "make a pack of a checkpoint",
    "evaluate": "measure a pack by the field's protocols",
    "calibrate": "measure which similarity means what, and write it into a pack",
    "finish": "put figures and a model card into a pack, or refuse it",
    "quantize": "make an INT8 pack of a pack, where that is faster",
    "demo": "all of it, from raw photos to a pack that the service starts with",
    "study": "the experiments of docs/training.md",
}


def main() -> int:
    """Command line. 0 done, 1 refused or failed (the reason is on stderr), 2 wrong usage."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for chatty in ("onnx_ir", "onnxscript"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    named = next((word for word in sys.argv[1:] if word in COMMANDS), "")
    try:
        command(named)
    except ModuleNotFoundError as error:
        print(f"{named}: {error}: see docs/training.md for what to install", file=sys.stderr)
        return 1
    except (RollcallError, ValueError, OSError, RuntimeError) as error:
        print(f"{named}: {error}", file=sys.stderr)
        return 1
    return 0


def command(named: str) -> None:
    """Parse the command line, whose command is ``named`` (or none), and run it."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        words = commands.add_parser(name, help=summary, description=summary)
        if name == named:
            module = importlib.import_module(f"models.training.{name}")
            words.description = module.__doc__
            module.add_arguments(words)
    arguments = parser.parse_args()
    importlib.import_module(f"models.training.{arguments.command}").run(arguments)


if __name__ == "__main__":
    sys.exit(main())
