"""The model card of a pack (Mitchell et al., "Model Cards for Model Reporting", 2019).

Everything that is known is written out of the pack's own files, so that the card cannot say
something else than they do. Where a recognizer fails is for people to tell.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.vision.calibration import Calibration, FpirLaw
from app.vision.manifest import Manifest
from models.training.measures import Accuracy, Measure, accuracies, measures

LIMITS: Final = (
    "For trying, developing and testing face recognition, on figures that its user has measured "
    "on pictures like their own. A similarity is no proof of identity: let no decision about a "
    "person rest on it alone, and have every match that matters looked at by somebody who may "
    "overrule it. Errors differ between groups of people, cameras and light."
)
NO_GROUPS: Final = (
    "No figure here is split by group. Error rates of children, old people and those who are rare "
    "in the training data are unknown and likely higher."
)


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card is made of. ``size`` is the recognizer's in bytes; texts are Markdown."""

    manifest: Manifest
    model: str
    size: int
    evaluation: Mapping[str, Any]
    calibration: Calibration | None
    failures: str
    limits: str


def model_card(card: Card) -> str:
    """The card as Markdown."""
    manifest, figures = card.manifest, card.evaluation["figures"]
    sections = (
        (f"# {manifest.name} {manifest.version}", _summary(card)),
        ("## What it is", _parts(card)),
        ("## Data and terms", _data(card)),
        ("## Training", _training(manifest.training)),
        ("## Figures", _figures(figures)),
        ("## By group", _groups(figures)),
        ("## Calibration", _calibration(card)),
        ("## Failure cases", card.failures),
        ("## Intended use and limits", card.limits or LIMITS),
        ("## Licence", f"{manifest.licence}\n\nDetector: {manifest.detector.licence}"),
    )
    return "\n\n".join(f"{title}\n{text}" for title, text in sections) + "\n"


def _summary(card: Card) -> str:
    run = card.manifest.training.get("run", {})
    kind = "distilled from a teacher" if _teacher(run) else "trained from scratch on labels alone"
    lines = [f"\nA face recognizer with its detector, {kind}."]
    figures = accuracies(card.evaluation["figures"])
    lines += [f"{_name(each.path)}: **{_accuracy(each)}**." for each in figures]
    return " ".join(lines)


def _parts(card: Card) -> str:
    entry, detector = card.manifest.recognizer, card.manifest.detector
    run = card.manifest.training.get("run", {})
    cost = ""
    if run.keys() >= {"backbone", "parameters", "multiply_adds"}:
        cost = (
            f" {run['backbone']}, {run['parameters']:,} parameters, "
            f"{run['multiply_adds'] / 1e6:,.0f} M multiply-adds a crop;"
        )
    return (
        f"- **Recognizer** `{entry.file}` ({card.size / 1e6:.1f} MB, model `{card.model}`):{cost} "
        f"112x112 {entry.colour.upper()} as (x − {_plain(entry.mean)}) / {_plain(entry.std)}, "
        f"aligned as {entry.alignment}; {entry.dimension}-dimensional embedding, not normalised by "
        f"the file. `flip_test` is {'on' if entry.flip_test else 'off'}.\n"
        f"- **Detector** `{detector.file}`: {detector.kind}, {detector.licence}."
    )


def _data(card: Card) -> str:
    training = card.manifest.training
    run = training.get("run", {})
    lines = [f"- Trained on: {card.manifest.data}"]
    if run.keys() >= {"images", "identities"}:
        lines.append(f"- {run['images']:,} pictures of {run['identities']:,} people.")
    if fingerprint := training.get("data_fingerprint"):
        lines.append(f"- Fingerprint of the data: `{fingerprint}`.")
    if teacher := _teacher(run):
        lines.append(f"- Teacher: {teacher}. Its strengths and faults are likely this one's too.")
    if said := card.evaluation.get("data"):
        lines.append(f"- Measured on: {_sentence(said)}")
    if card.calibration:
        lines.append(f"- Calibrated on: {card.calibration.data}")
    return "\n".join(lines)


