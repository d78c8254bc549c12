"""One unit of work: one attack on one chunk at one epsilon (or, for minimum-norm attacks, at the whole grid)."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from harness.attack import ToolRemark, ToolWarning
from harness.base.memory import is_out_of_memory
from harness.base.modes import MODES, fixed_ball
from harness.base.randomness import derive, forked
from harness.base.targets import resolve_targets
from harness.base.threat import Epsilon
from harness.base.torch_state import Precision, arithmetic, kept_settings
from harness.errors import AttackFailed, HarnessError, MissingPackage, PluginError
from harness.evidence import facts, witnesses
from harness.evidence.facts import broken_rows
from harness.inputs.reference import ReferenceModel
from harness.inputs.registry import stranger
from harness.measure.fast_copy.copies import FastCopy
from harness.measure.unit.board import WitnessBoard
from harness.measure.unit.isolation import Guard, UnitTimeout, breaches, time_limit
from harness.measure.unit.observer import AllBroken, ObservedModel, Watch, offer_returned
from harness.measure.unit.outcome import Chunk, ComponentOutcome, fact_table, merge, union, witness_table
from harness.measure.unit.shared import Offered
from harness.types import Attack, AttackSpec, Finding, Level, Mode, Norm, Problem

EXACT: Precision = "float32"
GRID = "grid"
"""Epsilon name of a unit that covers the whole grid."""


NO_GRADIENT = AttackFailed(
    "the model has no gradient with respect to its images (torch.no_grad, detach or quantized layers in its forward),"
    " and this attack needs one; use attacks on scores or decisions, for instance suite blackbox"
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all units of a run share."""

    reference: ReferenceModel
    norm: Norm
    mode: Mode
    seed: int
    batch_size: int
    keep_rows: bool = False
    """Keep frozen rows in the network's batch, see `harness.measure.unit.observer.ObservedModel`."""
    deadline: float | None = None
    """When the run's budget ends, by `time.time`."""
    copy: FastCopy | None = None
    """What tools differentiate instead of the reference, see `harness.measure.fast_copy.copies`; it only proposes."""
    unit_timeout: float | None = None
    """Seconds after which a unit is given up; None never."""
    guard: Guard | None = None
    """Puts the model back where an attack changed it."""


@dataclass(kw_only=True)
class UnitResult:
    """What one unit found."""

    facts: pa.Table
    witnesses: pa.Table
    findings: list[Finding] = field(default_factory=list)
    log: str = ""
    unconfirmed: int = 0
    """Proposals of the tool's queries that the reference did not confirm."""
    again: int = 0
    """Samples that were therefore attacked again, through the reference itself."""
    useful: int = 0
    """Backwards that could change a result, see `harness.measure.unit.observer.ObservedModel.useful`."""
    reused: bool = False
    """Whether an earlier run had computed the unit."""
    out_of_memory: int = 0


@dataclass(kw_only=True)
class Job:
    """One unit before it runs.

    Attributes:
        setting: Model, norm, mode, seed and batch of the run.
        attack: The resolved attack.
        spec: The attack as the suite has it.
        grid: The one epsilon of this unit; for kinds ``minimum`` and ``decision`` the whole grid.
        chunk: The samples.
        before: Facts of the same attack and chunk whose witnesses are inherited: those at the next smaller epsilon, or
            in mode ``bisection`` of all smaller ones; None at the smallest, for single steps and in faithful mode.
        stored: Chunk rows, bool [n], whose witness under this attack is on disk from a smaller epsilon.
        offered: Witnesses of other attacks, whose rows are not attacked; None if they are not shared.
        implied: Chunk rows, bool [n], that survived a larger epsilon and are not attacked; in mode ``bisection``.
        deadline: When `time.time` reaches it, the unit is given up at the tool's next query.
    """

    setting: Setting
    attack: Attack
    spec: AttackSpec
    grid: Sequence[Epsilon]
    chunk: Chunk
    before: pa.Table | None = None
    stored: np.ndarray | None = None
    deadline: float | None = None
    offered: Offered | None = None
    implied: np.ndarray | None = None


def run_unit(job: Job) -> UnitResult:
    """Attack one chunk and say what is known afterwards; a tool's failure is in the facts, not raised.

    Of a randomized model the judge draws, too; these draws hang on the unit alone, not on what was asked before it.

    Raises:
        OutOfBudget: the job's deadline passed.
    """
    with forked(derive(job.setting.seed, "unit", job.spec.id, job.grid[-1].value, job.chunk.index)):
        return _Running(job).run()


