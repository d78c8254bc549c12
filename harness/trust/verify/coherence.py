"""What facts must say of one another: how an outcome at one epsilon, component or attack binds the others."""

from __future__ import annotations

import numpy as np

from harness.base.modes import MODES, runs_once
from harness.base.threat import radius
from harness.evidence.facts import BROKEN, IMPLIED, REASONS
from harness.evidence.suite_info import AttackInfo
from harness.trust.verify.places import CLEAN_PLACE, CountedRun, Rows
from harness.trust.verify.verdict import Contradictions, Mask

_TRANSFERRED = ("distance", "margin", "adv_pred")
_OF_WITNESS = ("distance", "margin", "adv_pred", "source")
SOURCES = ("query", "returned", "transfer")


def check_coherence(records: CountedRun, problems: Contradictions) -> None:
    """Name every fact that contradicts another, its own columns, or the way the harness works."""
    clean = records.rows.get(CLEAN_PLACE)
    if clean is None:
        return  # already named: without the clean pass the others stand on nothing
    _clean(records, clean, problems)
    for attack in records.attacks:
        for component in (None, *attack.components):
            for at in range(len(records.grid)):
                _place(records, attack, component, at, clean, problems)
            _targets(records, attack, component, problems)
        for at in range(len(records.grid)):
            _ladder(records, attack, at, problems)
            _transfers(records, attack, at, problems)
            _components(records, attack, at, problems)


def _clean(records: CountedRun, clean: Rows, problems: Contradictions) -> None:
    right = clean["clean_pred"] == clean["label"]
    says = np.where(right, "survived", "clean_wrong") == clean["outcome"]
    problems.rows("clean", "clean", records.ids, ~says, "the outcome is not what label and prediction say")
    against = np.where(right, clean["margin"] > 0, clean["margin"] < 0)
    problems.rows("clean", "clean", records.ids, against, "the margin is not what label and prediction say")


def _place(
    records: CountedRun, attack: AttackInfo, component: str | None, at: int, clean: Rows, problems: Contradictions
) -> None:
    """Facts of one attack at one epsilon, each by itself and against the clean pass."""
    place = (attack.id, component, at)
    rows = records.rows.get(place)
    if rows is None:
        return
    name, ids, outcome = records.name(place), records.ids, rows["outcome"]

    def wrong(check: str, bad: Mask, what: str) -> None:
        problems.rows(check, name, ids, bad & records.drawn[attack.id], what)

    for column in ("label", "clean_pred"):
        wrong("clean", rows[column] != clean[column], f"{column} is not that of the clean pass")
    misread = outcome == "clean_wrong"
    if records.info.suite.threat == "corruption":  # every image is judged
        wrong("clean", misread, "corrupted images are judged whatever the clean pass says")
    else:
        wrong("clean", misread != (clean["outcome"] == "clean_wrong"), "the clean pass says otherwise")
    unknown = np.isin(outcome, ("not_run", "error"))
    reason = np.array([value in REASONS for value in rows["reason"]], dtype=bool)
    empty = np.array([value is None for value in rows["reason"]], dtype=bool)
    implied = (
        MODES[records.info.mode].halves_of(attack)
        & (component is None)
        & (outcome == "survived")
        & (rows["reason"] == IMPLIED)
    )
    wrong("facts", np.where(unknown, ~reason, ~empty & ~implied), "the reason does not fit the outcome")
    wrong("facts", implied & (rows["forwards"] > 0), "said to be implied, but it was attacked")
    if component is None:
        wrong("facts", rows["reason"] == "cascade", "a whole attack cannot be skipped by a cascade")
    wrong("facts", (rows["forwards"] < 0) | (rows["backwards"] < 0), "counts are negative")

    broken = np.isin(outcome, BROKEN)
    inherited = outcome == "inherited"
    may = MODES[records.info.mode].inherits_of(attack) and component is None
    wrong("inherited", inherited & (not may), "nothing is inherited here")
    wrong("inherited", inherited == np.isnan(rows["origin_epsilon"]), "inherited and origin_epsilon do not fit")
    norm, epsilon = records.info.suite.norm, records.grid[at].value
    inside = (rows["distance"] >= 0) & (rows["distance"] <= radius(epsilon, norm))  # NaN is neither
    wrong("ball", broken & ~inside, f"broken at a distance outside the ball of {records.grid[at]}")
    target = rows["target"]
    aimed = (target >= 0) & ~inherited
    hit = np.where(aimed, rows["adv_pred"] == target, rows["adv_pred"] != rows["label"]) & (rows["adv_pred"] >= 0)
    wrong("prediction", broken & ~(hit & (rows["margin"] >= 0)), "broken, but prediction or margin say otherwise")
    wrong("facts", broken & ~np.isin(rows["source"].astype(str), SOURCES), "broken without a source")
    if attack.targeted:
        wrong("target", (outcome == "witness") & (target < 0), "a targeted attack's witness without a target")
    else:
        wrong("target", target >= 0, "a target, but the attack has none")
    told = ~np.isnan(rows["distance"]) | ~np.isnan(rows["margin"]) | (rows["adv_pred"] >= 0)
    told |= np.array([value is not None for value in rows["source"]], dtype=bool)
    wrong("facts", ~broken & told, "not broken, yet a witness is described")


