"""The plan: how a run is computed, resolved once and kept with it."""

from __future__ import annotations

import platform
import re
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.errors import UsageError

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

    def as_dict(self) -> dict[str, Any]:
        """The plan as run.json spells it."""
        return asdict(self)


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


def find_batch_size(network: nn.Module, shape: tuple[int, ...], device: torch.device, largest: int) -> int:
    """Rows at a time where forward and input gradient stop getting faster by 5 %, at most `largest`.

    Doubles from 32 until two sizes in a row bring nothing (one may be noise); memory running out ends the search, too.
    """
    size = best = min(32, largest)
    fastest, idle = 0.0, 0
    while idle < 2:
        try:
            speed = _gradients_per_second(network, (size, *shape), device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if speed > fastest * 1.05:
            best, fastest, idle = size, speed, 0
        else:
            idle += 1
        if size >= largest:
            break
        size = min(size * 2, largest)
    return best


def _gradients_per_second(network: nn.Module, shape: tuple[int, ...], device: torch.device) -> float:
    images = torch.full(shape, 0.5, device=device, requires_grad=True)
    fastest = float("inf")
    with torch.enable_grad():
        for _ in range(3):  # the first one warms up
            start = time.perf_counter()
            torch.autograd.grad(network(images).sum(), images, allow_unused=True)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            fastest = min(fastest, time.perf_counter() - start)
    return shape[0] / fastest


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
