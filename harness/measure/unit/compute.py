"""One unit of work: one attack on one chunk at one epsilon (or, for minimum-norm attacks, at the whole grid).

What is attacked, judged and counted is here; what surrounds a call of a tool is in `harness.measure.unit.call`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from harness.attack import BaseAttack
from harness.base.deadline import Halted
from harness.base.modes import MODES, fixed_ball
from harness.base.randomness import derive, forked, generators, put_back
from harness.base.targets import resolve_targets
from harness.evidence import facts, witnesses
from harness.evidence.facts import broken_rows
from harness.evidence.pool import Pool
from harness.measure.adapted.pool import within
from harness.measure.adapted.prepare import AdaptedCopy
from harness.measure.unit.attempt import Attempt, Target
from harness.measure.unit.board import WitnessBoard
from harness.measure.unit.call import Calls
from harness.measure.unit.job import EXACT, SUMS, Job, UnitResult
from harness.measure.unit.observer import ObservedModel, Watch
from harness.measure.unit.outcome import ComponentOutcome, fact_table, union, witness_table
from harness.types import Finding, Problem


def run_unit(job: Job) -> UnitResult:
    """Attack one chunk and say what is known afterwards; a tool's failure is in the facts, not raised.

    Of a randomized model the judge draws, too; these draws hang on the unit alone, not on what was asked before it.

    Raises:
        Halted: the setting's deadline passed, or the job was to stop; says what was under way.
    """
    with forked(derive(job.setting.seed, "unit", job.spec.id, job.grid[-1].value, job.chunk.index)):
        return _Running(job).run()


class _Running:
    def __init__(self, job: Job) -> None:
        self.job, self.setting, self.attack, self.chunk = job, job.setting, job.attack, job.chunk
        self.result = UnitResult(facts=facts.empty(), witnesses=witnesses.empty())
        self.batch_size = job.setting.batch_size
        self.shrunk = job.setting.reference.out_of_memory
        self.passes: list[ComponentOutcome] = []
        """Of the components that are finished."""
        kept = job.interim.taken() if job.interim is not None else None
        self.calls = Calls(
            attack=job.attack, spec=job.spec, epsilon=job.grid[-1], chunk=job.chunk.index,
            seed=job.setting.seed, limit=job.setting.unit_timeout, guard=job.setting.guard,
            spent=job.interim.spent if job.interim is not None else 0.0,
        )  # fmt: skip
        self.begun = self._take_up(kept) if kept is not None else None
        """Of the component that an earlier start left: the pass, its next group of rows, and that one's attempt."""

    def run(self) -> UnitResult:
        alive = self._alive()
        components = self.attack.components
        for component in components[len(self.passes) :]:
            mine = alive.copy()
            if not self.attack.individual:
                for earlier in self.passes:
                    mine &= earlier.outcome != "witness"
            self.passes.append(self._component(component, mine))
            if len(self.passes) < len(components):
                self._pause()
        self.calls.restore(self.passes)
        self._tell(self.passes)
        self.result.log, self.result.findings = self.calls.printed.getvalue(), self.calls.findings
        self.result.out_of_memory = self._out_of_memory()
        return self.result

    def _pause(self, begun: tuple[ComponentOutcome, int, Attempt | None] | None = None) -> None:
        """Between two calls of the tool: keep what was found if it is worth it, and end here if the run is to end.

        Args:
            begun: Of a component that is not finished: the pass, its next group of rows, and that one's attempt.
        """
        keep = self.job.interim
        if keep is None:
            return
        stop = self.job.stop()
        if stop or keep.due:
            done, group, attempt = begun if begun is not None else (None, 0, None)
            keep.keep(
                {
                    "passes": [one.state() for one in self.passes],
                    "begun": None if done is None else done.state(),
                    "group": group,
                    "attempt": None if attempt is None else attempt.state(),
                    "sums": {name: getattr(self.result, name) for name in SUMS},
                    "out_of_memory": self._out_of_memory(),
                    "batch_size": self.batch_size,
                    "printed": self.calls.printed.getvalue(),
                    "findings": [finding.as_dict() for finding in self.calls.findings],
                    "generators": generators(),
                }
            )
        if stop:
            raise Halted

    def _take_up(self, kept: Mapping[str, Any]) -> tuple[ComponentOutcome, int, Mapping[str, Any] | None] | None:
        """Go on from what an earlier start kept; what it says of a component that was not finished."""
        self.passes = [ComponentOutcome.of(one, self.chunk) for one in kept["passes"]]
        for name in SUMS:
            setattr(self.result, name, kept["sums"][name])
        self.result.out_of_memory, self.batch_size = kept["out_of_memory"], kept["batch_size"]
        self.calls.printed.write(kept["printed"])
        self.calls.findings += [Finding(**finding) for finding in kept["findings"]]
        put_back(kept["generators"])
        if kept["begun"] is None:
            return None
        return ComponentOutcome.of(kept["begun"], self.chunk), kept["group"], kept["attempt"]

    def _out_of_memory(self) -> int:
        return self.result.out_of_memory + self.setting.reference.out_of_memory - self.shrunk

    def _alive(self) -> np.ndarray:
        """Rows to attack, bool [n]: right so far, and neither broken nor known to survive by other units."""
        job, alive = self.job, self.chunk.correct
        if job.before is not None:
            alive &= ~broken_rows(job.before, len(alive))
        if job.offered is not None:
            alive &= ~job.offered.within(job.grid[0].value)  # what stands anywhere on the grid is looked for
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
        of_others = job.offered if components == (None,) else None  # a component's facts are its own
        found = [witness_table(done, chunk, job.spec.id, c, job.grid, norm, stored, of_others) for done, c in parts]
        self.result.witnesses = witnesses.concat(found)

    def _component(self, component: str | None, alive: np.ndarray) -> ComponentOutcome:
        """Run one component on the rows in `alive`, bool [n]."""
        begun, self.begun = self.begun, None
        done, first, kept = begun if begun is not None else (ComponentOutcome.over(self.chunk, alive), 0, None)
        if self.job.grid[-1].value == 0 or not alive.any():
            return done  # nothing but the image itself is inside a ball of radius 0
        targets = self._targets() if begun is None else _on(done.targets, self.chunk.images)
        if targets is not None:
            done.targets = targets.cpu().numpy()
        rows = np.flatnonzero(alive)
        if (pool := self._shared_pool) is not None:
            pool.load(self.chunk.sample_ids[rows].tolist())
        groups = [rows[i : i + 1] for i in range(len(rows))] if self.attack.one_by_one else [rows]
        for place in range(first, len(groups)):
            if place > first:
                self._pause((done, place, None))
            self._attack(component, groups[place], targets, done, place, kept)
            kept = None
        return done

    def _attack(
        self,
        component: str | None,
        rows: np.ndarray,
        targets: Tensor | None,
        done: ComponentOutcome,
        place: int,
        kept: Mapping[str, Any] | None = None,
        fast: bool = True,
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
        masks = None if self.chunk.masks is None else self.chunk.masks[pick]
        pool, samples = self._shared_pool, self.chunk.sample_ids[rows].tolist()

        def boards() -> WitnessBoard:
            usual, draws = self.chunk.usual_range, setting.draws
            ball = setting.norm, epsilon, attack.kind
            return WitnessBoard(setting.reference, images, labels, *ball, mine, usual, draws, samples, masks)

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
                None if masks is None else masks.within(epsilon),
                () if pool is None else within(pool, samples, images, setting.norm, epsilon, masks),
            )

        def observer(board: WitnessBoard) -> ObservedModel:
            network, watch, batch = target.network, target.watch, self.batch_size
            keep = setting.keep_rows or setting.draws is not None
            observed = ObservedModel(network, board, watch, batch, keep, setting.deadline)
            observed.asks_reference = self._adapted is not None and self._adapted.alters
            return observed

        def between() -> None:
            if fast:
                self._pause((done, place, attempt))

        target = self._target(component, fast)
        attempt = Attempt(self.calls, rows, target, boards, problem, observer)
        if kept is not None:
            attempt.go_on(kept)
        try:
            best = attempt.run(done, between)
        except Halted as halted:
            halted.component, halted.restart = component, attempt.next if attack.restarts > 1 else None
            halted.whole = attempt.whole(attack.queries(component) if isinstance(attack, BaseAttack) else None)
            raise
        again = rows[(attempt.board.doubted & ~best.found).cpu().numpy()]
        self._account(best, attempt.observer)
        if len(again) and target.network is setting.copy and attempt.error is None:
            self.result.again += len(again)
            self._attack(component, again, targets, done, place, fast=False)

    def _account(self, best: WitnessBoard, observer: ObservedModel) -> None:
        """Add what an attack took to the unit's sums, and let go of the observer; smaller batches stay small."""
        self.result.unconfirmed += best.unconfirmed
        self.result.useful += int(observer.useful)
        self.result.out_of_memory += observer.out_of_memory
        self.batch_size = min(self.batch_size, observer.batch_size)
        observer.release()

    def _target(self, component: str | None, fast: bool) -> Target:
        """What a tool differentiates, and in which arithmetic: the reference itself, or a copy, if it is to be `fast`.

        An adapted attack has its own copy, always.

        A copy in low precision proposes for attacks whose broken rows are frozen. One that looks for the boundary
        itself, and is not stopped at its first success, would follow the copy's boundary instead.
        """
        copy, watch = self.setting.copy, self._watch(component)
        if fast and self._adapted is not None:
            return Target(network=self._adapted.network, precision=EXACT, watch=watch)
        if not fast or copy is None or (copy.recipe.precision != EXACT and watch != "freeze"):
            return Target(network=self.setting.reference.module, precision=EXACT, watch=watch)
        return Target(network=copy, precision=copy.recipe.precision, watch=watch)

    @property
    def _adapted(self) -> AdaptedCopy | None:
        return self.setting.adapted.get(self.job.spec.id)

    @property
    def _shared_pool(self) -> Pool | None:
        return None if self._adapted is None else self._adapted.pool

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
        reference, draws, chunk = self.setting.reference, self.setting.draws, self.chunk
        if draws is None:
            logits = reference.logits(chunk.images, self.setting.deadline)
        else:
            logits = draws.poll(reference, chunk.images, chunk.sample_ids.tolist()).logits
        return resolve_targets(rule, logits, chunk.labels)


def _on(values: np.ndarray | None, images: Tensor) -> Tensor | None:
    """Values of each row where the images are."""
    return None if values is None else torch.from_numpy(values).to(images.device)
