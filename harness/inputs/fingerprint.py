"""How a model behaves on fixed images, as numbers that are compared within a tolerance before evidence is reused.

Logits and input gradients of some of the run's first images: as they are, with noise, and at a corner of every ball of
the grid. Numbers of another processor differ in the last bits, so they are never hashed into a key.

Gradients are those of a fixed signed sum of the logits, which no confident softmax makes vanish, and are kept as sums
over groups of pixels with random signs: their length is that of the gradient in expectation.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.base.arrays import array_names, read_arrays
from harness.base.files import write_atomically
from harness.base.memory import is_out_of_memory, release
from harness.base.randomness import forked
from harness.base.threat import Epsilon
from harness.errors import HarnessError
from harness.inputs.reference import ReferenceModel
from harness.types import Norm

FILE = "fingerprint.npz"
IMAGES, GROUPS, NOISE, SEED = 8, 16, 1 / 16, 20110701
LOGITS, SLOPES = 1e-3, 0.1
"""Largest difference of a logit, as a share of the range of the logits, and of a gradient, as a share of its length.

Measured on four zoo models and two data sets between the CPU kernels for AVX-512, AVX2 and SSE4.1, in float32: logits
moved by at most 8e-7 of their range, gradients by 4e-7 in the median and by 4e-3 where rounding pushed a unit over its
kink. A backward pass that is zero, or another one, differs by about its whole length. The room above what was measured
is for devices and libraries that were not; a margin under 1e-3 of the range is called marginal for the same reason."""
TOLERATED = 0.25
"""Share of the images of a kind that may differ further: a pixel that the model rounds may fall to the other side."""


@dataclass(frozen=True)
class Fingerprint:
    """Numbers of one model.

    Args:
        images: Checksum of the clean images.
        logits: For each kind of images float32 [n,K].
        slopes: For each kind the gradient's sums, float32 [n,GROUPS]; NaN where there is none.
        repeatable: Whether the clean images, asked again with the same seed, had the same answers.
    """

    images: int
    logits: Mapping[str, np.ndarray]
    slopes: Mapping[str, np.ndarray]
    repeatable: bool = True

    def save(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            BadRun: it cannot be written.
        """
        content: dict[str, Any] = {"images": np.array(self.images), "repeatable": np.array(self.repeatable)}
        content |= {f"logits {kind}": value for kind, value in self.logits.items()}
        content |= {f"slopes {kind}": value for kind, value in self.slopes.items()}

        def write(beside: Path) -> None:
            with beside.open("wb") as out:  # a name would be given the ending .npz
                np.savez(out, **content)

        write_atomically(path, write)


def read(path: Path) -> Fingerprint | None:
    """A stored fingerprint; None where there is none, or none that can be read."""
    try:
        told = read_arrays(path, array_names(path))
        pairs = [(name.split(" ", 1), value) for name, value in told.items() if " " in name]
        logits, slopes = ({k: v for (what, k), v in pairs if what == part} for part in ("logits", "slopes"))
        return Fingerprint(int(told["images"]), logits, slopes, bool(told["repeatable"]))
    except (HarnessError, OSError, ValueError, KeyError, TypeError):
        return None


def take(reference: ReferenceModel, images: Tensor, norm: Norm, grid: Sequence[Epsilon]) -> Fingerprint:
    """The fingerprint of an entered reference.

    Args:
        reference: The model.
        images: Float32 [n,C,H,W] in [0,1]; the first `IMAGES` are used.
        norm: Of the balls.
        grid: Their radii.

    Raises:
        ModelRefused: the model returns no finite logits [n,K].
    """
    clean = images[:IMAGES].float().cpu()
    draws = np.random.RandomState(SEED)  # its streams never change
    noise = torch.from_numpy(draws.uniform(-NOISE, NOISE, clean.shape).astype(np.float32))
    signs = torch.from_numpy(draws.randint(0, 2, clean.shape).astype(np.float32) * 2 - 1)
    kinds = {"clean": clean, "noise": clean + noise}
    kinds |= {epsilon.value.hex(): clean + _step(signs, norm, epsilon.value) for epsilon in grid}
    logits, slopes = {}, {}
    for kind, batch in kinds.items():
        logits[kind], slopes[kind] = _answers(reference, batch.clamp(0, 1))
    checksum = zlib.crc32(clean.contiguous().numpy().tobytes())
    more, steeper = _answers(reference, clean)
    again = Fingerprint(checksum, {"clean": more}, {"clean": steeper})
    once = Fingerprint(checksum, logits, slopes)
    return replace(once, repeatable=not difference(once, again))


