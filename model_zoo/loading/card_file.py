"""Model cards: what is known of a checkpoint, as a TOML file beside its weights."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.base.text import toml_value
from harness.base.votes import checked
from harness.errors import BadCard, UsageError
from harness.inputs.adaptations import spelled
from harness.inputs.registry import is_plain_name
from harness.types import Claim, ModelCard

MAX_CLASSES = 1_000_000
MAX_PIXELS = 1 << 28
"""Numbers in one input; a card that claims more is refused before anything is allocated for it."""
_TABLES = ("trained_for", "recipe", "data", "weights", "provenance", "randomness")
_REQUIRED = ("name", "defense", "architecture", "num_classes", "input_shape")
_KEYS = tuple(field.name for field in fields(ModelCard) if field.name != "path")


def read_card(path: Path) -> ModelCard:
    """The card in the file `path`.

    Raises:
        BadCard: unreadable, not TOML, or a key is missing, unknown, or of the wrong type; names file and key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadCard(f"card {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # no TOML, no text, a number of thousands of digits
        raise BadCard(f"card {path} is not valid TOML: {error}") from None
    return card_from(content, path)


def card_from(content: Mapping[str, Any], path: Path) -> ModelCard:
    """The card that `content`, parsed from `path`, describes; raises as `read_card`."""
    read = _Reader(content, path)
    for key in content:
        if key not in _KEYS:
            raise read.bad(key, f"is unknown; known keys: {', '.join(_KEYS)}")
    for key in _REQUIRED:
        if key not in content:
            raise read.bad(key, "is missing")
    shape = read.numbers("input_shape", whole=True)
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > MAX_PIXELS:
        raise read.bad("input_shape", f"is {list(shape)}; expected [channels, height, width] of a possible image")
    mean, std = read.numbers("mean"), read.numbers("std")
    if len(mean) != len(std) or (mean and len(mean) != shape[0]):
        raise read.bad("mean", f"has {len(mean)} values and std {len(std)}; both need one a channel, or none")
    if not all(0 < value < math.inf for value in std):
        raise read.bad("std", f"is {list(std)}; standard deviations are finite and above 0")
    if not all(math.isfinite(value) for value in mean):
        raise read.bad("mean", f"is {list(mean)}; expected finite numbers")
    classes = content["num_classes"]
    if not isinstance(classes, int) or isinstance(classes, bool) or not 2 <= classes <= MAX_CLASSES:
        raise read.bad("num_classes", f"is {classes!r}; expected a whole number from 2 to {MAX_CLASSES:,}")
    if not is_plain_name(read.text("name")):
        raise read.bad(
            "name", f"is {content['name']!r:.100}; expected a name without / and \\, not that of a file elsewhere"
        )
    tables = {key: read.table(key) for key in _TABLES}
    read.randomness()
    return ModelCard(
        name=read.text("name"),
        defense=read.text("defense"),
        architecture=read.text("architecture"),
        num_classes=classes,
        input_shape=(int(shape[0]), int(shape[1]), int(shape[2])),
        mean=mean,
        std=std,
        claims=read.claims(),
        adaptation=read.adaptations(),
        notes=read.text("notes") if "notes" in content else "",
        path=path,
        **tables,
    )


def write_card(card: ModelCard, path: Path) -> None:
    """Write `card` as TOML; `read_card` gives it back."""
    lines = []
    for key in ("name", "defense", "architecture", "num_classes", "input_shape", "mean", "std", "notes"):
        value = getattr(card, key)
        if value != "" and value != ():
            lines.append(f"{key} = {toml_value(value)}")
    for key in _TABLES:
        if getattr(card, key):
            lines += _table_lines(key, getattr(card, key))
    for name, claim in card.claims.items():
        lines += _table_lines(f"claims.{_toml_key(name)}", {"accuracy": claim.accuracy, "n": claim.n})
    for table in card.adaptation:
        lines += ["", "[[adaptation]]", *(f"{key} = {toml_value(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class _Reader:
    """Typed access to one parsed card; every complaint names file and key."""

    def __init__(self, content: Mapping[str, Any], path: Path) -> None:
        self.content = content
        self.path = path

    def bad(self, key: str, what: str) -> BadCard:
        return BadCard(f"card {self.path}: {key} {what}")

    def text(self, key: str) -> str:
        value = self.content[key]
        if not isinstance(value, str):
            raise self.bad(key, f"is {value!r}; expected a text")
        return value

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.content.get(key, {})
        if not isinstance(value, dict):
            raise self.bad(key, f"is {value!r}; expected a table [{key}]")
        return value

    def randomness(self) -> None:
        """Refuse a ``[randomness]`` by which the model cannot be asked."""
        table = self.table("randomness")
        if unknown := sorted(set(table) - {"draws", "rule"}):
            raise self.bad(f"randomness.{unknown[0]}", "is unknown; known keys: draws, rule")
        if table:
            try:
                checked(table.get("draws"), table.get("rule", "majority"), "draws")
            except UsageError as error:
                raise self.bad("randomness", f"has {error}") from None

    def numbers(self, key: str, whole: bool = False) -> tuple[float, ...]:
        value = self.content.get(key, [])
        kinds = int if whole else (int, float)
        if not isinstance(value, list) or not all(isinstance(v, kinds) and not isinstance(v, bool) for v in value):
            raise self.bad(key, f"is {value!r}; expected a list of {'whole ' if whole else ''}numbers")
        return tuple(value)

    def claims(self) -> dict[str, Claim]:
        found = {}
        for name, claim in self.table("claims").items():
            key = f"claims.{name}"
            if not isinstance(claim, dict) or set(claim) != {"accuracy", "n"}:
                raise self.bad(key, f"is {claim!r}; expected accuracy and n")
            accuracy, n = claim["accuracy"], claim["n"]
            if not isinstance(accuracy, int | float) or isinstance(accuracy, bool) or not 0 <= accuracy <= 1:
                raise self.bad(f"{key}.accuracy", f"is {accuracy!r}; expected a share from 0 to 1")
            if not isinstance(n, int) or isinstance(n, bool) or n < 1:
                raise self.bad(f"{key}.n", f"is {n!r}; expected a whole number of at least 1")
            found[name] = Claim(float(accuracy), n)
        return found

    def adaptations(self) -> tuple[Mapping[str, Any], ...]:
        tables = self.content.get("adaptation", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self.bad("adaptation", f"is {tables!r:.100}; expected tables [[adaptation]]")
        for table in tables:
            if why := spelled(table.get("adapt")):
                raise self.bad("adaptation.adapt", why)
            if not isinstance(table.get("why", ""), str) or set(table) - {"adapt", "why"}:
                raise self.bad("adaptation", f"is {table!r:.100}; expected adapt and, as a text, why")
        return tuple(tables)


def _table_lines(name: str, table: Mapping[str, Any]) -> list[str]:
    lines = ["", f"[{name}]"]
    nested = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            nested += _table_lines(f"{name}.{_toml_key(key)}", value)
        elif value is not None:  # TOML has no null: what is not there is not written
            lines.append(f"{_toml_key(key)} = {toml_value(value)}")
    return lines + nested


def _toml_key(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else toml_value(key)
