"""Random views stay crops, and follow from their generator."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from models.training.augment import MIRRORED, Views, normalise, random_views
from tests.models.people import patterned_faces

NAMES = [field.name for field in dataclasses.fields(Views)]


def views_of(pictures: Tensor, views: Views, seed: int = 1) -> Tensor:
    return random_views(pictures, views, torch.Generator().manual_seed(seed))


def pictures(size: int) -> Tensor:
    return torch.from_numpy(patterned_faces(4, 4, size=size).pictures)


@pytest.mark.parametrize("size", [112, 160])
def test_a_view_is_a_crop_in_the_range_of_the_contract(size: int) -> None:
    views = views_of(pictures(size), Views(covered=1, compressed=1, from_afar=1, out_of_focus=1))
    assert views.shape == (16, 3, 112, 112)
    assert views.dtype == torch.float32
    assert views.isfinite().all()
    assert -1 <= views.min() < views.max() <= 1


@pytest.mark.parametrize("size", [112, 160])
def test_without_augmentation_a_view_is_the_inner_crop_or_its_mirror_image(size: int) -> None:
    rim = (size - 112) // 2
    plain = normalise(pictures(size)[:, rim : rim + 112, rim : rim + 112])
    views = views_of(pictures(size), MIRRORED)
    straight = (views - plain).abs().amax((1, 2, 3)) < 1e-6
    mirrored = (views - plain.flip(3)).abs().amax((1, 2, 3)) < 1e-6
    assert (straight | mirrored).all()
    assert straight.any() and mirrored.any()


def test_a_face_that_is_moved_by_nothing_is_sampled_where_it_was() -> None:
    barely = dataclasses.replace(MIRRORED, shift=1e-9)
    plain = normalise(pictures(160)[:, 24:136, 24:136])
    views = views_of(pictures(160), barely)
    nearest = torch.minimum(
        (views - plain).abs().amax((1, 2, 3)), (views - plain.flip(3)).abs().amax((1, 2, 3))
    )
    assert nearest.max() < 1e-3


def test_the_same_generator_gives_the_same_views_and_another_gives_others() -> None:
    assert torch.equal(views_of(pictures(112), Views()), views_of(pictures(112), Views()))
    assert not torch.equal(views_of(pictures(112), Views()), views_of(pictures(112), Views(), 2))


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_change_changes_something(name: str) -> None:
    strong = {"turn": 10.0, "zoom": 0.2, "shift": 6.0, "contrast": 0.3, "brightness": 30.0}
    one = dataclasses.replace(MIRRORED, **{name: strong.get(name, 1.0)})
    difference = views_of(pictures(112), one) - views_of(pictures(112), MIRRORED)
    assert difference.abs().mean() > 1e-3


def test_the_pictures_themselves_are_left_alone() -> None:
    before = pictures(112)
    after = before.clone()
    views_of(after, Views(covered=1, compressed=1, from_afar=1))
    assert torch.equal(before, after)


def test_normalising_is_the_contract() -> None:
    crops = torch.tensor([0, 127, 128, 255], dtype=torch.uint8).view(1, 2, 2, 1).expand(1, 2, 2, 3)
    expected = (np.array([0, 127, 128, 255]) - 127.5) / 127.5
    assert np.allclose(normalise(crops)[0, 0].flatten(), expected)
