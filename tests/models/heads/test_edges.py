"""Where formulas break: cosines of ±1, zero embeddings, angles beyond π; and what heads keep."""

import math

import pytest
import torch

from models.training.heads import HEADS
from models.training.heads.elasticface import ranked
from models.training.heads.margins import (
    AngularMargin,
    CombinedMargin,
    CosineMargin,
    EasyAngularMargin,
    Margin,
)
from models.training.heads.sphereface import falling_multiple_angle
from tests.models.heads.cases import LABELS, build, inputs

ALL = pytest.mark.parametrize("name", HEADS)
WHOLE = torch.tensor(1.0)
WITHOUT_MARGIN = {"softmax", "normface", "adacos-fixed", "adacos"}
ADAPTIVE = {
    "sphereface": ["step"],
    "adacos": ["scale"],
    "adaface": ["norm_mean", "norm_deviation"],
    "curricularface": ["t"],
}


@ALL
@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0], ids=["equal", "opposite", "zero"])
def test_gradients_are_finite_at_the_limits(name: str, sign: float) -> None:
    torch.manual_seed(1)
    head = build(name)
    weight = head.get_parameter("weight")
    rows = weight.detach()[:: len(weight) // head.classes]
    embeddings = (sign * 20 * torch.nn.functional.normalize(rows)).requires_grad_()
    loss = head(embeddings, torch.arange(head.classes))
    loss.backward()
    assert loss.isfinite()
    assert embeddings.grad is not None and embeddings.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@ALL
def test_collapse_opposite_to_every_class_costs_more_than_guessing(name: str) -> None:
    """ArcFace without a guard pays .035 here (92 classes, scale 64, margin .5)."""
    head = HEADS[name](dimension=4, classes=92)
    weight = head.get_parameter("weight")
    weight.data.copy_(torch.tensor([1.0, 0, 0, 0]).expand_as(weight))
    loss = head(torch.tensor([[-20.0, 0, 0, 0]] * 8), torch.arange(8))
    assert loss.item() > math.log(92) - 1e-3


@ALL
def test_loss_never_falls_as_the_angle_to_the_class_grows(name: str) -> None:
    options = {"easy_margin": False} if name == "magface" else {}
    head = HEADS[name](dimension=3, classes=3, **options).eval()
    weight = head.get_parameter("weight")
    copies = len(weight) // 3
    weight.data.copy_(
        torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 0, -1]]).repeat_interleave(copies, 0)
    )
    angles = torch.linspace(0, math.pi, 100)
    embeddings = 20 * torch.stack([angles.cos(), angles.sin(), torch.zeros(100)], dim=1)
    with torch.no_grad():
        losses = torch.stack([head(row[None], torch.tensor([0])) for row in embeddings])
    assert (losses.diff() > -1e-4).all()
    assert losses[-1] > losses[0]


@pytest.mark.parametrize(
    "margin",
    [
        CosineMargin(0.35),
        AngularMargin(0.5),
        CombinedMargin(1, 0.3, 0.2),
        CombinedMargin(2, 0.5, 0),
    ],
)
def test_margins_fall_with_the_cosine_and_vanish_with_their_share(margin: Margin) -> None:
    cosines = torch.linspace(-1, 1, 4001)
    assert (margin(cosines, WHOLE).diff() > -1e-6).all()
    assert (margin(cosines, WHOLE) <= cosines + 1e-6).all()
    assert torch.allclose(margin(cosines, torch.tensor(0.0)), cosines, atol=2e-5)
    half = margin(cosines, torch.tensor(0.5))
    assert (half >= margin(cosines, WHOLE) - 2e-5).all()


def test_easy_margin_leaves_obtuse_angles_alone() -> None:
    cosines = torch.tensor([-1.0, -0.5, 0.0, 0.5])
    eased = EasyAngularMargin(0.5)(cosines, WHOLE)
    assert torch.equal(eased[:3], cosines[:3])
    assert eased[3].item() == pytest.approx(math.cos(math.acos(0.5) + 0.5), abs=1e-6)


