"""The protocol of a run: the checklist of Carlini et al. (arXiv:1902.06705), answered from what the run did."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.base.modes import MODES
from harness.evidence.given import Given
from harness.evidence.run_info import RunInfo
from harness.evidence.suite_info import AttackInfo, SuiteInfo
from harness.inputs.registry import Registry
from leaderboard import wording
from leaderboard.details import Answer
from leaderboard.rows import WORST
from leaderboard.runs.record import CLEAN_PLACE, Record
from leaderboard.text import short_hash

_BLIND = ("square", "spsa", "hopskipjump", "boundary")
"""Methods that use no gradient."""
_SERIOUS = ("warn", "error", "refuse")


def command(info: RunInfo) -> str:
    """The line that measures the run again, wherever the files lie that it names; its words are quoted for a shell.

    Empty where no line can: the model, the suite or the data were objects in Python, the samples came from a file of
    ids, or an old run does not tell.
    """
    suite, asked, given = info.suite, info.asked, info.given.public if info.given else _registered(info)
    if None in (given.model, given.suite, given.data) or info.data.ids is not None:
        return ""
    words: list[object] = ["harness", "eval", "--model", given.model, "--suite", given.suite, "--data", given.data]
    if given.name is not None:
        words += ["--name", given.name]
    if given.data_root is not None:
        words += ["--data-root", given.data_root]
    words += ["--n", info.data.n, "--eps", ",".join(suite.labels), "--mode", info.mode, "--seed", info.seed]
    words += ["--device", asked.device, "--batch-size", asked.batch_size]
    for option, value, usual in (
        ("--precision", asked.precision or "auto", "auto"),
        ("--compile", asked.compile or "auto", "auto"),
        ("--witnesses", info.witnesses, "none" if suite.threat == "corruption" else "all"),
    ):
        if value != usual:
            words += [option, value]
    for attack in suite.attacks:
        if attack.id in (suite.edited or ()):
            words += ["--attack-n", f"{attack.id}={'all' if attack.n is None else attack.n}"]
    if info.randomness is not None:
        words += ["--draws", info.randomness.draws, "--rule", info.randomness.rule]
    for text in given.adapt:
        words += ["--adapt", text]
    if suite.until is not None:
        words += ["--until", f"{100 * suite.until:.12g}"]
    if isinstance(info.unit_timeout, float):
        words += ["--unit-timeout", f"{info.unit_timeout:g}"]
    if info.preflight is not None and info.preflight.forced:
        words += ["--force"]
    for place in given.transfer:
        words += ["--transfer", place]
    return shlex.join(str(word) for word in words)


def _registered(info: RunInfo) -> Given:
    """What to type for a run that does not tell, by the names that are installed."""

    def known(kind: str, name: str) -> str | None:
        return name if name in Registry(kind) else None

    data = known("datasets", info.data.name) or known("datasets", info.data.name.removesuffix("-test"))
    return Given(model=known("models", info.model.name), suite=known("suites", info.suite.name), data=data)


def _region(suite: SuiteInfo) -> str:
    if suite.threat == "patch":
        return wording.threat_text(suite.ruler, suite.labels)
    return f"{suite.norm} ball of epsilon {', '.join(suite.labels)} in pixels of [0, 1]"


def checklist(record: Record) -> tuple[Answer, ...]:
    """The list's points in its order, shortened; those that a measurement cannot answer say so."""
    info = record.info
    suite, data, attacks = info.suite, info.data, info.suite.attacks
    if suite.threat == "corruption":
        return _of_corruptions(record)
    names = ", ".join(str(attack.id) for attack in attacks)
    return (
        Answer(
            "State a precise threat model",
            "yes",
            f"{_goal(attacks)}, {_access(attacks)}, {_region(suite)}",
        ),
        Answer(
            "Perform adaptive attacks",
            "no",
            "the attacks are standard ones, none was made against this defense: robust accuracy is an upper bound",
        ),
        _released(info),
        _clean(record),
        _sanity(record),
        _curve(record),
        _converged(record),
        Answer("Describe the attacks with every parameter", "yes", f"{names}; parameters in run.json and below"),
        _diverse(attacks),
        _masked(record),
        _transfer(record),
        Answer(
            "Count per example, not per attack",
            "yes",
            f"worst case over all attacks and smaller epsilons, on n = {data.n:,} samples, slice"
            f" {short_hash(data.slice)}",
        ),
        Answer(
            "Report uncertainty",
            "partly",
            f"95 % Wilson intervals over images; one attack seed ({info.seed}) and one training seed",
        ),
        Answer(
            "Let others check it",
            "yes" if record.verified.startswith(("breaks", "replayed")) else "partly",
            f"facts of every sample are kept; verification: {record.verified}",
        ),
    )


