"""The revision of the checkout the harness runs from, if it is one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any


def revision() -> dict[str, Any] | None:
    """``{"commit": sha, "dirty": bool}``, or None outside a git checkout or without git."""
    here = Path(__file__).resolve().parent.parent
    try:
        if Path(_git(here, "rev-parse", "--show-toplevel")) != here.parent:
            return None  # installed into somebody else's checkout
        commit = _git(here, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(here, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