@pytest.mark.parametrize("multiple", [1, 2, 3, 4])
def test_multiplied_angle_falls_from_1_by_2_for_each_turn(multiple: int) -> None:
    cosines = torch.linspace(-1, 1, 4001)
    fallen = falling_multiple_angle(cosines, multiple)
    assert (fallen.diff() > -1e-5).all()
    assert fallen[-1].item() == pytest.approx(1)
    assert fallen[0].item() == pytest.approx(1 - 2 * multiple, abs=1e-5)


@ALL
def test_margin_share_reaches_every_margin(name: str) -> None:
    x, w = inputs(centres=3 if name == "subcentre-arcface" else 1)
    head = build(name).eval()
    head.load_state_dict({"weight": torch.from_numpy(w).float()}, strict=False)
    embeddings, labels = torch.from_numpy(x).float(), torch.tensor(LABELS)
    losses = []
    with torch.no_grad():
        for share in (0.0, 0.5, 1.0):
            head.margin_share.fill_(share)
            losses.append(head(embeddings, labels).item())
    if name in WITHOUT_MARGIN:
        assert losses[0] == losses[1] == losses[2]
    else:
        assert losses[0] < losses[1] < losses[2]


@ALL
def test_state_moves_in_training_only_and_survives_a_checkpoint(name: str) -> None:
    torch.manual_seed(2)
    x, _ = inputs()
    embeddings, labels = torch.from_numpy(x).float(), torch.tensor(LABELS)
    head = build(name)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    for _ in range(3):
        head(embeddings, labels)
    trained = {key: value.clone() for key, value in head.state_dict().items()}
    moved = [key for key in before if not torch.equal(before[key], trained[key])]
    assert moved == ADAPTIVE.get(name, [])

    head.eval()
    loss = head(embeddings, labels)
    assert all(torch.equal(trained[key], value) for key, value in head.state_dict().items())

    restored = build(name)
    restored.load_state_dict(trained)
    assert torch.equal(restored.eval()(embeddings, labels), loss)
    assert restored.curves() == head.curves()


@ALL
def test_two_batches_may_wait_for_one_backward(name: str) -> None:
    """Gradient accumulation: the second forward must not write what the first one saved."""
    x, _ = inputs()
    embeddings = torch.from_numpy(x).float().requires_grad_()
    head = build(name)
    labels = torch.tensor(LABELS)
    (head(embeddings, labels) + head(embeddings, labels)).backward()


def test_the_hardest_samples_get_the_largest_of_the_drawn_margins() -> None:
    cosines = torch.tensor([0.1, 0.9, -0.3, 0.5])
    margins = torch.tensor([0.33, 0.31, 0.34, 0.32])
    assert ranked(margins, cosines).tolist() == pytest.approx([0.33, 0.31, 0.34, 0.32])


def test_adaface_takes_a_single_face() -> None:
    head = build("adaface")
    assert head(torch.ones(1, 6), torch.tensor([0])).isfinite()
    assert head.curves() == {"norm mean": 20.0, "norm deviation": 100.0}


def test_sphereface_margin_comes_in_with_the_steps() -> None:
    head = build("sphereface")
    x, _ = inputs()
    assert head.curves() == {"lambda": 1000.0}
    head(torch.from_numpy(x).float(), torch.tensor(LABELS))
    assert head.curves()["lambda"] == pytest.approx(1000 / 1.12)
    head.get_buffer("step").fill_(10**6)
    assert head.curves() == {"lambda": 5.0}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosface", {"classes": 1}, "at least 2 classes"),
        ("arcface", {"classes": 1}, "at least 2 classes"),
        ("adacos", {"classes": 2}, "at least 3 classes"),
        ("arcface", {"sub_centres": 0}, "1 or more sub-centres"),
        ("sphereface", {"multiple": 0}, "multiplied by 1 or more"),
        ("sphereface2", {"exponent": 0.5}, "below 1 the gradient"),
    ],
)
def test_options_that_cannot_work_are_refused(
    name: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        HEADS[name](**{"dimension": 4, "classes": 5, **options})
