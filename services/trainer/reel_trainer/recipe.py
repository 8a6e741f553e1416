"""The recipes that ship, as YAML files in ``recipes/``, and how one is read; called by ``api`` and ``tasks``.

What a recipe may say is in ``reel_shared.contracts.recipes``. Imports no torch.
"""

from __future__ import annotations

from importlib.resources import files

import yaml
from pydantic import ValidationError

from reel_shared.contracts.recipes import PUBLIC_WEIGHTS, SMALLEST_BATCH, OneCycle, Recipe, Stage, Transforms
from reel_shared.errors import NotFound, Unprocessable

__all__ = [
    "PUBLIC_WEIGHTS",
    "SMALLEST_BATCH",
    "OneCycle",
    "Recipe",
    "Stage",
    "Transforms",
    "find_stage",
    "load_recipe",
    "parse_recipe",
    "recipe_names",
]


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("reel_trainer").joinpath("recipes").iterdir()
        if entry.name.endswith(".yaml")
    )


def load_recipe(choice: str | Recipe) -> Recipe:
    """Return a recipe that ships by its name, or the one that was sent.

    Raises NotFound, and Unprocessable when the one that was sent borrows the name of another that ships.
    """
    names = recipe_names()
    if isinstance(choice, Recipe):
        if choice.name in names and choice != load_recipe(choice.name):
            raise Unprocessable(
                f"A recipe named {choice.name!r} ships and says something else; give yours a name of its own."
            )
        return choice
    if choice not in names:
        raise NotFound(f"There is no recipe {choice!r}; choose one of {', '.join(names)}, or send one whole.")
    return parse_recipe(files("reel_trainer").joinpath("recipes", f"{choice}.yaml").read_text())


def parse_recipe(text: str) -> Recipe:
    """Read a recipe from YAML. Raises Unprocessable with the first thing that is wrong."""
    try:
        return Recipe.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise Unprocessable(f"The recipe is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unprocessable(f"The recipe cannot be followed: {where or 'it'}: {first['msg']}.") from error


def find_stage(recipe: Recipe, name: str | None) -> int:
    """Return the place of a stage in a recipe, 0 where none is named. Raises Unprocessable."""
    names = [stage.name for stage in recipe.stages]
    if name is None:
        return 0
    if name not in names:
        raise Unprocessable(f"The recipe {recipe.name} has no stage {name!r}; it has {', '.join(names)}.")
    return names.index(name)


def batch_of(stage: Stage) -> int:
    """Return how many pictures one batch has. Raises Unprocessable where the training would find that itself."""
    if stage.batch_size == "auto":
        raise Unprocessable(
            f"Stage {stage.name} finds its batch size itself, and the best rate depends on it; send a recipe with a "
            "number."
        )
    return stage.batch_size
