"""Fresh environments for wheels, which do not download torch again.

What the wheel asks for, and nothing else, is borrowed from the environment that runs the tests: each distribution of
its transitive requirements is linked into a folder that a ``.pth`` file puts behind the environment's own packages. pip
takes the links for installed packages, installs what they do not satisfy in front of them, and never writes through
them. So a requirement that pyproject.toml forgets is missing here, too.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 600
"""Seconds that pip may take: a resolution asks the index hundreds of times."""


def closure(requirements: Iterable[str]) -> dict[str, Distribution]:
    """The installed distributions that `requirements` need, by name; what is not installed is left out."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            there = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = there
        for text in there.requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in {"", *extras}):
                todo.append(needed)
    return found


def link(packages: Iterable[Distribution], folder: Path) -> None:
    """Link every top-level file and folder of `packages` into `folder`."""
    folder.mkdir()
    for package in packages:
        for file in package.files or []:
            top = file.parts[0]
            if top in ("..", "__pycache__", "/") or (folder / top).exists():
                continue
            (folder / top).symlink_to(Path(str(package.locate_file(top))).resolve())


@dataclass(frozen=True)
class Fresh:
    """The environment in `folder`."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, requirements: Iterable[str]) -> "Fresh":
        """An environment that borrows what `requirements` need, without the harness itself."""
        venv.create(folder, with_pip=False, symlinks=True)
        made = cls(folder)
        packages = closure(requirements)
        packages.pop("robustness-harness", None)
        link(packages.values(), folder / "borrowed")
        (made.packages / "borrowed.pth").write_text(f"{folder / 'borrowed'}\n")
        return made

    @property
    def packages(self) -> Path:
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def pip(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run pip on this environment; an index that does not answer skips the test."""
        python = [sys.executable, "-m", "pip", "--python", str(self.folder / "bin" / "python")]
        options = ["--disable-pip-version-check"] if words[0] != "check" else []
        try:
            return call([*python, *words, *options], code=code, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.skip(f"pip {words[0]} did not end within {PATIENCE} s")

    def harness(self, *words: str, cwd: Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run the installed ``harness`` script."""
        return call([str(self.folder / "bin" / "harness"), *words], cwd=cwd, code=code)

    def python(self, *words: str, cwd: Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python."""
        return call([str(self.folder / "bin" / "python"), *words], cwd=cwd, code=code)


def call(
    command: list[str], *, cwd: Path | None = None, code: int | None = 0, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `command`, at most `timeout` seconds; its exit code must be `code`, unless that is None."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HARNESS_DATA")}
    environment |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    streams = {"capture_output": True, "text": True}
    done = subprocess.run(command, cwd=cwd, env=environment, check=False, timeout=timeout, **streams)
    assert code in (None, done.returncode), f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
