"""Is the model a deterministic, differentiable function of one image that returns logits: pure checks of a `Probe`."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.base.statistics import binomial_at_most
from harness.evidence.findings import found, percent, share
from harness.inputs.draws import Draws
from harness.trust.doctor.probe import Probe
from harness.types import Finding

SAME_CALL = 1e-5
"""Share of the logit range by which the same batch, asked twice, may differ: nothing but order of summation is left."""
SAME_IMAGE = 1e-3
"""Share of the logit range by which an image alone may differ from itself in a batch: other kernels round otherwise."""
UNDERFLOW = 80.0
"""Lead of the true logit beyond which cross-entropy gradients, averaged over a batch, leave float32 (exp(-87))."""
FEW = 0.05
DIRECTION, CHANCE = 0.9, 1e-3


def modes(probe: Probe) -> list[Finding]:
    """P4: no layer may behave as in training while the model is measured, no buffer may change."""
    refusals = []
    if names := list(probe.in_training):
        message = f"layer {names[0]} works in train mode while the model predicts{_more(names)}; keep it in eval mode"
        refusals.append(found("P4", "refuse", message, float(len(names)), 0.0))
    if names := list(probe.changed):
        message = f"predicting changes buffer {names[0]}{_more(names)}, so no two predictions come from one model"
        refusals.append(found("P4", "refuse", message, float(len(names)), 0.0))
    return refusals


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def randomized(probe: Probe) -> bool:
    """Whether the same batch, asked twice, gets different logits."""
    return float((probe.again - probe.logits[: len(probe.again)]).abs().max()) > SAME_CALL * probe.spread


def determinism(probe: Probe, draws: Draws | None = None) -> list[Finding]:
    """P5: the same images twice, and alone instead of in a batch, get the same logits.

    Args:
        probe: What the model said.
        draws: How it is asked in the run; None for one forward.
    """
    first = probe.logits[: len(probe.again)]
    if not randomized(probe) and probe.after is not None:
        drift = float((probe.after - first).abs().max()) / max(probe.spread, 1e-12)
        if drift > SAME_IMAGE:
            turned = int((probe.after.argmax(1) != first.argmax(1)).sum())
            message = (
                f"the same batch gets other logits after {probe.asked} images than at first (by {percent(drift)} of"
                f" their range; {turned} of {len(first)} predictions change): the model keeps a state outside its"
                " buffers, such as a count of its calls or the time; take it out"
            )
            return [found("P5", "refuse", message, drift, SAME_IMAGE)]
    if randomized(probe):
        flips = float((probe.again.argmax(1) != first.argmax(1)).float().mean())
        seen = f"the same batch gets other logits the second time ({percent(flips)} of the predictions change)"
        if draws is not None:
            message = f"{seen}: the model is randomized, and its answer is a vote of {draws.count:,} draws"
            return [found("P5", "info", message, flips, 0.0)]
        message = (
            f"{seen}: the model is randomized or keeps a state. A sample counts as broken once any of an attack's many"
            " draws fails, so robust accuracies here are too low for a single draw, fall with every further step,"
            " restart and attack, and are no bound of anything; --draws 100 measures the majority of so many draws"
        )
        return [found("P5", "warn", message, flips, 0.0)]
    batch = probe.logits[: len(probe.alone)]
    apart = float((probe.alone - batch).abs().max()) / max(probe.spread, 1e-12)
    if apart <= SAME_IMAGE:
        return [] if draws is None else [_alike(draws)]
    flips = int((probe.alone.argmax(1) != batch.argmax(1)).sum())
    message = (
        f"an image alone gets other logits than in a batch (by {percent(apart)} of their range; {flips} of"
        f" {len(batch)} predictions change), so there is no prediction of one image to attack; look for statistics"
        " or quantization over the batch"
    )
    return [found("P5", "refuse", message, apart, SAME_IMAGE)]


def _alike(draws: Draws) -> Finding:
    message = f"the model answers alike each time, so a vote of {draws.count:,} draws is one answer at their price"
    return found("P5", "info", f"{message}; leave out --draws (--draws 0, if its card has them)", 0.0, 0.0)


def tiny_ball(probe: Probe) -> list[Finding]:
    """P2: a step of 1e-6 may flip a few images at the boundary, not more; not asked of randomized models."""
    if probe.tiny is None or randomized(probe):
        return []
    flips, n = int((probe.tiny != probe.logits[: len(probe.tiny)].argmax(1)).sum()), len(probe.tiny)
    if flips <= max(2.0, 0.005 * n):
        return []
    message = (
        f"a perturbation of 1e-6 changes {flips} of {n} predictions; the model reacts to rounding, so no epsilon means"
        " what it says"
    )
    return [found("P2", "refuse" if flips > FEW * n else "warn", message, flips / n, FEW)]


def logits(probe: Probe) -> list[Finding]:
    """P6: logits, neither probabilities nor values that make a tool's loss degenerate."""
    out = probe.logits
    inside = bool(((out >= 0) & (out <= 1)).all())
    if inside and bool(((out.sum(1) - 1).abs() < 1e-3).all()):
        message = "the outputs are probabilities, not logits; losses flatten on them: remove the final softmax"
        return [found("P6", "refuse", message)]
    findings = []
    if inside and len(out) > 1:
        message = "all outputs lie in [0,1], as those of a sigmoid do; losses flatten there: return its inputs instead"
        findings.append(found("P6", "warn", message))
    if bool((out < 0).all()):
        message = "all logits are negative; attacks that mask a class with 0 (CW) then choose it: shift them upward"
        findings.append(found("P6", "warn", message, float(out.max()), 0.0))
    true = out.gather(1, probe.labels[:, None])
    lead = (true - out.scatter(1, probe.labels[:, None], -torch.inf).amax(1, keepdim=True)).squeeze(1)
    far = float((lead > UNDERFLOW).float().mean())
    if far > FEW:
        message = (
            f"{percent(far)} of the images lead by more than {UNDERFLOW:g} logits, where cross-entropy has no gradient"
            " in float32; scale the logits down, or rely on attacks with a scale-free loss (DLR)"
        )
        findings.append(found("P6", "warn", message, far, FEW))
    return findings


