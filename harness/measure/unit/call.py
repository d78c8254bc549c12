"""What surrounds one call of a tool: its seed, forked generators, a time limit, and what becomes of its errors."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from harness.attack import ToolRemark, ToolWarning
from harness.base.memory import is_out_of_memory
from harness.base.randomness import derive, forked
from harness.base.threat import Epsilon
from harness.base.torch_state import Precision, arithmetic, kept_settings
from harness.errors import AttackFailed, HarnessError, MissingPackage
from harness.evidence import facts
from harness.inputs.registry import stranger
from harness.measure.unit.isolation import Guard, UnitTimeout, time_limit
from harness.measure.unit.observer import ObservedModel
from harness.measure.unit.outcome import ComponentOutcome
from harness.types import Attack, AttackSpec, Finding, Level, Problem

NO_GRADIENT = AttackFailed(
    "the model has no gradient with respect to its images (torch.no_grad, detach or quantized layers in its forward),"
    " and this attack needs one; use attacks on scores or decisions, for instance suite blackbox"
)


@dataclass(kw_only=True)
class Calls:
    """The calls of a tool for one unit, with what the tool printed and what is to be said of it.

    Attributes:
        attack: The resolved attack.
        spec: The attack as the suite has it.
        epsilon: The unit's epsilon, or the largest of the grid that it covers.
        chunk: Index of the unit's chunk.
        seed: The run's.
        limit: Seconds for all calls together, counted from now; None for no limit.
        guard: Puts the model back where an attack changed it.
        spent: Seconds of the limit that earlier starts have used.
    """

    attack: Attack
    spec: AttackSpec
    epsilon: Epsilon
    chunk: int
    seed: int
    limit: float | None
    guard: Guard | None
    spent: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    printed: io.StringIO = field(default_factory=io.StringIO)
    ends: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.ends = None if self.limit is None else time.monotonic() + self.limit - self.spent

    def seed_of(self, component: str | None, rows: np.ndarray, restart: int) -> int:
        """The seed of a call for some rows of the chunk."""
        # The same attack of two tools, ``x`` and ``tool/x``, draws alike.
        name = self.spec.id.rpartition("/")[2]
        place = (int(rows[0]),) if self.attack.one_by_one else ()  # samples attacked one at a time need a seed each
        return derive(self.seed, name, component, self.epsilon.value, self.chunk, restart, *place)

    def perturb(self, observer: ObservedModel, precision: Precision, problem: Problem) -> Tensor | None:
        """Call the tool once, again with smaller batches where memory ran out; what it raises otherwise is raised.

        All generators are forked, torch's settings come back, and what the tool prints and warns of is kept.
        """
        while True:
            raised: list[warnings.WarningMessage] = []
            try:
                with (
                    forked(problem.seed),
                    arithmetic(precision),
                    torch.inference_mode(False),
                    torch.enable_grad(),
                    kept_settings(),
                    contextlib.redirect_stdout(self.printed),
                    contextlib.redirect_stderr(self.printed),
                    warnings.catch_warnings(record=True) as raised,
                ):
                    warnings.simplefilter("ignore")
                    warnings.simplefilter("always", ToolWarning)
                    with time_limit(None if self.ends is None else self.ends - time.monotonic()):
                        return self.attack.perturb(observer, problem)
            except Exception as error:  # in the tool's own arithmetic, or in the backward pass
                if not is_out_of_memory(error) or not observer.shrink(len(problem.images)):
                    raise
            finally:
                for warning in raised:
                    remark = issubclass(warning.category, ToolRemark)
                    self._finding("tool", "info" if remark else "warn", str(warning.message))

    def failed(
        self, done: ComponentOutcome, rows: np.ndarray, error: BaseException, *, without_gradient: bool = False
    ) -> None:
        """Note in `done` that an error left nothing known of `rows` that are not broken, and say why.

        Args:
            done: The pass.
            rows: Chunk rows that were attacked.
            error: What the tool raised.
            without_gradient: Whether the model gave the tool logits that cannot be differentiated.
        """
        reason = "exception"
        if without_gradient and _of_autograd(error):
            error, reason = NO_GRADIENT, facts.NO_GRADIENT
        if isinstance(error, UnitTimeout):
            done.lose(rows, "error", "timeout")
            limit = f"{self.limit:g} s of --unit-timeout"
            self._finding("timeout", "error", f"at epsilon {self.epsilon}: given up after the {limit}")
            return
        if isinstance(error, MissingPackage):
            done.lose(rows, "not_run", "not_installed")
            self._finding("not_installed", "error", str(error))
            return
        done.lose(rows, "error", reason)
        what = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        self._finding("exception", "error", f"failed at epsilon {self.epsilon}: {' '.join(what.split())[:300]}")
        self.printed.write("\n" + "".join(traceback.format_exception(error)))

    def restore(self, passes: Sequence[ComponentOutcome]) -> None:
        """Put the model back; where the attack changed it, nothing that was found on it counts."""
        changed = self.guard.restore() if self.guard is not None else None
        if changed is None:
            return
        for done in passes:
            done.void("error", "exception")
        self._finding("exception", "error", f"changed {changed} while attacking; it was put back, the unit is void")

    def _finding(self, check: str, level: Level, message: str) -> None:
        package = stranger("attacks", f"{self.spec.tool}.{self.spec.method}")
        of = f" (package {package})" if package else ""
        finding = Finding(check, level, f"{self.spec.id}{of}: {message}")
        if finding not in self.findings:
            self.findings.append(finding)


def _of_autograd(error: BaseException) -> bool:
    """Whether a tool failed for want of a gradient: torch refuses to differentiate, or the tool got None."""
    return isinstance(error, (RuntimeError, AttributeError, TypeError))
