"""The loss before any training against its closed form, for random rows and embeddings.

L0 = ln(C - 1) + s²/(2D) - s E[Φ]. The tolerance is three standard deviations of the batch mean,
s / sqrt(D B), and .1 for what the form leaves out (C finite, cosines not quite normal).
"""

import math
from typing import Any

import pytest
import torch

from models.training.heads import HEADS
from models.training.heads.adacos import AdaCos, fixed_scale
from models.training.heads.cosface import CosFace
from models.training.heads.sphereface2 import SphereFace2

DIMENSION = 512
CLASSES = 2000
BATCH = 512
SCALE = 32.0
TOLERANCE = 3 * SCALE / math.sqrt(DIMENSION * BATCH) + 0.1
BASE = math.log(CLASSES - 1) + SCALE**2 / (2 * DIMENSION)


def batch(length: float = math.sqrt(DIMENSION)) -> tuple[torch.Tensor, torch.Tensor]:
    embeddings = torch.nn.functional.normalize(torch.randn(BATCH, DIMENSION)) * length
    return embeddings, torch.randint(CLASSES, (BATCH,))


def easy_tolerance(margin: float) -> float:
    """An easy margin meets a sample or does not: three standard deviations of that coin too."""
    return TOLERANCE + 3 * SCALE * math.sin(margin) / 2 / math.sqrt(BATCH)


def initial(name: str, length: float = math.sqrt(DIMENSION), **options: Any) -> float:
    torch.manual_seed(0)
    head = HEADS[name](dimension=DIMENSION, classes=CLASSES, **options)
    with torch.no_grad():
        loss: torch.Tensor = head(*batch(length))
    return loss.item()


@pytest.mark.parametrize(
    ("name", "options", "target"),
    [
        ("normface", {}, 0.0),
        ("cosface", {"margin": 0.35}, -0.35),
        ("arcface", {}, -math.sin(0.5)),
        ("combined", {}, math.cos(math.pi / 2 + 0.3) - 0.2),
        ("combined", {"m1": 0.9, "m2": 0.4, "m3": 0.15}, math.cos(0.45 * math.pi + 0.4) - 0.15),
        ("combined", {"m1": 1.7, "m2": 0, "m3": 0}, math.cos(0.85 * math.pi)),
        ("adaface", {}, -0.4),
        ("elasticface-cos", {}, -0.35),
        ("elasticface-cos", {"plus": True}, -0.35),
        ("elasticface-arc", {}, -math.exp(-(0.05**2) / 2) * math.sin(0.5)),
    ],
)
def test_scaled_cosines(name: str, options: dict[str, Any], target: float) -> None:
    loss = initial(name, scale=SCALE, **options)
    assert loss == pytest.approx(BASE - SCALE * target, abs=TOLERANCE)


def test_easy_margin() -> None:
    loss = initial("arcface", scale=SCALE, easy_margin=True)
    assert loss == pytest.approx(BASE + SCALE * math.sin(0.5) / 2, abs=easy_tolerance(0.5))


def test_softmax() -> None:
    expected = math.log(CLASSES) + (0.01 * 22.6) ** 2 / 2
    assert initial("softmax", length=22.6) == pytest.approx(expected, abs=0.03)


def test_sphereface() -> None:
    length = 20.0
    expected = math.log(CLASSES - 1) + length**2 / (2 * DIMENSION) + 3 * length / (1 + 1000)
    assert initial("sphereface", length=length) == pytest.approx(expected, abs=TOLERANCE)


def test_sphereface_with_its_whole_margin() -> None:
    torch.manual_seed(0)
    head = HEADS["sphereface"](dimension=DIMENSION, classes=CLASSES)
    head.get_buffer("step").fill_(10**6)
    expected = math.log(CLASSES - 1) + 20**2 / (2 * DIMENSION) + 3 * 20 / (1 + 5)
    assert head(*batch(20.0)).item() == pytest.approx(expected, abs=TOLERANCE)


