"""What the sections of the performance page share: tables, and the words for how a run was made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

TOOLS = {
    "autoattack": "AutoAttack standard, pyautoattack bare",
    "art-pgd": "PGD-20, ART as documented (batch 32)",
    "art-pgd-batch": "PGD-20, ART at the same batch",
}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def conditions(one: dict[str, Any], packages: Sequence[str] = ("torch", "torchattacks")) -> str:
    """Where and on what: one line under a table."""
    versions = ", ".join(f"{name} {one['versions'][name]}" for name in packages if name in one["versions"])
    return f"{one['device']}, {one['threads']} thread(s), {one['clock']} time, load {one['load']}; {versions}"


def plan(one: dict[str, Any]) -> str:
    """How the attacked copy was prepared."""
    found = one["plan"]
    words = [*found["speedups"], "channels last" if found["channels_last"] else "", found["precision"]]
    return ", ".join(word for word in words if word)


def halved(one: dict[str, Any]) -> str:
    """Of a sweep in mode bisection, that it is."""
    return ", `--bisect`" if one.get("mode") == "bisection" else ""


def percent(share: float) -> str:
    return f"{100 * share:.1f}"
