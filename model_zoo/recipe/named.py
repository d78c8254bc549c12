"""Recipes by name: the options of ``harness train`` as TOML, so that a training can be asked for in one word."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UnknownName, UsageError

RECIPES = Path(__file__).parent.parent / "cards" / "recipes"
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "defense": str,
    "set": dict,
    "data": list,
    "arch": str,
    "epochs": int,
    "batch_size": int,
    "lr": (int, float),
    "weight_decay": (int, float),
    "schedule": str,
    "ema": (int, float),
    "init": str,
    "augment": (int, float),
    "cutout": (int, float),
    "seed": int,
}
"""Key to what it may be: the options of ``harness train`` that determine a training, ``set`` as a table."""


def recipe_names() -> list[str]:
    """The recipes that ship."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def read_recipe(text: str) -> dict[str, Any]:
    """The options of the recipe `text`: a name, or the path of a TOML file; ``description`` is left out.

    Raises:
        UnknownName: no recipe has this name.
        UsageError: the file cannot be read, is no TOML, or holds a key or a value that is none of ``harness train``.
    """
    path = Path(text) if text.endswith(".toml") else RECIPES / f"{text}.toml"
    if not text.endswith(".toml") and text not in recipe_names():
        raise UnknownName("recipe", text, recipe_names())
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"recipe {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"recipe {path} is not valid TOML: {error}") from None
    content.pop("description", None)
    for key, value in content.items():
        if key not in KINDS:
            raise UsageError(f"recipe {path}: {key} is unknown; known keys: description, {', '.join(KINDS)}")
        if not isinstance(value, KINDS[key]) or isinstance(value, bool):
            raise UsageError(f"recipe {path}: {key} is {value!r}, which --{key.replace('_', '-')} does not take")
    if "defense" not in content:
        raise UsageError(f"recipe {path}: defense is missing; see `harness list defenses`")
    return content
