"""Named sets of hyper-parameters. Recipe, seed and data fingerprint name a training."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_type_hints

from models.training.augment import MIRRORED, Views

Options = tuple[tuple[str, float | int | bool], ...]
Schedule = Literal["cosine", "step"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training except the data and the machine.

    The loss is ``head_weight * head(z, label) + teacher_weight * (1 - cos(P z, teacher))``.
    Shares are of the whole run. With several processes ``batch`` is what each of them takes, and
    the learning rate is used as it stands.
    """

    name: str
    seed: int = 1
    backbone: str = "mobilefacenet"
    dimension: int = 256
    dropout: float = 0.0
    head: str = "cosface"
    head_options: Options = ()
    sample_rate: float = 0.0  # of classes a step; above 0 the head is sharded (Partial FC)
    head_weight: float = 1.0
    teacher_weight: float = 0.0
    # The margin is 0 up to the first share and whole from the second on: on the few pictures
    # per person that small sets have, a full margin at the start teaches only collapse.
    margin_from: float = 0.05
    margin_until: float = 0.35
    epochs: float = 40
    batch: int = 128
    learning_rate: float = 0.1
    schedule: Schedule = "cosine"
    steps: tuple[float, ...] = (0.5, 0.75, 0.9)  # shares after which "step" divides by ten
    warm_up: float = 0.03
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float = 5.0
    ema_decay: float = 0.999
    views: Views = field(default_factory=Views)
    precision: Precision = "bfloat16"  # of the backbone on an accelerator
    compiled: bool = True
    validate_every: float = 3  # epochs


SCRATCH: Final = Recipe(
    name="starter-scratch",
    backbone="slim-small",
    dropout=0.2,
    epochs=8,
    batch=128,
    learning_rate=0.1,
)

# One teacher's opinion of every face says more than its label: 128 numbers against one of 2,513.
DISTILLED: Final = replace(
    SCRATCH,
    name="starter-distilled",
    backbone="slim",
    dropout=0.0,
    head_weight=0.2,
    teacher_weight=8.0,
)

# Goes on from a network that has learnt something: the margin is whole from the first step on.
CONTINUED: Final = replace(
    DISTILLED,
    name="starter-continued",
    margin_from=0.0,
    margin_until=0.0,
    epochs=14,
    views=Views(from_afar=0.1, out_of_focus=0.05, compressed=0.05, covered=0.05),
)

# What an accelerator's minutes are for: never run here, see docs/training.md.
LARGE: Final = Recipe(
    name="large",
    backbone="iresnet50",
    dimension=512,
    dropout=0.2,
    sample_rate=0.3,
    head_options=(("scale", 64.0), ("margin", 0.35)),
    epochs=24,
    batch=256,
    margin_from=0.0,
    margin_until=0.1,
)

DEMO: Final = Recipe(
    name="demo",
    backbone="slim",
    dimension=128,
    epochs=6,
    batch=64,
    learning_rate=0.1,
    compiled=False,  # compiling takes longer than a demonstration's training
)

# One small network and schedule under which heads, margins and scales are compared.
COMPARISON: Final = Recipe(
    name="comparison",
    backbone="slim-tiny",
    dimension=128,
    epochs=12,
    batch=64,
    views=MIRRORED,
    ema_decay=0.0,
    compiled=False,
)

# Two dimensions, so that what a margin does can be drawn.
TOY: Final = replace(
    COMPARISON,
    name="toy",
    dimension=2,
    epochs=100,
    batch=32,
    learning_rate=0.03,
    margin_from=0.3,
    margin_until=0.7,
)

RECIPES: Final = {
    recipe.name: recipe for recipe in (SCRATCH, DISTILLED, CONTINUED, LARGE, DEMO, COMPARISON, TOY)
}


READERS: Final[dict[Any, Callable[[str], Any]]] = {
    int: int,
    float: float,
    str: str,
    bool: {"true": True, "false": False}.__getitem__,
    Schedule: {"cosine": "cosine", "step": "step"}.__getitem__,
    Precision: {"float32": "float32", "bfloat16": "bfloat16"}.__getitem__,
}


def overridden(recipe: Recipe, settings: list[str]) -> Recipe:
    """``recipe`` with fields replaced by ``FIELD=VALUE`` strings, and head options by
    ``head.OPTION=VALUE``.

    Raises:
        ValueError: no such field, or a value of another type.
    """
    kinds = get_type_hints(Recipe)
    changes: dict[str, Any] = {}
    options = dict(recipe.head_options)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is not FIELD=VALUE")
        if name.startswith("head."):
            options[name.removeprefix("head.")] = _option(value)
            continue
        kind = kinds.get(name)
        if kind not in READERS:
            able = [f.name for f in fields(Recipe) if kinds[f.name] in READERS]
            raise ValueError(f"{name!r} cannot be set; these can: {', '.join(able)}, head.OPTION")
        try:
            changes[name] = READERS[kind](value)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{setting!r}: {name} cannot be {value!r}") from error
    return replace(recipe, **changes, head_options=tuple(sorted(options.items())))


def _option(value: str) -> float | int | bool:
    """``true``, ``false``, a whole number or another number."""
    if value in ("true", "false"):
        return value == "true"
    try:
        return int(value)
    except ValueError:
        return float(value)