def _of_corruptions(record: Record) -> tuple[Answer, ...]:
    """What of the list can be asked of corruptions, which nobody chooses against a model."""
    info, n = record.info, record.info.data.n
    threat = f"{len(info.suite.attacks)} kinds of corruption at severity {', '.join(info.suite.labels)}; no attack"
    again = "every image can be made again from the clean one and its id"
    return (
        Answer("State a precise threat model", "yes", threat),
        _released(info),
        _clean(record),
        Answer("Describe what is done with every parameter", "yes", "kind, severity and version of each, in run.json"),
        Answer("Judge every image, whatever the clean one is read as", "yes", f"n = {n:,} for each kind and severity"),
        Answer("Report uncertainty", "partly", "95 % intervals over images; one training seed"),
        Answer("Let others check it", "yes", f"{again}; verification: {record.verified}"),
    )


def _released(info: RunInfo) -> Answer:
    license_ = (info.card or {}).get("provenance", {}).get("license")
    weights = f"weights {short_hash(info.model.sha256)}"
    text = f"{weights}, license {license_}" if license_ else f"{weights}; the card names no license"
    return Answer("Release model and source", "yes" if license_ else "partly", text)


def _clean(record: Record) -> Answer:
    score = record.scores[CLEAN_PLACE]
    known = score.accuracy is not None
    text = f"{100 * (score.accuracy or 0):.1f} % of {score.n:,}" if known else f"the clean pass is {score.status}"
    return Answer("Report accuracy without attack", "yes" if known else "no", text)


def _sanity(record: Record) -> Answer:
    attacks = record.info.suite.attacks
    both = any(attack.iterative for attack in attacks) and not all(attack.iterative for attack in attacks)
    question = "Iterated attacks beat single steps"
    if not both:
        return Answer(question, "no", "the suite lacks one of the two")
    return _finding(record, question, ("P8", "P16"), "no finding says otherwise")


def _curve(record: Record) -> Answer:
    grid = record.info.suite.labels
    scores = [record.scores[WORST, label] for label in grid]
    question = "Show accuracy against the budget"
    if any(score.accuracy is None for score in scores):
        return Answer(question, "partly", "cells are missing")
    lowest = scores[-1]
    text = f"{len(grid)} epsilons; worst case {100 * (lowest.accuracy or 0):.1f} % at {lowest.epsilon_label}"
    return Answer(question, "yes" if len(grid) > 2 else "partly", text)


def _converged(record: Record) -> Answer:
    question = "Verify that attacks converged"
    if MODES[record.info.mode].judges == "returned":  # only what a tool returns is seen, so not when it was found
        return Answer(question, "no", "not visible in faithful mode")
    return _finding(record, question, ("P22", "P23"), "more steps or restarts were not seen to help")


def _masked(record: Record) -> Answer:
    question = "Check for masked gradients"
    found = _finding(record, question, ("P7", "P8", "P9"), "no indicator objected")
    if found.answer == "yes" and not _blind(record.info.suite.attacks):
        return Answer(question, "partly", "no indicator objected, but no attack without gradients was there to object")
    return found


def _transfer(record: Record) -> Answer:
    """From what ``--transfer`` found, if it was asked."""
    question = "Try transfer from other models"
    empty = ("could not be offered", "of 0 witnesses")
    notes = [n for n in record.findings if n.check == "P26" and not any(words in n.message for words in empty)]
    if not notes:
        return Answer(question, "no", "no model of another training attacked this one")
    return Answer(question, "yes", "; ".join(note.message for note in notes))


def _goal(attacks: Sequence[AttackInfo]) -> str:
    targeted = [attack.params.get("target") is not None for attack in attacks]
    if not any(targeted):
        return "untargeted"
    return "targeted" if all(targeted) else "untargeted and targeted"


def _access(attacks: Sequence[AttackInfo]) -> str:
    blind = [{*(attack.components or [attack.method])} <= {*_BLIND} for attack in attacks]
    if not any(blind):
        return "white box"
    return "black box (scores or decisions)" if all(blind) else "white box and black box"


def _blind(attacks: Sequence[AttackInfo]) -> list[str]:
    parts = {str(name) for attack in attacks for name in (attack.components or [attack.method])}
    return sorted(parts & set(_BLIND))


def _diverse(attacks: Sequence[AttackInfo]) -> Answer:
    if blind := _blind(attacks):
        return Answer("Use attacks without gradients, too", "yes", ", ".join(blind))
    return Answer("Use attacks without gradients, too", "no", "all attacks of the suite follow gradients")


def _finding(record: Record, question: str, checks: Sequence[str], otherwise: str) -> Answer:
    """``no`` with the message if one of the checks objected."""
    found = [note for note in record.findings if note.check in checks and note.level in _SERIOUS]
    if found:
        return Answer(question, "no", "; ".join(f"{note.check}: {note.message}" for note in found))
    return Answer(question, "yes" if record.grade else "partly", otherwise)
