"""Which of two networks gives input gradients faster here: timed in turn until a test tells them apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.base.statistics import mcnemar_one_sided

FEWEST = 4
"""Pairs after which two may be told apart at the earliest: by then a race of equals has one winner in 1 of 8 cases."""
DOUBT = 1 / 16
"""Largest one-sided p value of the sign test at which one is faster."""
PATIENCE = 1.0
"""Seconds of measuring after which two that nothing tells apart are taken for equally fast."""


@dataclass(frozen=True)
class Race:
    """How a race ended."""

    ratio: float
    """How many times as fast the rival was, the median over the pairs."""
    won: bool
    """Whether the rival was faster by more than the noise."""


def race(base: Callable[[], float], rival: Callable[[], float]) -> Race:
    """Time both in turn, who begins changes; the pairs are judged by a sign test, which a single delay cannot mislead.

    Args:
        base: Seconds of one measurement of what is there.
        rival: The same of what is to replace it.
    """
    base(), rival()  # the first one warms up
    ratios: list[float] = []
    spent = 0.0
    while True:
        first, second = (base, rival) if len(ratios) % 2 == 0 else (rival, base)
        times = first(), second()
        own, other = times if first is base else times[::-1]
        ratios.append(own / other)
        spent += own + other
        if len(ratios) < FEWEST:
            continue
        wins, losses = sum(ratio > 1 for ratio in ratios), sum(ratio < 1 for ratio in ratios)
        won, lost = mcnemar_one_sided(wins, losses) <= DOUBT, mcnemar_one_sided(losses, wins) <= DOUBT
        if won or lost or spent >= PATIENCE:
            return Race(statistics.median(ratios), won)


def seconds_per_gradient(network: nn.Module, rows: Tensor, device: torch.device) -> float:
    """Seconds for forward and input gradient of `rows` [n,C,H,W], for each of the n; one measurement.

    With one thread on a processor its own time is read, which other processes do not lengthen; else the wall's.
    """
    clock = time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    images = rows.detach().clone().requires_grad_()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = clock()
    with torch.enable_grad():
        out = network(images)
        if out.requires_grad:  # else there is only the forward to be timed
            torch.autograd.grad(out.sum(), images, allow_unused=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(clock() - start, 1e-9) / len(rows)
