"""The last step of a pack: its figures go into it, or it is refused.

Takes evaluation.json and calibration.json that lie in the pack's folder, writes figures into
pack.json and MODEL_CARD.md beside it, and refuses where one is missing or was made for another
recognizer. Needs no torch: a pack is trained where the data is, and may be finished elsewhere.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from app.vision.calibration import read_calibration
from app.vision.pack import CALIBRATION, hash_file, read_manifest, read_pack
from models.training.card import Card, model_card
from models.training.measures import measures

PACK: Final = "pack.json"
EVALUATION: Final = "evaluation.json"
CARD: Final = "MODEL_CARD.md"


class PackIncomplete(ValueError):
    """A pack lacks something without which nobody could know what it is worth."""


def finish(
    folder: Path,
    *,
    failures: str | None,
    limits: str | None = None,
    without_calibration: str | None = None,
) -> None:
    """Write the figures into ``pack.json`` and ``MODEL_CARD.md`` beside it.

    ``failures`` and ``limits`` are Markdown for the card: where the recognizer fails, and what it
    is for (there is a default). ``without_calibration`` is the reason where a pack shall go
    without.

    Raises:
        PackIncomplete: figures, calibration or failure cases are missing, or were measured on
            another recognizer; nothing is written then.
        PackInvalid: ``folder`` holds no pack, or a damaged one.
    """
    # The pack reader checks calibration.json and that it was made for this recognizer.
    pack = read_pack(folder)
    if pack.format != "rollcall":
        raise PackIncomplete(f"{folder} has no {PACK}: only what export wrote can be finished")
    manifest = read_manifest(folder / PACK)
    evaluation, wanting = _evaluation(folder / EVALUATION, pack.model)
    if pack.calibration is None and not without_calibration:
        wanting.append(
            f"{CALIBRATION}: run calibrate, or give the reason with --without-calibration"
        )
    if pack.calibration is not None and without_calibration:
        wanting.append(f"a reason for --without-calibration: there is a {CALIBRATION}")
    if not (failures or "").strip():
        wanting.append("failure cases: say where the recognizer fails in a file for --failures")
    if wanting:
        raise PackIncomplete(f"{folder} is not finished. It lacks " + "; ".join(wanting) + ".")
    training: dict[str, Any] = {**manifest.training, "figures": evaluation["figures"]}
    training.pop("without_calibration", None)
    if without_calibration:
        training["without_calibration"] = without_calibration
    calibrated = hash_file(folder / CALIBRATION) if pack.calibration else None
    manifest = manifest.model_copy(update={"training": training, "calibration_sha256": calibrated})
    card = model_card(
        Card(
            manifest=manifest,
            model=pack.model,
            size=pack.recognizer.path.stat().st_size,
            evaluation=evaluation,
            calibration=read_calibration(folder / CALIBRATION, pack.model),
            failures=(failures or "").strip(),
            limits=(limits or "").strip(),
        )
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / PACK).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _evaluation(path: Path, model: str) -> tuple[dict[str, Any], list[str]]:
    """What evaluate wrote, and what is wrong with it, in words that follow "It lacks"."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, [f"{path.name}: run evaluate with this folder as --pack and --out"]
    except ValueError as error:
        return {}, [f"a readable {path.name} ({error}): run evaluate again"]
    if not isinstance(content, dict) or content.get("model") != model:
        found = content.get("model") if isinstance(content, dict) else None
        return {}, [
            f"an {path.name} of its own: it was measured on model {found}, the recognizer here is "
            f"{model}; run evaluate again"
        ]
    if next(measures(content.get("figures")), None) is None:
        return {}, [f"figures: {path.name} holds no rate with its counts; run evaluate again"]
    return content, []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``finish``."""
    parser.add_argument("--pack", type=Path, required=True, help="folder of the pack")
    parser.add_argument(
        "--failures", type=Path, required=True, metavar="FILE", help="Markdown: where it fails"
    )
    parser.add_argument(
        "--limits", type=Path, metavar="FILE", help="Markdown: intended use and limits"
    )
    parser.add_argument("--without-calibration", metavar="REASON", help="why it has none")


def run(arguments: argparse.Namespace) -> None:
    """The command. Raises PackIncomplete, PackInvalid and FileNotFoundError."""
    limits: Path | None = arguments.limits
    finish(
        arguments.pack,
        failures=arguments.failures.read_text(encoding="utf-8"),
        limits=None if limits is None else limits.read_text(encoding="utf-8"),
        without_calibration=arguments.without_calibration,
    )
