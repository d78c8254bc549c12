"""Suites as files: ``NAME``, ``NAME@VERSION`` or a path to a TOML file; what is wrong is said with key and line."""

from __future__ import annotations

import glob
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from harness.base.modes import MODES
from harness.base.text import whole_number
from harness.base.threat import check_norm, check_threat, parse_levels
from harness.errors import BadSuite, HarnessError, UnknownName, UsageError
from harness.inputs.adaptations import spelled
from harness.inputs.attack_names import ID, misnamed
from harness.inputs.corruptions.entries import REQUIRED, read_entries
from harness.inputs.prefixes import fault
from harness.inputs.registry import Registry, is_plain_name
from harness.inputs.suite import Suite
from harness.types import AttackSpec, Place

DEFAULT_CHUNK = 512
_Types = Mapping[str, tuple[type | tuple[type, ...], str]]
_TYPES: _Types = {
    "name": (str, "text"),
    "version": (int, "a whole number"),
    "threat": (str, "text"),
    "place": (str, "text"),
    "norm": (str, "text"),
    "epsilons": (list, "a list"),
    "mode": (str, "text"),
    "chunk": (int, "a whole number"),
    "description": (str, "text"),
    "attack": (list, "a list of tables [[attack]]"),
    "kinds": (list, "a list of names"),
    "severities": (list, "a list of whole numbers"),
}
_ATTACK_TYPES: _Types = {
    "id": (str, "text"),
    "tool": (str, "text"),
    "method": (str, "text"),
    "params": (dict, "a table"),
    "n": ((int, float), "a number of samples or a share of them"),
    "chunk": (int, "a whole number"),
    "after": (str, "text"),
    "adapt": (list, "a list of adaptations"),
}


def load_suite(name: str) -> Suite:
    """A registered suite by ``NAME`` or ``NAME@VERSION``, or a TOML file by path (anything that ends in ``.toml``).

    A plugin's entry point of group ``harness.suites`` names a package; the file is ``<package>/suites/<name>.toml``,
    that of an older version ``<package>/suites/<name>@<version>.toml``.

    Raises:
        UnknownName: no suite of that name, or not of that version; names what there is.
        BadSuite: the file cannot be read, or a key is wrong; names key and line.
    """
    if name.endswith(".toml"):
        return read_suite(Path(name))
    base, _, version = name.rpartition("@")
    known = Registry("suites")
    if name in known or whole_number(version) is None:
        base, version = name, ""
    entry = known.get(base)
    spec = find_spec(entry.module)
    roots = [Path(root) / "suites" for root in (spec.submodule_search_locations or [])] if spec else []
    newest = next((path for root in roots if (path := root / f"{base}.toml").is_file()), None)
    if newest is None:
        raise BadSuite(f"package {entry.package} registers suite {base!r} but has no {entry.module}/suites/{base}.toml")
    suite = read_suite(newest)
    if not version or suite.version == int(version):
        return suite
    older = {path.stem: path for path in newest.parent.glob(f"{glob.escape(base)}@*.toml")}
    if name not in older:
        raise UnknownName("suite", name, {suite.label, *older})
    return read_suite(older[name])