def test_magface() -> None:
    norm = 22.6
    margin = 0.45 + 0.35 * (norm - 10) / 100
    regulariser = 35 * (1 / norm + norm / 110**2)
    expected = BASE + SCALE * math.sin(margin) / 2 + regulariser
    assert regulariser == pytest.approx(1.62, abs=0.01)
    loss = initial("magface", length=norm, scale=SCALE)
    assert loss == pytest.approx(expected, abs=easy_tolerance(margin))


def test_curricularface() -> None:
    squares = -0.5 * math.log(1 - 2 * SCALE / DIMENSION)
    expected = math.log(CLASSES - 1) + squares + SCALE * math.sin(0.5)
    assert initial("curricularface", scale=SCALE) == pytest.approx(expected, abs=TOLERANCE)


def test_sub_centres_start_below_one_centre() -> None:
    # The nearest of three raises the target by .85 and every other class by more of the same.
    single = initial("arcface", scale=SCALE)
    assert single - 1.5 < initial("subcentre-arcface", scale=SCALE) < single


def test_adacos_fixed() -> None:
    scale = fixed_scale(CLASSES)
    expected = math.log(CLASSES - 1) + scale**2 / (2 * DIMENSION)
    assert initial("adacos-fixed") == pytest.approx(expected, abs=TOLERANCE)
    published = {1_000: 9.77, 5_000: 12.04, 10_000: 13.03}
    for classes, value in published.items():
        assert fixed_scale(classes) == pytest.approx(value, abs=0.01)


def test_adacos_settles_where_random_rows_hold_it() -> None:
    torch.manual_seed(0)
    head = AdaCos(dimension=DIMENSION, classes=CLASSES)
    with torch.no_grad():
        for _ in range(12):
            head(*batch())
    root = math.sqrt(1 - 4 * math.log(CLASSES - 1) / DIMENSION)
    expected = DIMENSION / math.sqrt(2) * (1 - root)
    assert head.curves()["scale"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("dimension", [8, 512])
def test_adacos_stays_below_its_cap_when_embeddings_collapse(dimension: int) -> None:
    """Below D = 4 ln(C - 1) there is no fixed point at all, and collapse has none either."""
    torch.manual_seed(0)
    head = AdaCos(dimension=dimension, classes=100)
    head.weight.data.copy_(torch.ones(100, dimension))
    for _ in range(30):
        head(torch.ones(16, dimension), torch.arange(16))
    assert head.curves()["scale"] == pytest.approx(2 * fixed_scale(100))


def test_collapsed_cosface_is_stuck_at_a_known_loss() -> None:
    head = CosFace(dimension=4, classes=50, scale=32.0, margin=0.2)
    head.weight.data.copy_(torch.ones(50, 4))
    loss = head(torch.ones(8, 4), torch.arange(8))
    assert loss.item() == pytest.approx(math.log(50 - 1 + math.exp(-6.4)) + 32 * 0.2, abs=1e-3)


def test_sphereface2_starts_at_the_best_bias() -> None:
    """Published oracles for 10,000 classes: bias 5.637, loss .724 (times 50) at cosine 0."""
    head = SphereFace2(dimension=4, classes=10_000)
    assert head.bias.item() == pytest.approx(5.637, abs=1e-3)
    weight = torch.zeros(10_000, 4)
    weight[:, 0] = 1
    head.weight.data.copy_(weight)
    loss = head(torch.tensor([[0.0, 1, 0, 0]]), torch.tensor([5]))
    assert loss.item() / 50 == pytest.approx(0.724, abs=1e-3)
    (slope,) = torch.autograd.grad(loss, [head.bias])
    assert slope.item() == pytest.approx(0, abs=1e-3)


def test_sphereface2_with_random_rows() -> None:
    torch.manual_seed(0)
    head = SphereFace2(dimension=DIMENSION, classes=10_000)
    embeddings, labels = torch.randn(64, DIMENSION), torch.arange(64)
    with torch.no_grad():
        assert head(embeddings, labels).item() / 50 == pytest.approx(0.756, abs=0.01)