def _targets(records: CountedRun, attack: AttackInfo, component: str | None, problems: Contradictions) -> None:
    """One target a sample, and never its own class."""
    seen = np.full(len(records.ids), -1)
    for at in range(len(records.grid)):
        place = (attack.id, component, at)
        if (rows := records.rows.get(place)) is None:
            continue
        target = rows["target"]
        bad = (target >= 0) & ((target == rows["label"]) | ((seen >= 0) & (target != seen)))
        problems.rows("target", records.name(place), records.ids, bad, "the target is the label, or changes")
        seen = np.where(target >= 0, target, seen)


def _ladder(records: CountedRun, attack: AttackInfo, at: int, problems: Contradictions) -> None:
    """How an epsilon binds the next one: inherited witnesses, and nearest ones of attacks that run once."""
    for component in (None, *attack.components):
        place = (attack.id, component, at)
        rows, before = records.rows.get(place), records.rows.get((attack.id, component, at - 1))
        if rows is None or (before is None and at > 0):
            continue
        name, outcome = records.name(place), rows["outcome"]
        was = np.zeros(len(records.ids), bool) if before is None else np.isin(before["outcome"], BROKEN)
        if MODES[records.info.mode].halves_of(attack):
            if component is None:
                _halves(records, attack, at, rows, problems)
        elif MODES[records.info.mode].inherits_of(attack) and component is None:
            what = "inherited without a witness at a smaller epsilon, or broken there and not inherited"
            problems.rows("inherited", name, records.ids, (outcome == "inherited") != was, what)
            if before is not None:
                first = np.where(before["outcome"] == "inherited", before["origin_epsilon"], before["epsilon"])
                same = (rows["origin_epsilon"] == first) & _same_witness(rows, before)
                both = was & (outcome == "inherited")
                what = "inherited, but not what the smaller epsilon has"
                problems.rows("inherited", name, records.ids, both & ~same, what)
        elif runs_once(attack) and before is not None:
            reach = radius(records.grid[at - 1].value, records.info.suite.norm)
            here, own = np.isin(outcome, BROKEN), rows["source"] != "transfer"
            what = "the nearest witness breaks every epsilon it reaches and no smaller one; here it does not"
            problems.rows("nested", name, records.ids, own & (was != (here & (rows["distance"] <= reach))), what)
            problems.rows("nested", name, records.ids, own & was & here & ~_same_witness(rows, before), what)


