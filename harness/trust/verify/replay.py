"""Survivors attacked again: a survivor is a claim, and only the recorded attack can say whether it stands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from harness.base.statistics import exact_upper_bound
from harness.evidence.facts import CLEAN
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import Slice
from harness.trust.diagnosis.within_attack import FEWEST, MOSTLY_DEAD
from harness.trust.verify.again import Again, Survivor, stood
from harness.trust.verify.places import CountedRun
from harness.trust.verify.recorded import poolless, recorded_attacks, recorded_copies
from harness.trust.verify.verdict import Contradictions, Hit, Mask, Replay
from harness.types import Finding

REPEATS = 199
"""How often a survivor that broke is attacked once more, with a new seed each, before it is called false. So many,
because survivors are chosen by their luck: one of an honest run that breaks in 78 % of the runs broke 20 times on end.
It ends with the first run that the sample stands, so an honest run pays for few of them. These attacks see the model
through weights that are off by a rounding error of the run's precision, another one each time: an attack without a
random start would do the same every time, and a run whose arithmetic was another, in bfloat16 above all, would be
called false for a sample that stands or falls by rounding. One that breaks every time may still have stood by its
random start, so the unit that recorded it is run last, with the run's own seed."""


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
    again = Again(
        records=records,
        part=part,
        reference=reference,
        attacks=attacks,
        copies=copies,
        seed=seed,
        problems=problems,
        say=say or (lambda _: None),
        repeats=REPEATS,
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
            found += [Survivor(int(i), place) for i in np.flatnonzero(stood(rows) & right)]
    return found


def draw(population: Sequence[Survivor], count: int, seed: int) -> list[Survivor]:
    """`count` of the population (or all of it), each equally likely, without replacement."""
    picked = np.random.default_rng(seed).choice(len(population), min(count, len(population)), replace=False)
    return [population[i] for i in sorted(picked.tolist())]
