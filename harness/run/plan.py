"""The plan: how a run is computed, resolved once and kept with it."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from harness.errors import UsageError
from harness.measure.fast_copy.copies import Recipe

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


@dataclass(frozen=True)
class Plan:
    """What the numbers depend on beside model, suite, data and seed, up to rounding."""

    device: str
    batch_size: int
    precision: str = "float32"
    threads: int = 0
    """BLAS threads on the CPU; 0 on other devices, where they do not matter."""
    speedups: tuple[str, ...] = ()
    """What the attacked copy of the model is prepared by; see `harness.measure.fast_copy.copies.Recipe`."""
    channels_last: bool = False
    compiled: bool = False

    @property
    def recipe(self) -> Recipe:
        """How the attacked copy is made; the exact one attacks the reference itself."""
        return Recipe(self.speedups, self.channels_last, self.precision, self.compiled)  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        """The plan as run.json spells it."""
        return {**asdict(self), "speedups": list(self.speedups)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Plan:
        """The plan of a run.json, of this version or an earlier one."""
        return cls(**{**value, "speedups": tuple(value.get("speedups", ()))})


def pick_device(name: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UsageError: no such device, or none here.
    """
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
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
