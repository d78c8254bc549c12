"""Target classes of targeted attacks, by a rule that the suite writes.

================ ==========================================================================
``least_likely``  the class of the smallest clean logit
``kth:K``         the K-th most likely wrong class; ``kth:1`` is the runner-up
``class:C``       class C for every sample; samples of class C get the runner-up instead
================ ==========================================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.errors import BadSuite, UsageError

if TYPE_CHECKING:
    from torch import Tensor

_RULE = re.compile(r"^(?:least_likely|kth:([1-9]\d*)|class:(\d+))$")


def check_rule(rule: str) -> tuple[int | None, int | None]:
    """``(k, c)`` of a rule: one of them is set, or neither for ``least_likely``.

    Raises:
        BadSuite: not a rule.
    """
    if (match := _RULE.match(rule)) is None:
        raise BadSuite(f"target {rule!r} is not a rule; write least_likely, kth:2 or class:5")
    k, c = match.groups()
    return (int(k) if k else None), (int(c) if c else None)


def resolve_targets(rule: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Target classes, int64 [n], never the true label.

    Args:
        rule: See the module.
        logits: Clean logits [n,classes].
        labels: True labels, int64 [n].

    Raises:
        BadSuite: not a rule.
        UsageError: the rule asks for a class that the model does not have.
    """
    k, c = check_rule(rule)
    classes = logits.shape[1]
    if (k or 1) > classes - 1 or (c or 0) > classes - 1:
        raise UsageError(f"target {rule!r} asks for more classes than the model's {classes}; use a smaller number")
    wrong = logits.scatter(1, labels[:, None], -float("inf"))
    ranked = wrong.argsort(dim=1, descending=True, stable=True)[:, : classes - 1]  # the true label came last
    if c is not None:
        return ranked[:, 0].where(labels == c, labels.new_full((len(labels),), c))
    return ranked[:, -1 if k is None else k - 1]
