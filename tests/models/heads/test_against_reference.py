"""Value and gradient of every head against slow float64 loops, in float32 and under bfloat16."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.training.heads import HEADS
from models.training.heads.base import Head
from tests.models.heads import reference
from tests.models.heads.cases import CASES, LABELS, SEED, build, centres_of, inputs
from tests.models.heads.reference import Floats

# Float32 cosines are good to some 1e-7, which scale 64 makes 1e-5 in a logit. The sine of a small
# angle magnifies that for angular margins: sin θ = .1 and less in these inputs.
VALUE = 3e-5
GRADIENT = 3e-4  # of the largest entry


def prepared(case: str, w: Floats, share: float) -> Head:
    """The head of a case with rows ``w``, as after some training."""
    name, options, _ = CASES[case]
    head = build(name, **options)
    head.load_state_dict({"weight": torch.from_numpy(w).float()}, strict=False)
    head.margin_share.fill_(share)
    torch.manual_seed(3)
    with torch.no_grad():
        for key, state in head.state_dict().items():
            if key in {"bias", "t"}:
                state.add_(0.1 * torch.rand_like(state))
            elif key == "step":
                state.fill_(500)
    return head


def gradients_of(head: Head, x: Floats, *, autocast: bool = False) -> tuple[float, Tensor, Tensor]:
    """Loss and its gradients by embeddings and rows; with autocast embeddings come as bfloat16."""
    kind = torch.bfloat16 if autocast else torch.float32
    embeddings = torch.from_numpy(x).to(kind).requires_grad_()
    torch.manual_seed(SEED)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = head(embeddings, torch.tensor(LABELS))
    assert loss.dtype == torch.float32 and loss.shape == ()
    loss.backward()
    rows = head.get_parameter("weight").grad
    assert embeddings.grad is not None and rows is not None
    return loss.item(), embeddings.grad, rows


def assert_near(ours: Tensor, theirs: Floats, share_of_largest: float) -> None:
    distance = np.abs(ours.double().numpy() - theirs).max()
    assert distance <= share_of_largest * np.abs(theirs).max()


def test_every_head_has_a_case() -> None:
    assert {name for name, _, _ in CASES.values()} == set(HEADS)


@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_in_float32(case: str, share: float) -> None:
    name, _, freeze = CASES[case]
    x, w = inputs(centres=centres_of(name))
    head = prepared(case, w, share)
    loss_of = freeze(head, x, w, LABELS)
    loss, by_embedding, by_row = gradients_of(head, x)
    assert loss == pytest.approx(loss_of(x, w), rel=VALUE)
    expected_x, expected_w = reference.differences(loss_of, x, w)
    assert_near(by_embedding, expected_x, GRADIENT)
    assert_near(by_row, expected_w, GRADIENT)


@pytest.mark.parametrize("case", CASES)
def test_autocast_changes_nothing_but_the_inputs(case: str) -> None:
    name, _, freeze = CASES[case]
    x, w = inputs(seed=1, centres=centres_of(name))
    outside, inside = prepared(case, w, 1.0), prepared(case, w, 1.0)
    loss_of = freeze(outside, x, w, LABELS)
    loss, by_embedding, by_row = gradients_of(outside, x)
    cast_loss, cast_by_embedding, cast_by_row = gradients_of(inside, x, autocast=True)
    assert cast_loss == loss
    assert torch.equal(cast_by_row, by_row)
    # The gradient leaves the head as what came in: one rounding, 2^-9 relative.
    assert torch.equal(cast_by_embedding, by_embedding.bfloat16())
    assert cast_loss == pytest.approx(loss_of(x, w), rel=VALUE)
    expected_x, expected_w = reference.differences(loss_of, x, w)
    assert_near(cast_by_embedding, expected_x, 2**-8)
    assert_near(cast_by_row, expected_w, GRADIENT)


@pytest.mark.parametrize("case", ["normface learnt", "softmax", "sphereface2"])
def test_gradient_of_the_other_parameter(case: str) -> None:
    """The scale or bias that is learnt too, against differences of the head itself."""
    x, w = inputs()
    head = prepared(case, w, 1.0)
    gradients_of(head, x)
    parameter = head.get_parameter("scale" if case == "normface learnt" else "bias")
    assert parameter.grad is not None
    for place in np.ndindex(parameter.shape):
        losses = []
        for step in (1e-2, -2e-2):
            with torch.no_grad():
                parameter[place] += step
            losses.append(gradients_of(head, x)[0])
            parameter.grad.zero_()
        with torch.no_grad():
            parameter[place] += 1e-2
        gradients_of(head, x)
        slope = (losses[0] - losses[1]) / 2e-2
        assert parameter.grad[place].item() == pytest.approx(slope, rel=1e-2, abs=2e-4)
        parameter.grad.zero_()
