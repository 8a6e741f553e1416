"""Recipes: the article's figures to the letter, and clear words for a recipe that cannot be followed."""

from __future__ import annotations

import pytest

from reel_shared.errors import NotFound, Unprocessable
from reel_trainer.recipe import OneCycle, Transforms, load_recipe, parse_recipe, recipe_names

GOOD = """
name: mine
architecture: resnet18
weights: none
stages: [{name: one, size: 64, batch_size: 8, frozen: false, epochs: 1, lr_max: 0.001}]
"""


def test_the_article_to_the_letter() -> None:
    recipe = load_recipe("article")
    assert (recipe.architecture, recipe.weights, recipe.epochs, recipe.size) == (
        "resnet50",
        "torchvision",
        21,
        350,
    )
    assert [(s.size, s.batch_size, s.frozen, s.epochs, s.lr_max) for s in recipe.stages] == [
        (300, 78, True, 8, 8e-3),
        (300, 78, False, 5, (8e-6, 1e-3)),
        (350, 52, True, 8, 3e-3),
    ]
    assert [stage.name for stage in recipe.stages] == [
        *("stage1-300-8epochs", "stage2-300-5epochs", "stage1-350-8epochs"),
    ]
    # every stage is fastai 1's one cycle and its get_transforms(): turns of 10 degrees, zoom 1.1, light and warp 0.2
    assert recipe.one_cycle == OneCycle(pct_start=0.3, div=25, div_final=250000)
    assert all(stage.one_cycle is None and stage.train_bn for stage in recipe.stages)
    assert recipe.transforms == Transforms() == load_recipe("article-final").transforms
    assert not recipe.train_on_validation
    final = load_recipe("article-final")
    assert final.train_on_validation
    assert [stage.name for stage in final.stages] == [
        "final-stage1-300-new-8epochs",
        "final-stage2-300-new-5epochs",
        "final-stage1-350-new-8epochs-303",
    ]


def test_every_shipped_recipe_is_valid_and_named_after_its_file() -> None:
    assert recipe_names() == ["article", "article-final", "demo", "leak-gap", "quick"]
    for name in recipe_names():
        assert load_recipe(name).name == name
    with pytest.raises(NotFound, match="choose one of article, article-final, demo"):
        load_recipe("../secrets")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("resnet18", "alexnet"), "architecture"),
        (("lr_max: 0.001", "lr_max: [0.1, 0.001]"), "low to high"),
        (("lr_max: 0.001", "lr_max: -1"), "greater than 0"),
        (("epochs: 1", "epochs: 0"), r"stages\.0\.epochs"),
        (("weights: none", "weights: none\nspeed: 9"), "speed"),
        (
            (
                "stages: [",
                "stages: [{name: one, size: 64, batch_size: 8, frozen: true, epochs: 1, lr_max: 1},",
            ),
            "same",
        ),
        (("weights: none", "weights: none\nweb_share: 0.4"), "web_share needs sampling: balanced"),
        (("weights: none", "weights: none\nsampling: balanced\nweb_share: 1"), "less than 1"),
        (("name: mine", "name: [mine"), "not YAML"),
    ],
)
def test_recipes_that_cannot_be_followed(change: tuple[str, str], reason: str) -> None:
    parse_recipe(GOOD)
    with pytest.raises(Unprocessable, match=reason):
        parse_recipe(GOOD.replace(*change))


def test_a_web_share_goes_with_balanced_sampling() -> None:
    recipe = parse_recipe(GOOD + "sampling: balanced\nweb_share: 0.4\n")
    assert (recipe.sampling, recipe.web_share) == ("balanced", 0.4)
    assert {load_recipe(name).web_share for name in recipe_names()} == {None}
