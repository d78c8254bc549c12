"""Seconds and peak memory of what is computed."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import torch


class Meter:
    """Seconds and peak memory since it was made."""

    def __init__(self, device: torch.device) -> None:
        self.device, self._begun = device, time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _forget_peak()

    def read(self) -> tuple[float, int]:
        """Seconds and bytes."""
        if self.device.type == "cuda":
            return time.perf_counter() - self._begun, int(torch.cuda.max_memory_allocated(self.device))
        return time.perf_counter() - self._begun, _peak()


def _forget_peak() -> None:
    """Start the process's high-water mark anew, where the system can (Linux); elsewhere it covers the whole life."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
