"""What the benchmarks share: the options, the clock, the machine, and where results go."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from harness.base.machine import device_name, versions

RESULTS = Path(__file__).parent / "results"


def model_parser(description: str | None, n: int) -> argparse.ArgumentParser:
    """The options of a benchmark of one model: model, samples (`n` if not told), device, and where the report goes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", default="signs")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("-n", type=int, default=n)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path)
    return parser


class Clock:
    """Seconds of a block: of the wall, and of this process's processors.

    On a machine that others use, processor time is the fairer of the two; on a GPU only the wall counts.
    """

    def __init__(self, device: str) -> None:
        self.device, self.wall, self.processor = device, 0.0, 0.0

    def __enter__(self) -> Clock:
        self._synchronize()
        self._begun = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._synchronize()
        self.wall, self.processor = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]

    def _synchronize(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    @property
    def seconds(self) -> float:
        """What ratios are made of."""
        return self.wall if self.device.startswith("cuda") else self.processor


def machine(device: str) -> dict[str, Any]:
    """Hardware and software, and how busy the machine was."""
    return {
        "device": device_name(torch.device(device)),
        "threads": torch.get_num_threads(),
        "clock": "wall" if device.startswith("cuda") else "processor",
        "load": round(os.getloadavg()[0], 1),
        "versions": versions(),
    }


@contextmanager
def own_cache() -> Iterator[None]:
    """An empty calibration cache, so that the first run of a benchmark pays for its calibration, as a user's does."""
    before = os.environ.get("HARNESS_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HARNESS_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("HARNESS_CACHE")
            if before is not None:
                os.environ["HARNESS_CACHE"] = before


def write(report: dict[str, Any], output: Path | None) -> None:
    """Print a report and keep it."""
    text = json.dumps(report, indent=2) + "\n"
    print(text)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
