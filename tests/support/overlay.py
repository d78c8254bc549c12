"""A temporary environment that borrows the installed packages; plugins are installed into it as users do."""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from repository import ROOT


@dataclass(frozen=True)
class Overlay:
    """The environment in `folder`."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Overlay":
        """An environment without packages of its own; the working tree comes first."""
        venv.create(folder, with_pip=False, symlinks=True)
        made = cls(folder)
        borrowed = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
        (made.packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
        return made

    @property
    def packages(self) -> Path:
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def run(self, *words: str, cwd: Path, code: int | None = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python; its exit code must be `code`, unless that is None."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
        python = [str(self.folder / "bin" / "python"), "-W", "ignore", *words]
        done = subprocess.run(python, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert code in (None, done.returncode), f"{words}:\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, *projects: Path, cwd: Path) -> None:
        """``pip install`` without dependencies and without fetching a build tool."""
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
        self.run("-m", "pip", "install", *options, *map(str, projects), cwd=cwd)
