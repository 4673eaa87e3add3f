"""CosFace's bounds, the scale that follows from them, and a margin on the target alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.training.heads.cosface import CosFace, default_scale, margin_bound, scale_bound


@pytest.mark.parametrize(
    ("classes", "probability", "published"),
    [
        (1_000, 0.9, 9.09),
        (5_000, 0.9, 10.71),
        (10_000, 0.9, 11.41),
        (1_000, 0.99, 11.49),
        (5_000, 0.99, 13.11),
        (10_000, 0.99, 13.80),
    ],
)
def test_scale_bound_as_published(classes: int, probability: float, published: float) -> None:
    assert scale_bound(classes, probability) == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize("classes", [2, 3, 8, 50])
def test_scale_bound_is_what_a_simplex_needs(classes: int) -> None:
    """Rows as far apart as can be, each embedding on its own row: p = .9 at the bound."""
    logits = np.full(classes, -scale_bound(classes) / (classes - 1))
    logits[0] = scale_bound(classes)
    assert np.exp(logits[0]) / np.exp(logits).sum() == pytest.approx(0.9)


def test_margin_bound_on_a_circle() -> None:
    assert margin_bound(8, 2) == pytest.approx(0.2929, abs=1e-4)
    angles = np.arange(8) * 2 * math.pi / 8
    cosines = np.cos(angles[:, None] - angles[None, :]) - 2 * np.eye(8)
    assert margin_bound(8, 2) == pytest.approx(1 - cosines.max())


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_margin_bound_of_a_simplex(classes: int) -> None:
    rows = np.eye(classes) - 1 / classes  # spans classes - 1 dimensions
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    largest = (rows @ rows.T - 2 * np.eye(classes)).max()
    for dimension in (classes - 1, classes, 512):
        if dimension > 0:
            assert margin_bound(classes, dimension) == pytest.approx(1 - largest)


def test_margin_bound_beyond_the_simplex_has_no_closed_form() -> None:
    assert margin_bound(130, 128) is None
    assert margin_bound(129, 128) == pytest.approx(129 / 128)


def test_default_scale_where_it_matters() -> None:
    assert default_scale(2_513, 0.2) == 32
    assert default_scale(10_575, 0.35) == 64  # the paper's own, on CASIA
    assert default_scale(8, 0.0) == 8


@given(classes=st.integers(2, 10_000_000), margin=st.floats(0, 0.35))
def test_default_scale_is_within_reach_and_above_the_bound(classes: int, margin: float) -> None:
    scale = default_scale(classes, margin)
    assert scale >= scale_bound(classes)
    assert margin + math.log(classes - 1) / scale <= 0.5 + 1e-9
    assert scale % 8 == 0
    smaller = scale - 8
    assert (
        smaller <= 0
        or smaller < scale_bound(classes)
        or margin + math.log(classes - 1) / smaller > 0.5
    )


@pytest.mark.parametrize("margin", [0.45, 0.5, 0.9])
def test_default_scale_of_large_margins_is_finite(margin: float) -> None:
    assert default_scale(10_575, margin) == 64


def test_margin_stands_on_the_target_only() -> None:
    """On all classes it would cancel: the loss would be that of no margin."""
    torch.manual_seed(0)
    head = CosFace(dimension=8, classes=20, scale=16.0, margin=0.3)
    embeddings, labels = torch.randn(5, 8), torch.arange(5)
    unit = torch.nn.functional.normalize
    logits = 16 * unit(embeddings) @ unit(head.weight).T
    logits[torch.arange(5), labels] -= 16 * 0.3
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert head(embeddings, labels).item() == pytest.approx(expected.item(), rel=1e-6)
    head.margin_share.zero_()
    assert head(embeddings, labels) < expected


def test_wrong_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        scale_bound(1)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.0"):
        scale_bound(10, 1.0)
