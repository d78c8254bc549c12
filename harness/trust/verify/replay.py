"""Survivors attacked again: a survivor is a claim, and only the recorded attack can say whether it stands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc
import torch

from harness.base.modes import runs_once
from harness.base.randomness import derive
from harness.base.statistics import exact_upper_bound
from harness.evidence.facts import BROKEN, CLEAN, IMPLIED, KNOWN
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
from harness.trust.diagnosis.within_attack import FEWEST, MOSTLY_DEAD
from harness.trust.verify.places import CountedRun, Place, Rows
from harness.trust.verify.recorded import poolless, recorded_attacks, recorded_copies
from harness.trust.verify.verdict import Contradictions, Hit, Ids, Mask, Replay
from harness.types import Attack, AttackSpec, Finding

REPEATS = 199
"""How often a survivor that broke is attacked once more, with a new seed each, before it is called false. So many,
because survivors are chosen by their luck: one of an honest run that breaks in 78 % of the runs broke 20 times on end.
It ends with the first run that the sample stands, so an honest run pays for few of them. These attacks see the model
through weights that are off by a rounding error of the run's precision, another one each time: an attack without a
random start would do the same every time, and a run whose arithmetic was another, in bfloat16 above all, would be
called false for a sample that stands or falls by rounding. One that breaks every time may still have stood by its
random start, so the unit that recorded it is run last, with the run's own seed."""


@dataclass(frozen=True)
class Survivor:
    """One survivor: the position of its sample among the run's, and its place."""

    at: int
    place: Place


def replay(
    records: CountedRun,
    part: Slice,
    reference: ReferenceModel,
    right: Mask,
    count: int,
    seed: int,
    problems: Contradictions,
    notes: list[Finding],
    say: Callable[[str], None] | None = None,
) -> Replay:
    """Attack `count` randomly drawn survivors again, each with its recorded attack and a new seed.

    A survivor that breaks is attacked `REPEATS` more times, and if it breaks every time, once more as the run did it:
    with the run's seed, together with all samples of its unit. One that breaks then, too, was no survivor, which is a
    problem; of one that sometimes stands, the seed or rounding decides, and it counts in the bound only.

    Args:
        records: The run's facts.
        part: The run's samples.
        reference: The run's model.
        right: Which samples are classified correctly here, bool [n] by ascending id.
        count: How many survivors to draw, without replacement.
        seed: Of the draw and of the attacks.
        problems: Takes false survivors, and attacks that cannot be run as recorded.
        notes: Takes what differs between then and now.
        say: Told how far it is.

    Raises:
        MissingPackage: a drawn attack's tool, or the package of its plugin, is not installed.
    """
    population = survivors(records, right, poolless(records, notes))
    if not population:
        return Replay(asked=count, seed=seed, population=0, drawn=0, repeats=REPEATS, hits=(), at_most=0.0)
    draws = draw(population, count, seed)
    attacks = recorded_attacks(records, {one.place[0] for one in draws}, problems, notes)
    copies = None if attacks is None else recorded_copies(records, part, reference, attacks, problems)
    if attacks is None or copies is None:
        return Replay(
            asked=count, seed=seed, population=len(population), drawn=0, repeats=REPEATS, hits=(), at_most=1.0
        )
    again = _Again(
        records=records,
        part=part,
        reference=reference,
        attacks=attacks,
        copies=copies,
        seed=seed,
        problems=problems,
        say=say or (lambda _: None),
    )
    broken = again.broken(draws, 0)
    _check_gradients(again.hidden, len(draws), problems)
    tries = dict.fromkeys(broken, 0)
    standing = broken
    for attempt in range(1, REPEATS + 1):
        standing = again.broken(standing, attempt)
        for one in standing:
            tries[one] = attempt
    false = set(again.broken_by_its_unit(standing))
    hits = tuple(
        Hit(int(records.ids[d.at]), d.place[0], records.grid[d.place[2]].label, times, d in false)
        for d, times in tries.items()
    )
    for hit in hits:
        where = f"{hit.attack} at {hit.epsilon_label}: sample {hit.sample_id}"
        broke = f"the recorded attack breaks it in {REPEATS + 1} runs of {REPEATS + 1}"
        if hit.false:
            problems.add("replay", f"{where} is said to have survived, but {broke}, and with the run's own seed")
        elif hit.again == REPEATS:
            notes.append(Finding("replay", "info", f"{where} stands with the run's own seed alone: {broke}"))
    return Replay(
        asked=count,
        seed=seed,
        population=len(population),
        drawn=len(draws),
        repeats=REPEATS,
        hits=hits,
        at_most=exact_upper_bound(len(hits), len(draws)),
    )


def _check_gradients(hidden: Sequence[str], drawn: int, problems: Contradictions) -> None:
    """Name survivors that were never attacked, whose facts do not say so: from the share on that P7 calls an error."""
    if len(hidden) >= FEWEST and len(hidden) > MOSTLY_DEAD * drawn:
        problems.add(
            "replay",
            f"{len(hidden)} of {drawn} survivors had no gradient in most steps when they were attacked again, which"
            f" their facts do not say ({', '.join(sorted(set(hidden)))[:200]})",
        )


def survivors(records: CountedRun, right: Mask, without: Collection[str] = ()) -> list[Survivor]:
    """All facts that say survived after an attack that can be repeated: not at epsilon 0, not of components.

    An attack that makes one perturbation for all samples is another one on those that are drawn.

    Args:
        records: The run's facts.
        right: Which samples are classified correctly here, bool [n] by ascending id.
        without: Attacks that cannot be repeated here.
    """
    found = []
    left_out = {CLEAN, *without, *(attack.id for attack in records.attacks if attack.universal)}
    for place, rows in sorted(records.rows.items(), key=lambda item: (item[0][0], item[0][2])):
        attack, component, at = place
        if attack not in left_out and component is None and records.grid[at].value > 0:
            found += [Survivor(int(i), place) for i in np.flatnonzero(_attacked(rows) & right)]
    return found


def _attacked(rows: Rows) -> Mask:
    mask: Mask = (rows["outcome"] == "survived") & (rows["reason"] != IMPLIED)
    return mask


def draw(population: Sequence[Survivor], count: int, seed: int) -> list[Survivor]:
    """`count` of the population (or all of it), each equally likely, without replacement."""
    picked = np.random.default_rng(seed).choice(len(population), min(count, len(population)), replace=False)
    return [population[i] for i in sorted(picked.tolist())]


@dataclass(frozen=True, kw_only=True)
class _Again:
    """Runs the recorded attacks on drawn samples."""

    records: CountedRun
    part: Slice
    reference: ReferenceModel
    attacks: Mapping[str, tuple[AttackSpec, Attack]]
    copies: Mapping[str, AdaptedCopy]
    seed: int
    problems: Contradictions
    say: Callable[[str], None]
    hidden: list[str] = field(default_factory=list)
    """At the first attempt: the attack of each draw whose gradients are dead here, and were not by its facts."""

    def broken(self, draws: Sequence[Survivor], attempt: int) -> list[Survivor]:
        """Which of the draws break; each attempt has seeds of its own."""
        found, done = [], 0
        for (name, step), mine in self._by_call(draws).items():
            again = f"run {attempt} of {REPEATS} of what broke, " if attempt else ""
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
        mask: Mask = np.any([*own, *map(_attacked, places)], axis=0)
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