def read_suite(path: Path) -> Suite:
    """Read a suite file; see `load_suite`."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except OSError as error:
        raise BadSuite(f"suite file {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # no text
        raise BadSuite(f"suite file {path} cannot be read: {error}") from None
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # no TOML, or a number of thousands of digits
        raise BadSuite(f"suite file {path} is not valid TOML: {error}") from None
    return _Reader(path, text).suite(raw)


@dataclass(frozen=True)
class _Reader:
    """Checks one file and says which key on which line is wrong."""

    path: Path
    text: str

    def fail(self, message: str, key: str, table: int | None = None) -> BadSuite:
        return BadSuite(f"suite file {self.path}, line {self.line(key, table)}: {message}")

    def line(self, key: str, table: int | None) -> int:
        """Line of `key`, at the top or in the `table`-th ``[[attack]]``; the table's own line if the key is absent."""
        tables = 0
        start = 1
        for number, line in enumerate(self.text.splitlines(), 1):
            if re.match(r"\s*\[\[\s*attack\s*\]\]", line):
                tables += 1
                if table is not None and tables == table + 1:
                    start = number
            here = tables == 0 if table is None else tables == table + 1
            if here and re.match(rf"\s*(\[.*\b)?[\"']?{re.escape(key)}[\"']?\s*[=\]]", line):
                return number
        return start

    def suite(self, raw: dict[str, Any]) -> Suite:
        if raw.get("threat") == "corruption":
            self.keys(raw, _TYPES, required=REQUIRED)
            return self.corruptions(raw)
        self.keys(raw, _TYPES, required=("name", "version", "norm", "epsilons", "attack"))
        if other := [key for key in ("kinds", "severities") if key in raw]:
            raise self.fail(f'{other[0]} are for threat = "corruption"; leave them out', other[0])
        told = self.told(raw)
        try:
            norm = check_norm(raw["norm"])
        except UsageError as error:
            raise self.fail(str(error), "norm") from None
        try:
            threat = check_threat(raw.get("threat", "ball"))
        except UsageError as error:
            raise self.fail(str(error), "threat") from None
        try:
            grid = parse_levels(raw["epsilons"], norm, threat)
        except HarnessError as error:
            raise self.fail(str(error), "epsilons") from None
        if threat == "patch" and norm != "linf":
            raise self.fail(f"threat 'patch' has norm 'linf', not {norm!r}: under a patch pixels change freely", "norm")
        lies = raw.get("place", "drawn")
        if "place" in raw and threat != "patch":
            raise self.fail('place is for threat = "patch"; leave it out', "place")
        if lies not in get_args(Place):
            raise self.fail(f"place must be one of {', '.join(get_args(Place))}, not {lies!r}", "place")
        mode = raw.get("mode", "observed")
        if mode not in MODES:
            raise self.fail(f"mode must be one of {', '.join(MODES)}, not {mode!r}", "mode")
        chunk = self.chunk(raw)
        attacks = tuple(self.attack(table, place) for place, table in enumerate(raw["attack"]))
        if not attacks:
            raise self.fail("a suite needs at least one [[attack]]", "attack")
        seen: set[str] = set()
        installed = Registry("attacks")
        for place, attack in enumerate(attacks):
            if attack.id in seen:
                raise self.fail(f"attack id {attack.id!r} stands twice; ids are unique in a suite", "id", place)
            seen.add(attack.id)
            known = f"{attack.tool}.{attack.method}" in installed  # else `resolve` says what there is
            if known and (why := misnamed(attack.id, attack.tool, attack.method, attack.params, attack.adapt)):
                raise self.fail(f"{why}; call it what it is", "id", place)
        if (wrong := fault(attacks, chunk)) is not None:
            raise self.fail(wrong.message, wrong.key, wrong.place)
        return Suite(
            **told,
            norm=norm,
            grid=grid,
            mode=mode,
            chunk=chunk,
            attacks=attacks,
            mode_is_set="mode" in raw,
            threat=threat,
            place=lies,
        )

    def corruptions(self, raw: dict[str, Any]) -> Suite:
        """A suite of corruptions: each kind on every image at every severity, so that the mode is ``faithful``."""
        grid, attacks = read_entries(raw, self.fail)
        told = self.told(raw) | {"chunk": self.chunk(raw), "grid": grid, "attacks": attacks}
        return Suite(**told, norm="linf", mode="faithful", mode_is_set=True, threat="corruption")

    def told(self, raw: dict[str, Any]) -> dict[str, Any]:
        """What every suite says: name, version and description."""
        if not is_plain_name(raw["name"]):
            raise self.fail(f"name {raw['name']!r:.100} must be a plain name without / and \\", "name")
        return {"name": raw["name"], "version": raw["version"], "description": raw.get("description", "")}

    def chunk(self, raw: dict[str, Any]) -> int:
        chunk: int = raw.get("chunk", DEFAULT_CHUNK)
        if chunk < 1:
            raise self.fail(f"chunk must be at least 1, not {chunk}", "chunk")
        return chunk

    def attack(self, table: Any, place: int) -> AttackSpec:
        if not isinstance(table, dict):
            raise self.fail("attack must be a list of tables [[attack]]", "attack")
        self.keys(table, _ATTACK_TYPES, required=("id", "tool", "method"), place=place)
        parts = table["id"].split("/")
        if not ID.fullmatch(table["id"]) or table["id"] == "clean" or not all(part.strip(".") for part in parts):
            raise self.fail(
                f"attack id {table['id']!r} must be letters, digits and ._+/@- and not 'clean'", "id", place
            )
        params = dict(table.get("params", {}))
        if "adapt" in table and (why := spelled(table["adapt"])):
            raise self.fail(f"adapt of attack {table['id']!r} {why}", "adapt", place)
        return AttackSpec(
            table["id"],
            table["tool"],
            table["method"],
            params,
            n=table.get("n"),
            chunk=table.get("chunk"),
            after=table.get("after"),
            adapt=tuple(table.get("adapt", ())),
        )

    def keys(
        self,
        table: dict[str, Any],
        types: _Types,
        required: Sequence[str],
        place: int | None = None,
    ) -> None:
        for key, value in table.items():
            if key not in types:
                raise self.fail(f"unknown key {key!r}; known: {', '.join(types)}", key, place)
            expected, words = types[key]
            if not isinstance(value, expected) or isinstance(value, bool):
                raise self.fail(f"{key} must be {words}, not {value!r}", key, place)
        for key in required:
            if key not in table:
                where = f" in [[attack]] number {place + 1}" if place is not None else ""
                raise self.fail(f"key {key!r} is missing{where}", key, place)
