"""Which reference belongs to which head, and inputs that reach every branch of them."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch

from models.training.heads import HEADS
from models.training.heads.base import Head
from models.training.heads.elasticface import ranked
from tests.models.heads import reference
from tests.models.heads.reference import Floats, Loss

DIMENSION: Final = 6
CLASSES: Final = 5
LABELS: Final = (0, 3, 1, 1, 4, 2)
SEED: Final = 7

# Given the head before its step, the base point and the labels: the loss with all that the
# head detaches held at the base point.
Freeze = Callable[[Head, Floats, Floats, Sequence[int]], Loss]


def inputs(seed: int = 0, centres: int = 1) -> tuple[Floats, Floats]:
    """Embeddings [6, 6] and rows [5 * centres, 6], all of them float32 and bfloat16 values.

    Sample 0 lies near its class, sample 1 nearly opposite to it (beyond π after a margin), the
    others anywhere; lengths run from below 10 to above 30.
    """
    random = np.random.default_rng(seed)
    w = random.normal(size=(CLASSES * centres, DIMENSION))
    x = random.normal(size=(len(LABELS), DIMENSION))
    for sample, sign in ((0, 1.0), (1, -1.0)):
        rows = w[LABELS[sample] * centres : (LABELS[sample] + 1) * centres]
        rows[1:] = rows[0] + 0.3 * rows[1:]
        x[sample] = sign * rows[0] + 0.12 * x[sample]
    lengths = np.array([24.0, 14.0, 33.0, 19.0, 8.0, 27.0])
    x *= (lengths / np.linalg.norm(x, axis=1))[:, None]
    return rounded(x), rounded(w)


def rounded(values: Floats) -> Floats:
    """To the nearest bfloat16."""
    return torch.from_numpy(values).bfloat16().double().numpy()


def build(name: str, **options: object) -> Head:
    return HEADS[name](dimension=DIMENSION, classes=CLASSES, **options)


def centres_of(name: str) -> int:
    return 3 if name == "subcentre-arcface" else 1


def share(head: Head) -> float:
    return float(head.margin_share)


def by_margin(scale: float, target: Callable[[float, float], float], centres: int = 1) -> Freeze:
    """A margin that depends on cosine and share alone."""

    def freeze(head: Head, _x: Floats, _w: Floats, y: Sequence[int]) -> Loss:
        return lambda x, w: reference.margin_loss(
            x, w, y, scale=scale, target=lambda _, c: target(c, share(head)), centres=centres
        )

    return freeze


def softmax(head: Head, _x: Floats, _w: Floats, y: Sequence[int]) -> Loss:
    bias = head.get_parameter("bias").detach().double().numpy()
    return lambda x, w: reference.softmax(x, w, y, bias)


def sphereface(head: Head, _x: Floats, _w: Floats, y: Sequence[int]) -> Loss:
    lam = max(5.0, 1000 / (1 + 0.12 * int(head.get_buffer("step"))))
    return lambda x, w: reference.sphereface(x, w, y, m=4, lam=lam, share=share(head))


def adacos(head: Head, x0: Floats, w0: Floats, y: Sequence[int]) -> Loss:
    scale = reference.adacos_scale(x0, w0, y, float(head.get_buffer("scale")))
    return lambda x, w: reference.margin_loss(x, w, y, scale=scale, target=lambda _, c: c)


def adaface(head: Head, x0: Floats, _w: Floats, y: Sequence[int]) -> Loss:
    before = (float(head.get_buffer("norm_mean")), float(head.get_buffer("norm_deviation")))
    quality = reference.adaface_quality(x0, *reference.adaface_state(x0, *before))
    m = 0.4 * share(head)
    return lambda x, w: reference.margin_loss(
        x, w, y, scale=64, target=lambda i, c: reference.adaface_target(c, m, quality[i])
    )


def magface(head: Head, _x: Floats, _w: Floats, y: Sequence[int]) -> Loss:
    return lambda x, w: reference.magface(x, w, y, scale=64, share=share(head))


def curricularface(head: Head, x0: Floats, w0: Floats, y: Sequence[int]) -> Loss:
    mean = sum(reference.cosine(x0[i], w0[j]) for i, j in enumerate(y)) / len(y)
    t = 0.99 * float(head.get_buffer("t")) + 0.01 * mean
    m = 0.5 * share(head)
    return lambda x, w: reference.curricularface(x, w, y, scale=64, m=m, t=t)


def elastic(
    target: Callable[[float, float], float], mean: float, deviation: float, *, plus: bool = False
) -> Freeze:
    """Margins drawn as the head will draw them after the same ``torch.manual_seed(SEED)``."""

    def freeze(head: Head, x0: Floats, w0: Floats, y: Sequence[int]) -> Loss:
        torch.manual_seed(SEED)
        drawn = mean + deviation * torch.randn(len(y))
        if plus:
            cosines = [reference.cosine(x0[i], w0[j]) for i, j in enumerate(y)]
            drawn = ranked(drawn, torch.tensor(cosines))
        margins = (share(head) * drawn.double()).tolist()
        return lambda x, w: reference.margin_loss(
            x, w, y, scale=64, target=lambda i, c: target(c, margins[i])
        )

    return freeze


def sphereface2(head: Head, _x: Floats, _w: Floats, y: Sequence[int]) -> Loss:
    bias, m = head.get_parameter("bias").item(), 0.4 * share(head)
    return lambda x, w: reference.sphereface2(x, w, y, scale=40, m=m, bias=bias)


def cosface_target(m: float) -> Callable[[float, float], float]:
    return lambda c, part: c - m * part


def arcface_target(m: float) -> Callable[[float, float], float]:
    return lambda c, part: reference.arc(c, m * part)


def combined_target(m1: float, m2: float, m3: float) -> Callable[[float, float], float]:
    return lambda c, part: reference.combined(c, 1 + (m1 - 1) * part, m2 * part, m3 * part)


# Beside every name of HEADS, options that lead elsewhere: (name in HEADS, options, reference).
CASES: Final[dict[str, tuple[str, dict[str, object], Freeze]]] = {
    "softmax": ("softmax", {}, softmax),
    "normface": ("normface", {}, by_margin(20, lambda c, _: c)),
    "normface learnt": ("normface", {"learn_scale": True}, by_margin(20, lambda c, _: c)),
    "sphereface": ("sphereface", {}, sphereface),
    "cosface": ("cosface", {}, by_margin(8, cosface_target(0.2))),
    "cosface as published": (
        "cosface",
        {"scale": 64.0, "margin": 0.35},
        by_margin(64, cosface_target(0.35)),
    ),
    "arcface": ("arcface", {}, by_margin(64, arcface_target(0.5))),
    "arcface easy": (
        "arcface",
        {"easy_margin": True},
        by_margin(64, lambda c, part: reference.easy_arc(c, 0.5 * part)),
    ),
    "subcentre-arcface": ("subcentre-arcface", {}, by_margin(64, arcface_target(0.5), centres=3)),
    "combined": ("combined", {}, by_margin(64, combined_target(1, 0.3, 0.2))),
    "combined CM2": (
        "combined",
        {"m1": 0.9, "m2": 0.4, "m3": 0.15},
        by_margin(64, combined_target(0.9, 0.4, 0.15)),
    ),
    "combined, angle multiplied": (
        "combined",
        {"m1": 1.7, "m2": 0.0, "m3": 0.0},
        by_margin(64, combined_target(1.7, 0, 0)),
    ),
    "adacos-fixed": ("adacos-fixed", {}, by_margin(2**0.5 * np.log(4), lambda c, _: c)),
    "adacos": ("adacos", {}, adacos),
    "adaface": ("adaface", {}, adaface),
    "magface": ("magface", {}, magface),
    "curricularface": ("curricularface", {}, curricularface),
    "elasticface-arc": ("elasticface-arc", {}, elastic(reference.arc, 0.5, 0.05)),
    "elasticface-arc+": (
        "elasticface-arc",
        {"plus": True},
        elastic(reference.arc, 0.5, 0.0175, plus=True),
    ),
    "elasticface-cos": ("elasticface-cos", {}, elastic(lambda c, m: c - m, 0.35, 0.05)),
    "elasticface-cos+": (
        "elasticface-cos",
        {"plus": True},
        elastic(lambda c, m: c - m, 0.35, 0.02, plus=True),
    ),
    "sphereface2": ("sphereface2", {}, sphereface2),
}
