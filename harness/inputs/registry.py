"""Names to plugins, through plain entry points: the built-ins come by the same road as strangers.

Listing reads package metadata only and imports nothing; `Registry.load` imports the one plugin that is asked for.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import Distribution, EntryPoint, EntryPoints, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.base.installing import OURS
from harness.errors import DuplicateName, PluginError, UnknownName

GROUPS = {
    "models": "harness.models",
    "defenses": "harness.defenses",
    "attacks": "harness.attacks",
    "suites": "harness.suites",
    "datasets": "harness.datasets",
    "corruptions": "harness.corruptions",
    "sources": "harness.sources",
    "commands": "harness.commands",
    "renderers": "harness.renderers",
    "executors": "harness.executors",
    "speedups": "harness.speedups",
    "adaptations": "harness.adaptations",
    "weights": "harness.weights",
}


def is_plain_name(text: str) -> bool:
    """Whether `text` can be a name: it is printed and becomes part of file names, so it must lead nowhere else."""
    return 0 < len(text) <= 80 and not re.search(r"[/\\\x00-\x1f\x7f]", text) and not text.startswith(".")


@dataclass(frozen=True)
class Entry:
    """One registered name: where it comes from, without importing it."""

    name: str
    value: str
    package: str
    version: str
    point: EntryPoint

    @property
    def module(self) -> str:
        """The top-level package of the object, which is where its static details are looked for."""
        return self.point.module.partition(".")[0]

    def folders(self, name: str) -> list[Path]:
        """Where ``<top-level package>/<name>`` lies or would lie, without importing the package."""
        spec = find_spec(self.module)  # of a top-level name: finds, does not import
        return [Path(root) / name for root in (spec.submodule_search_locations or [])] if spec else []

    def details(self, folder: str = "cards") -> dict[str, Any]:
        """Static details from ``<top-level package>/<folder>/<name>.toml``, or ``{}``; imports nothing.

        Raises:
            PluginError: the file is there and is not TOML.
        """
        for place in self.folders(folder):
            path = place / f"{self.name}.toml"
            if path.is_file():
                try:
                    return tomllib.loads(path.read_text(encoding="utf-8-sig"))
                except (ValueError, RecursionError) as error:
                    raise PluginError(f"{path} of package {self.package} is not valid TOML: {error}") from None
        return {}


def points(group: str) -> EntryPoints:
    """The entry points of a group, by one look at all packages; another where a folder of ``sys.path`` has changed."""
    everything = _read(tuple((place, _changed(place or os.curdir)) for place in sys.path))
    found: EntryPoints = everything.select(group=group)
    return found


@lru_cache(maxsize=4)
def _read(_places: tuple[tuple[str, int], ...]) -> Any:  # of a class of its own before Python 3.12
    return entry_points()


_TOLD: dict[int, tuple[Any, tuple[str, str]]] = {}
"""Packages by id, which is theirs while they are kept here, with what they said."""


def _told(dist: Distribution | None) -> tuple[str, str]:
    """Name and version of a package, which parses its metadata at every question."""
    if id(dist) not in _TOLD:
        _TOLD[id(dist)] = dist, (dist.name, dist.version) if dist else ("unknown package", "?")
    return _TOLD[id(dist)][1]


def _changed(place: str) -> int:
    try:
        return os.stat(place).st_mtime_ns
    except OSError:
        return 0


class Registry:
    """The plugins of one entry-point group, for instance ``Registry("models")``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.group = GROUPS[kind]

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for point in points(self.group):
            entry = Entry(point.name, point.value, *_told(point.dist), point)
            same = found.setdefault(point.name, [])
            # One package may be seen twice (an editable install beside its build folder): that is not a conflict.
            if not any((e.package, e.value) == (entry.package, entry.value) for e in same):
                same.append(entry)
        return found

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._entries)

    def entries(self) -> list[Entry]:
        """All entries, sorted by name; a doubled name appears once for each package."""
        return [entry for name in self.names() for entry in self._entries[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def get(self, name: str) -> Entry:
        """The entry of `name`.

        Raises:
            UnknownName: nobody registers it; near misses are named.
            DuplicateName: two packages do; both are named.
        """
        same = self._entries.get(name)
        if not same:
            raise UnknownName(self.kind.removesuffix("s"), name, self._entries)
        if len(same) > 1:
            owners = " and ".join(f"{e.package} ({e.value})" for e in same)
            raise DuplicateName(
                f"{self.kind.removesuffix('s')} {name!r} is registered by {owners}; uninstall or rename one of them"
            )
        return same[0]

    def load(self, name: str) -> Any:
        """Import and return the object registered as `name`.

        Raises:
            PluginError: the import failed; names the package and the reason.
        """
        entry = self.get(name)
        try:
            with redirect_stdout(sys.stderr):  # what an import prints is no result
                return entry.point.load()
        except (Exception, SystemExit) as error:  # any failure of a stranger's import is that plugin's, not ours
            raise PluginError(
                f"{self.kind.removesuffix('s')} {name!r} of package {entry.package} cannot be imported:"
                f" {type(error).__name__}: {error}"
            ) from error


def weights_folders() -> list[Path]:
    """The folders ``PACKAGE/weights`` of the installed data distributions, the group ``harness.weights``."""
    return [folder for entry in Registry("weights").entries() for folder in entry.folders("weights")]


def stranger(kind: str, name: str) -> str | None:
    """The package that registers `name`, if it is exactly one and not this one: who to name when it fails."""
    owners = {entry.package for entry in Registry(kind).entries() if entry.name == name} - {OURS}
    return owners.pop() if len(owners) == 1 else None
