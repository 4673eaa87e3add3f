"""Recipes are picked by name, and a field may be overridden."""

from itertools import pairwise

import pytest

from models.training.backbones import BACKBONES
from models.training.build import backbone_of, head_of
from models.training.heads import HEADS
from models.training.heads.margin_head import MarginHead
from models.training.heads.partial_fc import PartialFC
from models.training.recipes import COMPARISON, RECIPES, overridden
from models.training.schedule import learning_rate_at, margin_share_at
from models.training.study import HEADS as COMPARED


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_what_exists(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.backbone in BACKBONES
    assert recipe.head in HEADS
    assert head_of(recipe, 50).classes == 50


def test_the_comparison_knows_every_head() -> None:
    assert set(COMPARED) == set(HEADS)
    for head, options in COMPARED.items():
        HEADS[head](dimension=8, classes=10, **dict(options))


def test_fields_and_options_of_the_head_are_overridden() -> None:
    changed = overridden(
        COMPARISON,
        ["epochs=2.5", "seed=7", "compiled=true", "schedule=step", "head.margin=0.1"],
    )
    assert (changed.epochs, changed.seed, changed.compiled) == (2.5, 7, True)
    assert changed.schedule == "step"
    assert dict(changed.head_options)["margin"] == 0.1
    assert COMPARISON.seed == 1


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epochs", "FIELD=VALUE"),
        ("epoch=2", "cannot be set"),
        ("views=none", "cannot be set"),
        ("seed=many", "seed cannot be 'many'"),
        ("schedule=linear", "schedule cannot be"),
        ("compiled=yes", "compiled cannot be"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        overridden(COMPARISON, [setting])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("head=cosine", "no head 'cosine'; there are softmax"),
        ("head.marign=1", "head cosface:.*marign"),
    ],
)
def test_an_unknown_head_or_option_is_named(setting: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        head_of(overridden(COMPARISON, [setting]), 10)


def test_options_of_a_head_are_numbers_or_switches() -> None:
    settings = ["head=arcface", "head.sub_centres=2", "head.easy_margin=true", "head.scale=16.5"]
    head = head_of(overridden(COMPARISON, settings), 5)
    assert head.get_parameter("weight").shape[0] == 10
    with pytest.raises(ValueError, match="could not convert"):
        overridden(COMPARISON, ["head.margin=much"])


def test_a_sharded_head_has_the_margin_and_scale_of_its_name() -> None:
    for head, options in (("cosface", ["head.margin=0.35"]), ("arcface", []), ("combined", [])):
        plain = head_of(overridden(COMPARISON, [f"head={head}", *options]), 1000)
        settings = [f"head={head}", "sample_rate=1", *options]
        sharded = head_of(overridden(COMPARISON, settings), 1000)
        assert isinstance(sharded, PartialFC) and isinstance(plain, MarginHead)
        assert (sharded.scale, sharded.margin) == (plain.scale, plain.margin)


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(ValueError, match="no backbone 'resnet'; there are slim"):
        backbone_of(overridden(COMPARISON, ["backbone=resnet"]))


def test_a_head_that_cannot_be_sharded_says_which_can() -> None:
    with pytest.raises(ValueError, match="works with cosface, arcface, combined"):
        head_of(overridden(COMPARISON, ["head=adaface", "sample_rate=0.5"]), 10)


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    recipe = overridden(COMPARISON, ["learning_rate=0.1", "warm_up=0.1"])
    rates = [learning_rate_at(recipe, step / 100) for step in range(101)]
    assert rates[0] < 0.002
    assert max(rates) > 0.09
    assert rates[-1] < 1e-9
    assert all(after <= before for before, after in pairwise(rates[12:]))


def test_steps_divide_the_learning_rate_by_ten() -> None:
    recipe = overridden(COMPARISON, ["learning_rate=1", "warm_up=0", "schedule=step"])
    rates = [learning_rate_at(recipe, share) for share in (0.4, 0.6, 0.8, 0.95)]
    assert rates == pytest.approx([1, 0.1, 0.01, 0.001])


def test_the_margin_rises_between_its_two_shares() -> None:
    recipe = overridden(COMPARISON, ["margin_from=0.2", "margin_until=0.6"])
    shares = [margin_share_at(recipe, share) for share in (0, 0.2, 0.4, 0.6, 1)]
    assert shares == pytest.approx([0, 0, 0.5, 1, 1])
    whole = overridden(COMPARISON, ["margin_from=0", "margin_until=0"])
    assert margin_share_at(whole, 0) == 1
