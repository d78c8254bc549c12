"""What the harness runs on and from: devices, versions of packages, the checkout's revision."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:  # whoever only reads records waits for no torch
    import torch


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


PACKAGES = (
    "robustness-harness",
    "torch",
    "torchvision",
    "torchattacks",
    "pyautoattack",
    "autoattack",
    "adversarial-robustness-toolbox",
    "numpy",
    "pyarrow",
)


def pick_device(name: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UsageError: no such device, or none here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(f"device {name!r} is not available: torch sees no GPU; use --device cpu")
    index = int(name.partition(":")[2] or torch.cuda.current_device())
    if index >= torch.cuda.device_count():
        raise UsageError(f"device {name!r} is not available: torch sees {torch.cuda.device_count()} GPU(s)")
    return torch.device("cuda", index)


def device_name(device: torch.device) -> str:
    """The hardware behind a device, in words."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def versions(*more: str) -> dict[str, str]:
    """Versions of what the numbers depend on, and of `more`; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
