"""One unit of work: one attack on one chunk at one epsilon (or, for minimum-norm attacks, at the whole grid).

What is attacked, judged and counted is here; what surrounds a call of a tool is in `harness.measure.unit.call`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from harness.base.modes import MODES, fixed_ball
from harness.base.randomness import derive, forked
from harness.base.targets import resolve_targets
from harness.base.threat import Epsilon
from harness.base.torch_state import Precision
from harness.errors import PluginError
from harness.evidence import facts, witnesses
from harness.evidence.facts import broken_rows
from harness.inputs.reference import ReferenceModel
from harness.measure.adapted.prepare import AdaptedCopy
from harness.measure.fast_copy.copies import FastCopy
from harness.measure.unit.board import WitnessBoard
from harness.measure.unit.call import Calls
from harness.measure.unit.isolation import Guard, UnitTimeout, breaches
from harness.measure.unit.observer import AllBroken, ObservedModel, Watch, offer_returned
from harness.measure.unit.outcome import Chunk, ComponentOutcome, fact_table, merge, union, witness_table
from harness.measure.unit.shared import Offered
from harness.types import Attack, AttackSpec, Finding, Mode, Norm, Problem

EXACT: Precision = "float32"
GRID = "grid"
"""Epsilon name of a unit that covers the whole grid."""


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
    adapted: Mapping[str, AdaptedCopy] = field(default_factory=dict)
    """By attack id what an adapted attack differentiates, see `harness.measure.adapted`; it only proposes."""
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
        self.batch_size = job.setting.batch_size
        self.calls = Calls(
            attack=job.attack, spec=job.spec, epsilon=job.grid[-1], chunk=job.chunk.index,
            seed=job.setting.seed, limit=job.setting.unit_timeout, guard=job.setting.guard,
        )  # fmt: skip

    def run(self) -> UnitResult:
        shrunk = self.setting.reference.out_of_memory
        alive = self._alive()
        passes: list[ComponentOutcome] = []
        for component in self.attack.components:
            mine = alive.copy()
            if not self.attack.individual:
                for earlier in passes:
                    mine &= earlier.outcome != "witness"
            passes.append(self._component(component, mine))
        self.calls.restore(passes)
        self._tell(passes)
        self.result.log, self.result.findings = self.calls.printed.getvalue(), self.calls.findings
        self.result.out_of_memory += self.setting.reference.out_of_memory - shrunk
        return self.result

    def _alive(self) -> np.ndarray:
        """Rows to attack, bool [n]: right so far, and neither broken nor known to survive by other units."""
        job, alive = self.job, self.chunk.correct
        if job.before is not None:
            alive &= ~broken_rows(job.before, len(alive))
        if job.offered is not None:
            alive &= ~job.offered.within(job.grid[-1].value)
        if job.implied is not None:
            alive &= ~job.implied
        return alive

    def _tell(self, passes: Sequence[ComponentOutcome]) -> None:
        """Facts of the whole attack, then of its components; witnesses of each."""
        job, chunk, norm, components = self.job, self.chunk, self.setting.norm, self.attack.components

        def table(done: ComponentOutcome, component: str | None) -> pa.Table:
            shared = job.before, job.offered, job.implied
            return fact_table(done, chunk, job.spec.id, component, job.grid, norm, *shared)

        parts = list(zip(passes, components, strict=True))
        of_components = [table(*part) for part in parts] if components != (None,) else []
        self.result.facts = facts.concat([table(union(passes), None), *of_components])
        stored = np.zeros(len(chunk.sample_ids), dtype=bool) if job.stored is None else job.stored
        found = [witness_table(done, chunk, job.spec.id, c, job.grid, norm, stored) for done, c in parts]
        self.result.witnesses = pa.concat_tables(found)

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

        Where a fast copy proposed what the reference did not confirm, and nothing else was found, the copy has misled
        the attack: those rows are attacked again, with the same draws, through the reference itself (not `fast`). An
        adapted copy may mislead: that it is another function is its point.
        """
        setting, attack, epsilon = self.setting, self.attack, self.job.grid[-1].value
        pick = torch.from_numpy(rows).to(self.chunk.images.device)
        images, labels = self.chunk.images[pick], self.chunk.labels[pick]
        mine = None if targets is None else targets[pick]

        def make_board() -> WitnessBoard:
            usual = self.chunk.usual_range
            return WitnessBoard(setting.reference, images, labels, setting.norm, epsilon, attack.kind, mine, usual)

        def problem(restart: int) -> Problem:
            return Problem(
                images.clone(memory_format=torch.contiguous_format),
                labels.clone(),
                setting.norm,
                epsilon,
                self.calls.seed_of(component, rows, restart),
                setting.reference.num_classes,
                self.batch_size,
                component,
                restart,
                None if mine is None else mine.clone(),
            )

        board, returned = make_board(), make_board()
        watch = self._watch(component)
        network, precision = self._network(watch) if fast else (setting.reference.module, EXACT)
        observer = ObservedModel(network, board, watch, self.batch_size, setting.keep_rows, self.job.deadline)
        observer.asks_reference = self._adapted is not None and self._adapted.alters
        error: BaseException | None = None
        what: list[str] = []
        faulty = torch.zeros(len(rows), dtype=torch.bool, device=images.device)
        for restart in range(attack.restarts):
            observer.restart = restart
            try:
                back = self.calls.perturb(observer, precision, problem(restart))
                # Observed mode asks only whether there is a witness; the others keep what was returned apart.
                if found := breaches(back, images, setting.norm, epsilon, attack.kind):
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
            self.calls.failed(done, rows[faulty.cpu().numpy()], PluginError("; ".join(what)))
        if error is not None:
            self.calls.failed(done, rows, error, without_gradient=observer.without_gradient)
        self._account(best, observer)
        again = rows[(board.doubted & ~best.found).cpu().numpy()]
        if len(again) and network is setting.copy and error is None:
            self.result.again += len(again)
            self._attack(component, again, targets, done, fast=False)

    def _account(self, best: WitnessBoard, observer: ObservedModel) -> None:
        """Add what an attack took to the unit's sums, and let go of the observer; smaller batches stay small."""
        self.result.unconfirmed += best.unconfirmed
        self.result.useful += int(observer.useful)
        self.result.out_of_memory += observer.out_of_memory
        self.batch_size = min(self.batch_size, observer.batch_size)
        observer.release()

    def _network(self, watch: Watch) -> tuple[nn.Module, Precision]:
        """What a tool differentiates, and in which arithmetic; an adapted attack its own copy.

        A copy in low precision proposes for attacks whose broken rows are frozen. One that looks for the boundary
        itself, and is not stopped at its first success, would follow the copy's boundary instead.
        """
        if self._adapted is not None:
            return self._adapted.network, EXACT
        copy = self.setting.copy
        if copy is None or (copy.recipe.precision != EXACT and watch != "freeze"):
            return self.setting.reference.module, EXACT
        return copy, copy.recipe.precision

    @property
    def _adapted(self) -> AdaptedCopy | None:
        return self.setting.adapted.get(self.job.spec.id)

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
