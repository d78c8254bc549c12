"""Which names of suites are taken: a built-in suite's name and version stand for its attacks and for no others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from harness.base.files import key_of
from harness.inputs.suite import Suite
from harness.inputs.suite_file import read_suite

BUILT_IN = Path(__file__).resolve().parents[1] / "suites"


class Told(Protocol):
    """An attack as a suite file or a run has it."""

    @property
    def id(self) -> str:
        """Its name in the suite."""

    @property
    def tool(self) -> str:
        """Name of the tool."""

    @property
    def method(self) -> str:
        """Name of the tool's method."""

    @property
    def params(self) -> Mapping[str, Any]:
        """As the file spells them."""

    @property
    def chunk(self) -> int | None:
        """Samples in a unit; None for the suite's."""

    @property
    def after(self) -> str | None:
        """Whether it attacks only what earlier attacks left."""

    @property
    def adapt(self) -> Sequence[object] | None:
        """Its adaptations; empty or None for an attack on the model as it is."""


def content_of(norm: str, chunk: int, attacks: Iterable[Told], threat: str = "ball", place: str = "drawn") -> str:
    """Hash of a suite's attacks as a file spells them; grid and mode are told beside the name, n hangs on the slice.

    Adapted attacks are left out: they stand beside the suite's own and can only lower the worst case.
    """
    told = [
        [attack.id, attack.tool, attack.method, dict(attack.params), attack.chunk, attack.after]
        for attack in attacks
        if not attack.adapt
    ]
    usual = {"threat": "ball", "place": "drawn"}
    other = {key: value for key, value in {"threat": threat, "place": place}.items() if value != usual[key]}
    return key_of({"norm": norm, "chunk": chunk, "attacks": told} | other)


def taken_for(name: str) -> str | None:
    """The built-in suite that `name` is or could be taken for: by case, separators, or letters of another script."""
    names = {known for known, _ in _built_in()}
    if name in names:
        return name
    bare = re.split("[@(]", unicodedata.normalize("NFKC", name).casefold())[0]
    letters = [letter for letter in bare if letter.isalnum()]
    if 2 * sum(letter.isascii() for letter in letters) < len(letters):
        return None  # most are of another script: no one takes it for a Latin word
    alike = re.compile("".join(letter if letter.isascii() else "." for letter in letters))
    return next((known for known in sorted(names) if alike.fullmatch(known.replace("-", ""))), None)


def versions_of(name: str) -> dict[int, Suite]:
    """The versions of a built-in suite that are shipped, by number; empty if there is no such suite."""
    return {version: suite for (known, version), suite in _built_in().items() if known == name}


@cache
def _built_in() -> dict[tuple[str, int], Suite]:
    suites = [read_suite(path) for path in sorted(BUILT_IN.glob("*.toml"))]
    return {(suite.name, suite.version): suite for suite in suites}
