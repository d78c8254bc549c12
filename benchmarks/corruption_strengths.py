"""Strengths of corruptions: for each kind, severity and image size the one that reaches a stated structural similarity.

    python benchmarks/corruption_strengths.py write     # harness/inputs/corruptions/strengths.py, minutes
    python benchmarks/corruption_strengths.py measure   # a table: what the strengths in that file reach

The images are the first test images of `signs`, enlarged or made smaller (bicubic). Structural similarity is that of
Wang et al. (2004), of each channel, averaged over image and channels; its square window is 7/32 of the side wide, so
that the same picture in more pixels has the same similarity.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from harness.inputs.corruptions.kinds import Kind, corrupted, load_kind
from harness.inputs.find import find_data
from harness.inputs.registry import Registry

LADDER = (0.90, 0.81, 0.72, 0.63, 0.54)
"""Structural similarity of severity 1 to 5."""
SIDES = {28: 48, 32: 48, 64: 24, 224: 4}
"""Sides of the images, with the number of images."""
CLOSE = 0.003
"""Of a rung, in structural similarity."""
TARGET = Path(__file__).parents[1] / "harness" / "inputs" / "corruptions" / "strengths.py"
HEAD = '''\
"""The strengths of every kind, in thousandths, by side of the image: made by ``benchmarks/corruption_strengths.py``.

Severities 1 to 5 are the strengths at which structural similarity falls to {ladder}.
"""

from __future__ import annotations

from collections.abc import Mapping

STRENGTHS: Mapping[str, Mapping[int, tuple[int, int, int, int, int]]] = {{
'''


@cache
def images_of(side: int) -> np.ndarray:
    """uint8 [n,3,side,side]."""
    found, _ = find_data("signs").take(range(SIDES[side]))
    pixels = (found.numpy() * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    sized = [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in pixels]
    return np.stack(sized).transpose(0, 3, 1, 2)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Mean structural similarity of images uint8 [n,C,H,W]."""
    window = round(7 * one.shape[-1] / 32)
    a, b = one.astype(np.float32), other.astype(np.float32)

    def mean(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, (0, 0, window, window))

    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    return float(((2 * ma * mb + low) * (2 * both + high) / ((ma * ma + mb * mb + low) * (va + vb + high))).mean())


def reached(name: str, kind: Kind, side: int, strength: int) -> float:
    """Structural similarity at a strength in thousandths."""
    from dataclasses import replace

    images = images_of(side)
    fixed = replace(kind, strengths={side: (strength,) * 5})
    return similarity(images, corrupted(images, range(len(images)), name, 1, fixed))


def search(name: str, kind: Kind, side: int) -> list[int]:
    """The strength of each severity: one within `CLOSE` of its rung, or the least that is below it."""
    known = {0: 1.0}
    strength = 25
    while strength < 1000 and min(known.values()) > LADDER[-1]:  # the largest blurs would take minutes
        known[strength] = reached(name, kind, side, strength)
        strength *= 2
    found: list[int] = []
    for rung in LADDER:
        low = max(one for one, value in known.items() if value > rung)
        high = min((one for one, value in known.items() if value <= rung and one > low), default=1000)
        if high not in known:
            known[high] = reached(name, kind, side, high)
        while high - low > 1 and abs(known[high] - rung) > CLOSE:
            share = (known[low] - rung) / max(known[low] - known[high], 1e-9)
            middle = min(high - 1, max(low + 1, round(low + (high - low) * min(max(share, 0.1), 0.9))))
            known[middle] = reached(name, kind, side, middle)
            low, high = (low, middle) if known[middle] <= rung + CLOSE else (middle, high)
        if known[high] > rung + 2 * CLOSE:  # out of reach: even steps lead to the strongest there is
            left = len(LADDER) - len(found)
            start = found[-1] if found else 0
            return found + [start + round((1000 - start) * step / left) for step in range(1, left + 1)]
        found.append(high)
    return found


def main() -> None:
    """Write the file, or a table of what it reaches."""
    names = [entry.name for entry in Registry("corruptions").entries()]
    chosen = sys.argv[2:] or names
    if sys.argv[1:2] == ["write"]:
        from harness.inputs.corruptions.strengths import STRENGTHS

        table = {name: dict(STRENGTHS.get(name, {})) for name in names}
        for name in chosen:
            table[name] = {side: tuple(search(name, load_kind(name), side)) for side in SIDES}
            lines = [
                f'"{name}": {{{", ".join(f"{s}: {v}" for s, v in rows.items())}}},' for name, rows in table.items()
            ]
            head = HEAD.format(ladder=", ".join(f"{rung:.2f}" for rung in LADDER))
            TARGET.write_text(head + "".join(f"    {line}\n" for line in lines) + "}\n")
            print(name, table[name], flush=True)
        return
    print("| kind | side | 1 | 2 | 3 | 4 | 5 |\n|---|---|---|---|---|---|---|")
    for name in chosen:
        kind = load_kind(name)
        for side in SIDES:
            told = [reached(name, kind, side, round(1000 * kind.strength(s, side))) for s in range(1, 6)]
            print(f"| {name} | {side} | " + " | ".join(f"{value:.2f}" for value in told) + " |", flush=True)


if __name__ == "__main__":
    main()