def difference(one: Fingerprint, two: Fingerprint) -> str:
    """What tells two fingerprints apart, in words; nothing if the kinds of images that both know are answered alike."""
    if not (one.repeatable and two.repeatable):
        return "does not answer alike twice with the same seed"
    shared = [kind for kind in one.logits if kind in two.logits]
    if one.images != two.images or not shared or one.logits[shared[0]].shape != two.logits[shared[0]].shape:
        return "was asked other images"
    usual = max(float(np.median(np.ptp(side.logits[shared[0]], 1))) for side in (one, two))
    steepest = max(_longest(side.slopes[kind]) for side in (one, two) for kind in shared)
    for kind in shared:
        where = {"clean": "clean images", "noise": "noised images"}.get(kind, "corners of a ball")
        a, b = one.logits[kind], two.logits[kind]
        far = np.abs(a - b).max(1) > LOGITS * np.maximum(usual, np.maximum(np.ptp(a, 1), np.ptp(b, 1)))
        if far.mean() > TOLERATED:
            return f"answers {far.sum()} of {len(far)} {where} differently"
        a, b = one.slopes[kind].astype(float), two.slopes[kind].astype(float)
        here = np.fmax(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
        apart = np.linalg.norm(a - b, axis=1) > SLOPES * np.maximum(here, 1e-6 * steepest)
        apart |= np.isnan(a).any(1) != np.isnan(b).any(1)
        if apart.mean() > TOLERATED:
            return f"has other gradients on {apart.sum()} of {len(apart)} {where}"
    return ""


def _longest(slopes: np.ndarray) -> float:
    lengths = np.linalg.norm(slopes.astype(float), axis=1)
    return float(np.nanmax(lengths)) if not np.isnan(lengths).all() else 0.0


def _signs(count: int) -> np.ndarray:
    draws: np.ndarray = np.random.RandomState(SEED).randint(0, 2, size=(count,))
    return draws.astype(np.float32) * 2 - 1


def _step(signs: Tensor, norm: Norm, epsilon: float) -> Tensor:
    """A step of length epsilon; in l1 and l0 along as few pixels of each image as take it."""
    size = signs[0].numel()
    if norm in ("linf", "l2"):
        return signs * (epsilon if norm == "linf" else epsilon / size**0.5)
    few = min(size, int(np.ceil(epsilon)))
    chosen = torch.arange(size) % max(1, size // few) == 0
    chosen &= chosen.cumsum(0) <= few
    return signs * (epsilon / few) * chosen.reshape(signs.shape[1:])


def _answers(reference: ReferenceModel, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Logits and gradient sums of a batch; random models draw alike in each call."""
    with forked(SEED):
        logits = reference.logits(images).cpu().numpy()
    with forked(SEED):
        gradient = _gradient(reference, images)
    if gradient is None:
        return logits, np.full((len(images), GROUPS), np.nan, np.float32)
    flat = gradient.float().cpu().flatten(1).numpy()
    sums = np.stack([(flat * _signs(flat.shape[1]))[:, group::GROUPS].sum(1) for group in range(GROUPS)], 1)
    return logits, sums.astype(np.float32)


def _gradient(reference: ReferenceModel, images: Tensor) -> Tensor | None:
    """Of a signed sum of the logits, [n,C,H,W]; zeros where no image matters to it, None where it fails."""
    inputs = images.to(reference.device).clone().requires_grad_()
    try:
        with torch.enable_grad():
            logits = reference.module(inputs)
            classes = logits.shape[1]
            weights = torch.from_numpy(_signs(classes)).to(logits) * torch.arange(1, classes + 1).to(logits) / classes
            if not logits.requires_grad:
                return torch.zeros_like(images)
            (found,) = torch.autograd.grad((logits * weights).sum(), inputs, allow_unused=True)
            return torch.zeros_like(images) if found is None else found.detach()
    except Exception as error:  # a stranger's backward pass
        if not is_out_of_memory(error):
            return None
        if len(images) == 1:
            raise
    release()
    halves = [_gradient(reference, half) for half in images.split(-(-len(images) // 2))]
    return None if any(half is None for half in halves) else torch.cat([half for half in halves if half is not None])
