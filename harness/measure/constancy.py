"""Whether the model is the same function at the end of a run as at its start: the clean images, asked again."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.base.memory import is_out_of_memory
from harness.base.randomness import forked
from harness.base.statistics import mcnemar_one_sided
from harness.evidence.findings import REFUSED, found, percent
from harness.inputs.reference import ReferenceModel, margins, usual_range
from harness.types import Finding

ASKED, DIFFERENTIATED = 128, 16
"""Images of the first chunk whose logits, and of these whose input gradients, are compared."""
ASKED_OFTEN = 512
"""The same of a randomized model, of which only the share of right answers can be compared."""
ROUNDING = 1e-3
"""Share of the logit range by which the same batch may differ; on one machine it is far less."""
TURNED, SOME = 1e-2, 0.1
"""Share of its length by which a gradient may differ, and share of the images where it may differ more."""


class Constancy:
    """Remembers answers and gradients of a model, and says later whether they are still the same.

    A state outside of buffers (a count of queries, the time, a file) shows in nothing else: every unit is sound by
    itself, and clean accuracy, which is measured first, is that of another model.

    Args:
        reference: The entered reference.
        images: Clean images float32 [n,C,H,W]; the first `ASKED` are used, or `ASKED_OFTEN`.
        labels: Their labels, int64 [n].
    """

    def __init__(self, reference: ReferenceModel, images: Tensor, labels: Tensor) -> None:
        self.reference = reference
        answers = []
        for seed in (0, 1):
            with forked(seed):
                answers.append(reference.logits(images[:DIFFERENTIATED]))
        one, two = answers
        self.randomized = float((one - two).abs().amax()) > ROUNDING * max(usual_range(one), 1e-12)
        n = ASKED_OFTEN if self.randomized else ASKED
        self.images, self.labels = images[:n], labels[:n]
        self.logits, self.gradient = self._ask()
        self.spread = max(usual_range(self.logits), 1e-12)

    def _ask(self) -> tuple[Tensor, Tensor | None]:
        with forked(0):
            logits = self.reference.logits(self.images)
            gradient = self._gradient(DIFFERENTIATED)
        return logits, gradient

    def _gradient(self, rows: int) -> Tensor | None:
        """Gradients of the margins [n,D], `rows` at once and fewer where memory is short; None if there are none."""
        few = self.images[:DIFFERENTIATED].to(self.reference.device, torch.float32)
        labels = self.labels[:DIFFERENTIATED].to(self.reference.device)
        parts = []
        try:
            for images, of in zip(few.split(rows), labels.split(rows), strict=True):
                start = images.clone().requires_grad_()
                with torch.enable_grad():
                    loss = margins(self.reference.module(start).float(), of).sum()
                    parts.append(torch.autograd.grad(loss, start)[0].flatten(1))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                return None
            if rows == 1:
                raise
            return self._gradient(rows // 2)
        return torch.cat(parts)

    def finding(self) -> Finding | None:
        """What has changed since, as a finding of level ``error``; None if nothing has."""
        logits, gradient = self._ask()
        labels, n = self.labels.to(logits.device), len(logits)
        flips = int((logits.argmax(1) != self.logits.argmax(1)).sum())
        if self.randomized:  # each answer differs; only how often they are right can be compared
            before, after = self.logits.argmax(1) == labels, logits.argmax(1) == labels
            lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
            if min(mcnemar_one_sided(lost, gained), mcnemar_one_sided(gained, lost)) >= REFUSED:
                return None
            return self._error(f"{int(before.sum())} of {n} clean images were right, and {int(after.sum())} are now")
        drift = float((logits - self.logits).abs().max()) / self.spread
        if drift > ROUNDING:
            return self._error(
                f"the clean images get other logits than before (by {percent(drift)} of their range; {flips} of {n}"
                " predictions changed)"
            )
        if (gradient is None) != (self.gradient is None):
            return self._error("input gradients " + ("came back" if self.gradient is None else "have gone"))
        if gradient is not None and self.gradient is not None:
            length = self.gradient.norm(dim=1).clamp_min(1e-12)
            turned = ~((gradient - self.gradient).norm(dim=1) <= TURNED * length)
            turned &= ~(gradient.isnan().any(1) & self.gradient.isnan().any(1))
            if int(turned.sum()) > SOME * len(turned):
                return self._error(f"{int(turned.sum())} of {len(turned)} input gradients are not what they were")
        return None

    @staticmethod
    def _error(what: str) -> Finding:
        why = "so the model keeps a state (a count of its calls, the time, a file) and was another one during the run"
        return found("P5", "error", f"asked again at the end, {what}, {why}; take the state out and start over")