def _halves(records: CountedRun, attack: AttackInfo, at: int, rows: Rows, problems: Contradictions) -> None:
    """In mode ``bisection``: what is inherited is a smaller epsilon's, what is implied survived a larger one."""
    places = [(step, records.rows.get((attack.id, None, step))) for step in range(len(records.grid))]
    name, outcome = records.name((attack.id, None, at)), rows["outcome"]
    owned, stood = np.zeros(len(records.ids), bool), np.zeros(len(records.ids), bool)
    smaller = np.zeros(len(records.ids), bool)
    for step, other in places:
        if other is None:
            continue
        own = other["outcome"] == "witness"
        if step < at:
            owned |= own & (rows["origin_epsilon"] == other["epsilon"]) & _same_witness(rows, other)
            smaller |= own
        if step > at:
            stood |= (other["outcome"] == "survived") & (other["reason"] != IMPLIED)
    what = "inherited, but not what a smaller epsilon has"
    problems.rows("inherited", name, records.ids, (outcome == "inherited") & ~owned, what)
    what = "broken at a smaller epsilon, yet said to have survived here"
    problems.rows("inherited", name, records.ids, smaller & (outcome == "survived"), what)
    what = "said to be implied, but it survived no larger epsilon"
    implied = (outcome == "survived") & (rows["reason"] == IMPLIED)
    problems.rows("implied", name, records.ids, implied & ~stood, what)


def _transfers(records: CountedRun, attack: AttackInfo, at: int, problems: Contradictions) -> None:
    """A transferred witness is an earlier attack's own, at this or a smaller epsilon; only where attacks share them."""
    place = (attack.id, None, at)
    if (rows := records.rows.get(place)) is None:
        return
    taken = (rows["source"] == "transfer") & (rows["outcome"] == "witness")
    known = np.zeros(len(records.ids), bool)
    shares = MODES[records.info.mode].shares_of(attack.after)
    for earlier in records.attacks[: records.attacks.index(attack)] if shares else []:
        for step in range(at + 1):
            if (other := records.rows.get((earlier.id, None, step))) is not None:
                own = (other["outcome"] == "witness") & (other["source"] != "transfer")
                known |= own & np.all([other[name] == rows[name] for name in _TRANSFERRED], axis=0)
    what = "taken over from another attack, of which there is no such witness"
    problems.rows("transfer", records.name(place), records.ids, taken & ~known, what)


def _components(records: CountedRun, attack: AttackInfo, at: int, problems: Contradictions) -> None:
    """A cascade's outcome is that of the first component that breaks the sample."""
    whole = records.rows.get((attack.id, None, at))
    parts = [records.rows.get((attack.id, component, at)) for component in attack.components]
    known = [part for part in parts if part is not None]
    if whole is None or not known or len(known) < len(parts):
        return
    name, ids = records.name((attack.id, None, at)), records.ids
    outcome = whole["outcome"]
    left, agrees = np.ones(len(ids), bool), (outcome != "witness") | (whole["source"] == "transfer")
    for part in known:
        # Of attacks that run once, the first component to succeed may do so at a larger epsilon only.
        first = (left | runs_once(attack)) & (part["outcome"] == "witness")
        agrees |= first & _same_witness(whole, part)
        left &= ~first
    problems.rows("component", name, ids, ~agrees, "broken, but not as its first successful component has it")
    _skipped(records, attack, at, whole, problems)
    if runs_once(attack):
        return
    problems.rows("component", name, ids, ~left & (outcome != "witness"), "a component has a witness, the whole not")
    all_survived = np.all([part["outcome"] == "survived" for part in known], axis=0) | (whole["reason"] == IMPLIED)
    what = "survived, but not in all its components"
    problems.rows("component", name, ids, (outcome == "survived") & ~all_survived, what)


def _skipped(records: CountedRun, attack: AttackInfo, at: int, whole: Rows, problems: Contradictions) -> None:
    """A component is not run on what a smaller epsilon, another attack or a component before it has settled."""
    if runs_once(attack):  # what broke at the smallest epsilon is settled, and nothing else
        whole = records.rows.get((attack.id, None, 0), whole)
    settled = (whole["outcome"] == "inherited") | (whole["source"] == "transfer") | (whole["reason"] == IMPLIED)
    for component in attack.components:
        place = (attack.id, component, at)
        part = records.rows[place]
        skipped = (part["outcome"] == "not_run") & (part["reason"] == "cascade")
        what = "attacked, though it was settled before this component's turn"
        problems.rows("component", records.name(place), records.ids, settled & ~skipped, what)
        if not attack.separate:
            settled |= part["outcome"] == "witness"


def _same_witness(one: Rows, other: Rows) -> Mask:
    """Where both describe the same witness, bool [n]."""
    same: Mask = np.all([one[name] == other[name] for name in _OF_WITNESS], axis=0)
    return same
