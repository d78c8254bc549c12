"""Recorded attacks on survivors once more: with a new seed each, or as the unit of the run that recorded them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc
import torch

from harness.base.modes import runs_once
from harness.base.randomness import derive
from harness.evidence.facts import BROKEN, IMPLIED, KNOWN
from harness.inputs.boxes import masks_of
from harness.inputs.draws import recorded_draws
from harness.inputs.prefixes import chunk_of
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import Slice
from harness.measure.adapted.prepare import AdaptedCopy
from harness.measure.fast_copy.copies import rounded_otherwise
from harness.measure.unit.compute import run_unit
from harness.measure.unit.job import Job, Setting
from harness.measure.unit.outcome import Chunk
from harness.measure.unit.shared import TRANSFER
from harness.trust.verify.places import CountedRun, Place, Rows
from harness.trust.verify.verdict import Contradictions, Ids, Mask
from harness.types import Attack, AttackSpec


@dataclass(frozen=True)
class Survivor:
    """One survivor: the position of its sample among the run's, and its place."""

    at: int
    place: Place


@dataclass(frozen=True, kw_only=True)
class Again:
    """Runs the recorded attacks on survivors."""

    records: CountedRun
    part: Slice
    reference: ReferenceModel
    attacks: Mapping[str, tuple[AttackSpec, Attack]]
    copies: Mapping[str, AdaptedCopy]
    seed: int
    problems: Contradictions
    say: Callable[[str], None]
    repeats: int
    """How many attempts come after the first; for what it says."""
    hidden: list[str] = field(default_factory=list)
    """At the first attempt: the attack of each draw whose gradients are dead here, and were not by its facts."""

    def broken(self, draws: Sequence[Survivor], attempt: int) -> list[Survivor]:
        """Which of the draws break; each attempt has seeds of its own."""
        found, done = [], 0
        for (name, step), mine in self._by_call(draws).items():
            again = f"run {attempt} of {self.repeats} of what broke, " if attempt else ""
            self.say(f"{again}{done} of {len(draws)} survivors attacked again, now {name}{self._where(step)}")
            done += len(mine)
            at = np.unique([one.at for one in mine])
            size = self._size(name)
            for start in range(0, len(at), size):
                part = at[start : start + size]
                ids = self.records.ids[part]
                seed = derive(self.seed, "replay", self.records.info.key, attempt, int(part[0]))
                outcome = self._attack(name, step, ids, seed, rounded=attempt > 0)
                for one in mine:
                    ended, dead = outcome.get(self._key(one), ("", False))
                    if ended in BROKEN:
                        found.append(one)
                    elif dead and attempt == 0 and not self._told_dead(one):
                        self.hidden.append(name)
        return found

    def broken_by_its_unit(self, draws: Sequence[Survivor]) -> list[Survivor]:
        """Which of the draws break in their unit as the run had it: its chunk, whom it attacked, and the run's seed."""
        found = []
        order, seed = self.part.indices, self.records.info.seed
        positions = {sample: position for position, sample in enumerate(order.tolist())}
        for (name, step), mine in self._by_call(draws).items():
            size = self._size(name)
            attacked = self.records.ids[self._attacked_at(name, step)]
            indices = {one: positions[int(self.records.ids[one.at])] // size for one in mine}
            for index in sorted(set(indices.values())):
                self.say(f"what broke every time is attacked with the run's own seed, now {name}{self._where(step)}")
                ids = order[index * size : (index + 1) * size]
                outcome = self._attack(name, step, ids, seed, index=index, attacked=np.isin(ids, attacked))
                found += [one for one in mine if indices[one] == index and outcome[self._key(one)][0] in BROKEN]
        return found

    def _by_call(self, draws: Sequence[Survivor]) -> dict[tuple[str, int], list[Survivor]]:
        """The draws that one call of a tool can cover, by attack and position in the grid; -1 for the whole grid."""
        groups: dict[tuple[str, int], list[Survivor]] = {}
        for one in draws:
            once = runs_once(self.attacks[one.place[0]][1])
            groups.setdefault((one.place[0], -1 if once else one.place[2]), []).append(one)
        return groups

    def _attacked_at(self, name: str, step: int) -> Mask:
        """Which samples a unit attacked, by its facts, bool [n] by ascending id; a step of -1 is the whole grid."""
        steps = range(len(self.records.grid)) if step < 0 else (step,)
        places = [self.records.rows[name, None, at] for at in steps]
        own = [(rows["outcome"] == "witness") & (rows["source"] != TRANSFER) for rows in places]
        mask: Mask = np.any([*own, *map(stood, places)], axis=0)
        return mask

    def _size(self, name: str) -> int:
        return chunk_of(self.attacks[name][0], self.records.info.suite.chunk)

    def _where(self, step: int) -> str:
        return "" if step < 0 else f" at {self.records.grid[step]}"

    def _key(self, one: Survivor) -> tuple[int, float]:
        return int(self.records.ids[one.at]), self.records.grid[one.place[2]].value

    def _told_dead(self, one: Survivor) -> bool:
        rows = self.records.rows[one.place]
        return bool(rows["dead_gradients"][one.at] > 0.5 * rows["backwards"][one.at])

    def _attack(
        self,
        name: str,
        step: int,
        ids: Ids,
        seed: int,
        *,
        index: int = 0,
        attacked: Mask | None = None,
        rounded: bool = False,
    ) -> dict[tuple[int, float], tuple[str, bool]]:
        """Outcome, and whether most of its gradients were dead, by sample id and epsilon.

        Args:
            name: The attack.
            step: Position of epsilon in the grid; -1 for the whole grid.
            ids: Samples of the unit, in order.
            seed: Stands for the run's.
            index: Of the chunk.
            attacked: Which of them to attack, bool [n]; None for all.
            rounded: Let the attack see the model through weights that are off by a rounding error.
        """
        info, (spec, attack) = self.records.info, self.attacks[name]
        grid = self.records.grid if step < 0 else self.records.grid[step : step + 1]
        device = self.reference.device
        images, labels = (tensor.to(device) for tensor in self.part.data.take(ids.tolist()))
        patched = info.suite.threat == "patch"
        masks = masks_of(info.suite.place, self.part.data, ids, images.shape, device) if patched else None
        draws = recorded_draws(info.randomness, seed)
        other = rounded and draws is None
        setting = Setting(
            reference=self.reference,
            norm=info.suite.norm,
            mode=info.mode,
            seed=seed,
            draws=draws,
            batch_size=min(info.planned.batch_size, info.suite.chunk),
            copy=rounded_otherwise(self.reference, info.planned.precision, seed) if other else None,
            adapted=self.copies,
        )
        clean = labels
        if attacked is not None:
            clean = labels.where(torch.from_numpy(attacked).to(device), -1)  # a misclassified sample is not attacked
        result = run_unit(
            Job(
                setting=setting,
                attack=attack,
                spec=spec,
                grid=grid,
                chunk=Chunk(index=index, sample_ids=ids, images=images, labels=labels, clean_pred=clean, masks=masks),
            )
        )
        whole = result.facts.filter(pc.is_null(result.facts["component"])).select(
            ["sample_id", "epsilon", "outcome", "backwards", "dead_gradients"]
        )
        outcomes = {
            (row["sample_id"], row["epsilon"]): (
                row["outcome"],
                (row["dead_gradients"] or 0) > 0.5 * row["backwards"],
            )
            for row in whole.to_pylist()
        }
        if failed := sum(outcome not in KNOWN for outcome, _ in outcomes.values()):
            why = "; ".join(finding.message for finding in result.findings if finding.level == "error")
            self.problems.add(
                "replay", f"{name}: {failed} survivors could not be attacked again ({why or 'no reason told'})"
            )
        return outcomes


def stood(rows: Rows) -> Mask:
    """Which samples survived an attack that was run on them, bool [n]."""
    mask: Mask = (rows["outcome"] == "survived") & (rows["reason"] != IMPLIED)
    return mask
