"""The page on defenses and the static cards list the options that are there, with their defaults."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from repository import ROOT

import model_zoo
from model_zoo.defenses.base import Defense
from model_zoo.defenses.contrastive.frameworks import A2A, A2S, S2S, Finetuning
from model_zoo.defenses.fast_fgsm import FastFGSM
from model_zoo.defenses.fgsm import FGSM
from model_zoo.defenses.n_fgsm import NFGSM
from model_zoo.defenses.pgd import PGD
from model_zoo.defenses.standard import Standard
from model_zoo.defenses.trades import TRADES
from model_zoo.numbers import spell

DEFENSES: dict[str, type[Defense]] = {
    "standard": Standard,
    "fgsm": FGSM,
    "fast_fgsm": FastFGSM,
    "n_fgsm": NFGSM,
    "pgd": PGD,
    "trades": TRADES,
    "s2s": S2S,
    "a2s": A2S,
    "a2a": A2A,
}
PAGE = (ROOT / "docs" / "defenses.md").read_text(encoding="utf-8")
CARDS = Path(model_zoo.__file__).parent / "cards" / "defenses"


def spelled(name: str, value: object) -> str:
    if isinstance(value, Finetuning):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    return spell(value) if name in ("epsilon", "step_size") and isinstance(value, float) else str(value)


def actual(kind: type[Defense]) -> dict[str, str]:
    return {part.name: spelled(part.name, part.default) for part in fields(kind)}


def documented(name: str) -> dict[str, str]:
    """Option to default, over all sections whose heading names the defense."""
    rows: dict[str, str] = {}
    for heading, body in re.findall(r"^## Options of (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S):
        if f"`{name}`" in heading:
            rows |= dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", body, flags=re.M))
    return rows


@pytest.mark.parametrize("name", DEFENSES)
def test_the_page_lists_the_options_with_their_defaults(name: str) -> None:
    assert documented(name) == actual(DEFENSES[name])


@pytest.mark.parametrize("name", DEFENSES)
def test_the_page_s_first_table_names_the_defense(name: str) -> None:
    assert re.search(rf"^\| `{name}` \| .+ \|.*\|$", PAGE, flags=re.M)


@pytest.mark.parametrize("name", DEFENSES)
def test_the_static_card_lists_the_options(name: str) -> None:
    card = tomllib.loads((CARDS / f"{name}.toml").read_text(encoding="utf-8"))
    assert card["options"].split(", ") == list(actual(DEFENSES[name]))
    assert card["description"]


def test_every_static_card_is_of_a_defense() -> None:
    assert {path.stem for path in CARDS.glob("*.toml")} == set(DEFENSES)


def test_the_study_s_commands_name_options_that_exist() -> None:
    lines = re.findall(r"^\$ harness train (.*)$", PAGE, flags=re.M)
    assert len(lines) >= 8
    for line in lines:
        if "--recipe" in line:
            continue
        (name,) = re.findall(r"--defense (\w+)", line)
        options = dict(re.findall(r"--set ([\w.]+)=(\S+)", line))
        DEFENSES[name].from_options(options)