def gradients(probe: Probe) -> list[Finding]:
    """P7: gradients exist, are finite and not zero, and a step along them gains more than one at random."""
    if probe.gradient is None or probe.slope is None:
        reason = probe.no_gradient or "none came back"
        message = f"there is no gradient with respect to the images ({reason}); only score-based attacks say anything"
        return [found("P7", "warn", message, 1.0, FEW)]
    n = len(probe.gradient)
    few = max(1.0, FEW * n)
    broken = int((~torch.isfinite(probe.slope) | ~torch.isfinite(probe.gradient)).sum())
    if broken:
        message = f"{broken} of {n} gradients are NaN or infinite; gradient attacks return nonsense there"
        return [found("P7", "warn", message, broken / n, 0.0)]
    flat, silent = _zero(probe.slope), _zero(probe.gradient)
    if flat > few:
        message = f"{flat} of {n} gradients are exactly zero: the model hides them; trust score-based attacks only"
        return [found("P7", "warn", message, flat / n, FEW)]
    if silent > few:
        message = (
            f"the cross-entropy gradient is exactly zero for {silent} of {n} images, though the margin's is not; use"
            " attacks on the margin or on DLR"
        )
        return [found("P7", "warn", message, silent / n, FEW)]
    return _uphill(probe)


def _uphill(probe: Probe) -> list[Finding]:
    if probe.uphill is None or probe.sideways is None or randomized(probe):
        return []
    # Coarse logits (bfloat16) often give both steps the same margin, which speaks for neither.
    better, n = int((probe.uphill > probe.sideways).sum()), int((probe.uphill != probe.sideways).sum())
    if binomial_at_most(better, n, DIRECTION) >= CHANCE:
        return []
    message = (
        f"a step of 1/255 along the gradient gains more than a random one for {better} of {n} images only; gradients"
        " that do not point uphill are masked: trust score-based attacks"
    )
    return [found("P7", "warn", message, share(better, n), DIRECTION)]


def _zero(values: Tensor) -> int:
    return int((values == 0).sum())


def unstable(probe: Probe) -> list[Finding]:
    """P21: random noise of 1/255 hardly ever changes a prediction (after Pintor et al. 2022)."""
    if probe.noisy is None or randomized(probe):
        return []
    flips, n = int((probe.noisy != probe.logits[: len(probe.noisy)].argmax(1)).sum()), len(probe.noisy)
    if flips <= max(2.0, 0.1 * n):
        return []
    message = (
        f"random noise of 1/255 changes {flips} of {n} predictions; a surface this rough leads gradient attacks astray:"
        " add score-based attacks and restarts"
    )
    return [found("P21", "warn", message, flips / n, 0.1)]


def answer_findings(probe: Probe, draws: Draws | None = None) -> list[Finding]:
    """All checks of this file, the graver ones first; `draws` as for `determinism`."""
    checks = (logits, tiny_ball, gradients, unstable)
    return [*modes(probe), *determinism(probe, draws), *(finding for check in checks for finding in check(probe))]