def _training(training: Mapping[str, Any]) -> str:
    run = training.get("run", {})
    facts = {
        "recipe": training.get("recipe"),
        "seed": training.get("seed"),
        "epochs": run.get("epochs"),
        "minutes": run.get("minutes"),
        "device": run.get("device"),
        "torch": run.get("torch"),
        "commit": training.get("commit"),
    }
    lines = [_table(("", ""), [(k, str(v)) for k, v in facts.items() if v is not None])]
    for phase in run.get("earlier", []):
        lines.append(f"An earlier training that this one went on from: `{json.dumps(phase)}`")
    if recipe := run.get("recipe"):
        lines.append(f"```\n{json.dumps(recipe, indent=2)}\n```")
    if validation := run.get("validation"):
        rows = [(str(name), _percent(value)) for name, value in validation.items()]
        lines.append(
            "What the training was judged by: TAR at FAR 1e-3 over all pairs of held-out people."
        )
        lines.append(_table(("set", "TAR"), rows))
    return "\n\n".join(lines)


def _figures(figures: Mapping[str, Any]) -> str:
    rows = [(_name(each.path), _accuracy(each), "", "", "") for each in accuracies(figures)] + [
        _row(each) for each in measures(figures) if not _is_grouped(each)
    ]
    return (
        "Intervals are 95 %, Clopper-Pearson over comparisons or searches; pairs share people, so "
        "the true ones are wider. A rate that rests on fewer than 30 errors is marked imprecise. "
        "Accuracy is the mean over folds with its standard error.\n\n"
        + _table(("measure", "value", "counts", "interval", "threshold"), rows)
    )


def _groups(figures: Mapping[str, Any]) -> str:
    rows = [_row(each) for each in measures(figures) if _is_grouped(each)]
    if not rows:
        return NO_GROUPS
    return _table(("group", "value", "counts", "interval", "threshold"), rows)


def _calibration(card: Card) -> str:
    if card.calibration is None:
        reason = card.manifest.training.get("without_calibration", "none is given")
        return f"None, so the pack has no thresholds of its own. The reason: {reason}"
    rows = [
        (
            f"{row.fmr:g}",
            f"{row.threshold:.4f}",
            f"{row.errors:,} of {row.pairs:,}",
            f"{row.interval[0]:.2g} to {row.interval[1]:.2g}",
        )
        for row in card.calibration.fmr
    ]
    return (
        f"Measured on {card.calibration.subjects:,} people.\n\n"
        + _table(("FMR", "threshold", "non-mated pairs", "interval"), rows)
        + "\n\n"
        + _law(card.calibration.fpir)
    )


def _law(law: FpirLaw) -> str:
    return (
        f"The threshold for an FPIR was fitted to galleries of {law.sizes[0]:,} to "
        f"{law.sizes[1]:,} people and {law.searches:,} searches. It is used for FPIR "
        f"{law.min_fpir:g} to {law.max_fpir:g} and for up to {law.max_size:,} templates, and "
        "refused beyond."
    )


def _row(measure: Measure) -> tuple[str, ...]:
    low, high = measure.interval
    return (
        _name(measure.path) + (", imprecise" if measure.imprecise else ""),
        _percent(measure.rate),
        f"{measure.count:,} of {measure.total:,}",
        f"{_percent(low)} to {_percent(high)}",
        "" if measure.threshold is None else f"{measure.threshold:.4f}",
    )


def _is_grouped(measure: Measure) -> bool:
    return any("group" in name or "relatives" in name for name in measure.path)


def _accuracy(accuracy: Accuracy) -> str:
    return f"{accuracy.mean * 100:.2f} % ± {accuracy.standard_error * 100:.2f}"


def _percent(rate: float) -> str:
    """With as many digits as tell small rates apart."""
    digits = f"{rate * 100:.2f}" if rate >= 0.001 or rate == 0 else f"{rate * 100:.2g}"
    return f"{digits} %"


def _name(path: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in path)


def _teacher(run: Mapping[str, Any]) -> str:
    if run.get("teacher"):
        return str(run["teacher"])
    return "not named" if run.get("recipe", {}).get("teacher_weight") else ""


def _plain(value: float | Sequence[float]) -> str:
    if isinstance(value, int | float):
        return f"{value:g}"
    return "(" + ", ".join(f"{each:g}" for each in value) + ")"


def _sentence(said: Any) -> str:
    """Data as evaluate names it: a text, a list of texts, or texts by protocol."""
    if isinstance(said, Mapping):
        return "; ".join(f"{key}: {_sentence(value)}" for key, value in said.items())
    if isinstance(said, Iterable) and not isinstance(said, str):
        return "; ".join(_sentence(each) for each in said)
    return str(said)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    # A pipe or a line's end in a cell would be a column or a row of its own.
    cells = (
        [cell.replace("|", "\\|").replace("\n", " ") for cell in map(str, line)] for line in lines
    )
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)
