"""Static details of every attack, so that listing them imports no tool.

``python -m adapters.describe`` writes ``adapters/cards/attacks/<tool>.<method>.toml`` from the classes; a test holds
the files equal to them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters import art, autoattack, torchattacks
from adapters.common import ToolAttack
from harness.attack import BaseAttack
from harness.types import AttackSpec

CARDS = Path(__file__).parent / "cards" / "attacks"
METHODS: Mapping[str, type[BaseAttack]] = {**art.METHODS, **autoattack.METHODS, **torchattacks.METHODS}
"""Every attack of the three tools, by registered name."""
_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    float: "a number, or a multiple of epsilon such as 'epsilon/4'",
    int: "a whole number, at least 1",
    list: "a list of names",
    str: "text",
}


def describe(name: str) -> dict[str, Any]:
    """What a reader of a listing wants to know of the attack registered as `name`."""
    kind = METHODS[name]
    tool, _, method = name.partition(".")
    choices = kind.choices if issubclass(kind, ToolAttack) else {}
    parameters = {key: _WORDS[value] for key, value in kind.strength.items()}
    parameters |= {key: f"one of {', '.join(words)}" for key, words in choices.items()}
    options = {key: _WORDS[value] for key, value in kind.options.items()}
    options |= {"target": "least_likely, kth:K or class:C"} if "target" in options else {}
    return {
        "tool": tool,
        "method": method,
        "summary": (inspect.getdoc(kind) or "").partition("\n")[0],
        "distribution": kind.distribution,
        "norms": list(kind.norms),
        **({} if kind.threats == ("ball",) else {"threats": list(kind.threats)}),
        "kind": kind.kind,
        "iterative": kind.iterative,
        "components": _components(name, kind),
        "caveats": list(kind.caveats),
        "parameters": parameters,
        "options": options | {"restarts": "a whole number, at least 1; default 1"},
    }


def _components(name: str, kind: type[BaseAttack]) -> list[str]:
    if kind.strength:  # then the suite decides
        return []
    tool, _, method = name.partition(".")
    made = kind(AttackSpec(name, tool, method), kind.norms[0])
    return [component for component in made.components if component is not None]


def as_toml(details: Mapping[str, Any]) -> str:
    """The details as TOML: plain keys first, tables after."""
    tables = {key: value for key, value in details.items() if isinstance(value, dict)}
    lines = ["# Written by `python -m adapters.describe`."]
    lines += [f"{key} = {_value(value)}" for key, value in details.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *(f"{name} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    # JSON's strings, booleans and lists of them are TOML's.
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Write every card, and remove those of attacks that are gone."""
    CARDS.mkdir(parents=True, exist_ok=True)
    for old in CARDS.glob("*.toml"):
        if old.stem not in METHODS:
            old.unlink()
    for name in METHODS:
        (CARDS / f"{name}.toml").write_text(as_toml(describe(name)), encoding="utf-8")


if __name__ == "__main__":
    main()