class _Running:
    def __init__(self, job: Job) -> None:
        self.job, self.setting, self.attack, self.chunk = job, job.setting, job.attack, job.chunk
        self.result = UnitResult(facts=facts.empty(), witnesses=witnesses.empty())
        self.printed = io.StringIO()
        self.batch_size = job.setting.batch_size
        limit = job.setting.unit_timeout
        self.ends = None if limit is None else time.monotonic() + limit

    def run(self) -> UnitResult:
        job, chunk = self.job, self.chunk
        shrunk = self.setting.reference.out_of_memory
        n = len(chunk.sample_ids)
        stored = np.zeros(n, dtype=bool) if job.stored is None else job.stored
        alive = chunk.correct
        if job.before is not None:
            alive &= ~broken_rows(job.before, n)
        if job.offered is not None:
            alive &= ~job.offered.within(job.grid[-1].value)
        if job.implied is not None:
            alive &= ~job.implied
        components = self.attack.components
        passes: list[ComponentOutcome] = []
        for component in components:
            mine = alive.copy()
            if not self.attack.individual:
                for earlier in passes:
                    mine &= earlier.outcome != "witness"
            passes.append(self._component(component, mine))
        self._guard(passes)

        def table(done: ComponentOutcome, component: str | None) -> pa.Table:
            norm = self.setting.norm
            shared = job.before, job.offered, job.implied
            return fact_table(done, chunk, job.spec.id, component, job.grid, norm, *shared)

        parts = list(zip(passes, components, strict=True))
        of_components = [table(*part) for part in parts] if components != (None,) else []
        self.result.facts = facts.concat([table(union(passes), None), *of_components])
        found = [witness_table(p, chunk, job.spec.id, c, job.grid, self.setting.norm, stored) for p, c in parts]
        self.result.witnesses = pa.concat_tables(found)
        self.result.log = self.printed.getvalue()
        self.result.out_of_memory += self.setting.reference.out_of_memory - shrunk
        return self.result

    def _component(self, component: str | None, alive: np.ndarray) -> ComponentOutcome:
        """Run one component on the rows in `alive`, bool [n]."""
        done = ComponentOutcome.over(self.chunk, alive)
        if self.job.grid[-1].value == 0 or not alive.any():
            return done  # nothing but the image itself is inside a ball of radius 0
        targets = self._targets()
        if targets is not None:
            done.targets = targets.cpu().numpy()
        rows = np.flatnonzero(alive)
        groups = [rows[i : i + 1] for i in range(len(rows))] if self.attack.one_by_one else [rows]
        for group in groups:
            self._attack(component, group, targets, done)
        return done

    def _attack(
        self, component: str | None, rows: np.ndarray, targets: Tensor | None, done: ComponentOutcome, fast: bool = True
    ) -> None:
        """Attack some rows of the chunk, all restarts, and note the outcome in `done`.

        Where a copy proposed what the reference did not confirm, and nothing else was found, the copy has misled the
        attack: those rows are attacked again, with the same draws, through the reference itself (not `fast`).
        """
        setting, attack, epsilon = self.setting, self.attack, self.job.grid[-1]
        pick = torch.from_numpy(rows).to(self.chunk.images.device)
        images, labels = self.chunk.images[pick], self.chunk.labels[pick]
        mine = None if targets is None else targets[pick]
        boards = [
            WitnessBoard(
                setting.reference,
                images,
                labels,
                setting.norm,
                epsilon.value,
                attack.kind,
                mine,
                self.chunk.usual_range,
            )
            for _ in ("queries", "returned")
        ]
        board, returned = boards
        watch = self._watch(component)
        network, precision = self._network(watch) if fast else (setting.reference.module, EXACT)
        observer = ObservedModel(network, board, watch, self.batch_size, setting.keep_rows, self.job.deadline)
        # Samples attacked one at a time need a seed each.
        place = (int(rows[0]),) if attack.one_by_one else ()
        # The same attack of two tools, ``x`` and ``tool/x``, draws alike.
        name = self.job.spec.id.rpartition("/")[2]
        error: BaseException | None = None
        what: list[str] = []
        faulty = torch.zeros(len(rows), dtype=torch.bool, device=images.device)
        for restart in range(attack.restarts):
            observer.restart = restart
            seed = derive(setting.seed, name, component, epsilon.value, self.chunk.index, restart, *place)
            try:
                back = self._call(
                    observer,
                    precision,
                    Problem(
                        images.clone(memory_format=torch.contiguous_format),
                        labels.clone(),
                        setting.norm,
                        epsilon.value,
                        seed,
                        setting.reference.num_classes,
                        self.batch_size,
                        component,
                        restart,
                        None if mine is None else mine.clone(),
                    ),
                )
                # Observed mode asks only whether there is a witness; the others keep what was returned apart.
                if found := breaches(back, images, setting.norm, epsilon.value, attack.kind):
                    faulty |= found[0]
                    what = found[1]
                offer_returned(board if watch == "freeze" else returned, back, restart)
            except AllBroken:
                break
            except (Exception, SystemExit, UnitTimeout) as caught:  # any failure of a tool stays in its cell
                error = caught
                break
            if watch == "freeze" and bool(board.safe.all()):
                break
        best = board if watch == "freeze" else merge(board, returned)
        done.note(rows, best, observer)
        faulty &= ~best.found
        if bool(faulty.any()):
            self._failed(done, rows[faulty.cpu().numpy()], PluginError("; ".join(what)))
        if error is not None:
            self._failed(done, rows, NO_GRADIENT if observer.without_gradient and _of_autograd(error) else error)
        self.result.unconfirmed += best.unconfirmed
        self.result.useful += int(observer.useful)
        self.result.out_of_memory += observer.out_of_memory
        self.batch_size = min(self.batch_size, observer.batch_size)
        observer.release()
        again = rows[(board.doubted & ~best.found).cpu().numpy()]
        if len(again) and network is not setting.reference.module and error is None:
            self.result.again += len(again)
            self._attack(component, again, targets, done, fast=False)

    def _network(self, watch: Watch) -> tuple[nn.Module, Precision]:
        """What a tool differentiates, and in which arithmetic.

        A copy in low precision proposes for attacks whose broken rows are frozen. One that looks for the boundary
        itself, and is not stopped at its first success, would follow the copy's boundary instead.
        """
        copy = self.setting.copy
        if copy is None or (copy.recipe.precision != EXACT and watch != "freeze"):
            return self.setting.reference.module, EXACT
        return copy, copy.recipe.precision

    def _call(self, observer: ObservedModel, precision: Precision, problem: Problem) -> Tensor | None:
        """One call of the tool: all generators forked, what it prints and warns of kept."""
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

    def _watch(self, component: str | None) -> Watch:
        mode = MODES[self.setting.mode]
        if mode.judges == "returned":
            return "count"
        if mode.freezes and fixed_ball(self.attack) and self.attack.freezes(component):
            return "freeze"
        return "judge"

    def _targets(self) -> Tensor | None:
        rule = self.attack.target
        if rule is None:
            return None
        return resolve_targets(rule, self.setting.reference.logits(self.chunk.images), self.chunk.labels)

    def _guard(self, passes: Sequence[ComponentOutcome]) -> None:
        """Where the attack changed the model, nothing that was found on it counts."""
        changed = self.setting.guard.restore() if self.setting.guard is not None else None
        if changed is None:
            return
        for done in passes:
            done.void("error", "exception")
        self._finding("exception", "error", f"changed {changed} while attacking; it was put back, the unit is void")

    def _failed(self, done: ComponentOutcome, rows: np.ndarray, error: BaseException) -> None:
        if isinstance(error, UnitTimeout):
            done.lose(rows, "error", "timeout")
            limit = f"{self.setting.unit_timeout:g} s of --unit-timeout"
            self._finding("timeout", "error", f"at epsilon {self.job.grid[-1]}: given up after the {limit}")
            return
        if isinstance(error, MissingPackage):
            done.lose(rows, "not_run", "not_installed")
            self._finding("not_installed", "error", str(error))
            return
        done.lose(rows, "error", "exception")
        what = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        self._finding("exception", "error", f"failed at epsilon {self.job.grid[-1]}: {' '.join(what.split())[:300]}")
        self.printed.write("\n" + "".join(traceback.format_exception(error)))

    def _finding(self, check: str, level: Level, message: str) -> None:
        package = stranger("attacks", f"{self.job.spec.tool}.{self.job.spec.method}")
        of = f" (package {package})" if package else ""
        finding = Finding(check, level, f"{self.job.spec.id}{of}: {message}")
        if finding not in self.result.findings:
            self.result.findings.append(finding)


def _of_autograd(error: BaseException) -> bool:
    """Whether a tool failed for want of a gradient: torch refuses to differentiate, or the tool got None."""
    return isinstance(error, (RuntimeError, AttributeError, TypeError))
