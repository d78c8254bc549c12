"""The study's tables and figures, counted again from runs of the suites ``paper`` and ``paper-steps``.

The study is "Towards Robust Neural Networks": five ResNet-18 on traffic signs, one for each defense regime, compared
under FGSM and PGD while epsilon or the number of steps grows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.base.text import percent
from leaderboard import row_text, wording
from leaderboard.figures.plots import Curve, Panel, Point
from leaderboard.render.json import score_data
from leaderboard.render.markdown import escape, grid
from leaderboard.rows import Score
from leaderboard.runs.record import CLEAN_PLACE, Place, Record
from leaderboard.tables.statistics import ALPHA, Paired, compare_pair, holm
from leaderboard.tables.tables import choose, grouped

MODELS = ("standard", "fgsm", "fast_fgsm", "trades", "a2s")
"""The study's five regimes, under the names of the zoo's checkpoints."""
TWIN, PRETRAINED = "standard", "a2s"
SUITES = ("paper", "paper-steps")
STUDY_CLEAN = {"standard": 96.64, "fgsm": 97.49, "fast_fgsm": 97.7, "trades": 80.5}
"""Clean accuracy in %, the study's table I; on a random split in which frames of one sign fall on both sides."""


@dataclass(frozen=True)
class Difference:
    """The pre-trained model against its twin in one cell."""

    place: Place
    paired: Paired
    p_holm: float


def by_model(records: Sequence[Record], suite: str, regimes: Mapping[str, str] | None = None) -> dict[str, Record]:
    """The run that speaks for each of the study's regimes under `suite`, in the study's order.

    `regimes` says of which regime a model is; without it, the zoo's checkpoints are named as their regimes. Runs that
    cannot stand in one table (other data, other n, an edited suite) are not mixed: the largest group counts.
    """
    groups = [group for group in grouped(records) if group[0].info.suite.name == suite]
    best: dict[str, Record] = {}
    for group in groups:
        chosen, _ = choose(group)
        names = {record.info.model.name: record for record in chosen}
        found = names if regimes is None else {regimes[name]: names[name] for name in names if name in regimes}
        if len(found.keys() & set(MODELS)) > len(best):
            best = {name: found[name] for name in MODELS if name in found}
    return best


def steps_of(record: Record) -> dict[str, int]:
    """Attack id to number of steps, ascending, of the attacks that have steps."""
    attacks = record.info.suite.attacks
    steps = {attack.id: int(attack.params["steps"]) for attack in attacks if "steps" in attack.params}
    return dict(sorted(steps.items(), key=lambda item: item[1]))


def figures(paper: Mapping[str, Record], steps: Mapping[str, Record]) -> dict[str, Panel]:
    """The stress tests as panels to draw, by file name; cells without a number leave a gap."""
    twins = {name: record for name, record in paper.items() if name in (TWIN, PRETRAINED)}
    found = {
        "fgsm-epsilon": _over_epsilon("FGSM while epsilon grows", paper, ("fgsm",)),
        "pgd-epsilon": _over_epsilon("PGD-20 while epsilon grows", paper, ("pgd-20",)),
        "a2s-standard": _over_epsilon("Standard training with and without A2S", twins, ("fgsm", "pgd-20")),
    }
    if steps:
        epsilon = _last_epsilon(steps)
        curves: list[Curve] = []
        ticks: dict[float, str] = {}
        for name, record in steps.items():
            counts = steps_of(record)
            ticks |= {float(count): str(count) for count in counts.values()}
            places = [((attack, epsilon), float(count)) for attack, count in counts.items()]
            curves.append(Curve(name, _points(record, places)))
        title = f"PGD at {epsilon} while the steps grow"
        found["pgd-steps"] = Panel(title=title, xlabel="steps", curves=tuple(curves), ticks=ticks, log=True)
    return {name: panel for name, panel in found.items() if not panel.empty}


def _over_epsilon(title: str, records: Mapping[str, Record], attacks: Sequence[str]) -> Panel:
    curves = []
    ticks = {0.0: "0"}
    for model, record in records.items():
        ticks |= {epsilon.value: epsilon.label for epsilon in record.info.suite.grid}
        for attack in attacks:
            places = [((attack, label), epsilon) for epsilon, label in ticks.items() if label != "0"]
            name = f"{model}, {attack}" if len(attacks) > 1 else model
            curves.append(Curve(name, _points(record, [(CLEAN_PLACE, 0.0), *places])))
    short = {x: label.removesuffix("/255") for x, label in ticks.items()}
    return Panel(title=title, xlabel="epsilon, in 1/255", curves=tuple(curves), ticks=short)


def _points(record: Record, places: Sequence[tuple[Place, float]]) -> tuple[Point, ...]:
    points = []
    for place, x in places:
        score = record.scores[place]
        low, high = score.ci95 or (math.nan, math.nan)
        points.append(Point(x, math.nan if score.accuracy is None else score.accuracy, low, high))
    return tuple(points)


def _last_epsilon(records: Mapping[str, Record]) -> str:
    label: str = next(iter(records.values())).info.suite.labels[-1]
    return label


def differences(paper: Mapping[str, Record]) -> list[Difference]:
    """The pre-trained model minus its twin, on the same images, Holm-corrected over the cells."""
    if not {TWIN, PRETRAINED} <= paper.keys():
        return []
    a, b = paper[PRETRAINED], paper[TWIN]
    common = [place for place in a.survivors if place in b.survivors and place[0] != "worst"]
    pairs = [compare_pair(a.survivors[place], b.survivors[place]) for place in common]
    adjusted = holm([pair.p for pair in pairs])
    return [Difference(place, pair, p) for place, pair, p in zip(common, pairs, adjusted, strict=True)]


def as_markdown(paper: Mapping[str, Record], steps: Mapping[str, Record]) -> str:
    """Clean accuracies beside the study's, the stress tests as tables, and what pre-training changes."""
    parts = ["## Clean accuracy", wording.INTERVALS, _clean_table(paper)]
    for attack in ("fgsm", "pgd-20"):
        parts += [f"## {attack} while epsilon grows", _epsilon_table(paper, attack)]
    if steps:
        epsilon = _last_epsilon(steps)
        parts += [f"## PGD at {epsilon} while the number of steps grows", _steps_table(steps, epsilon)]
    rows = [_difference_row(difference) for difference in differences(paper)]
    if rows:
        intro = (
            "Same images; 95 % paired bootstrap intervals over images; p of the exact McNemar test, Holm-corrected over"
            f" {len(rows)} cells, significant at {100 * ALPHA:g} %. One training each: training seeds are not covered."
        )
        header = ("cell", f"{PRETRAINED} - {TWIN}, points", "only " + PRETRAINED, "only " + TWIN, "p", "significant")
        parts += [f"## {PRETRAINED} against its twin {TWIN}", intro, grid(header, rows, left=1)]
    return "\n\n".join(parts) + "\n"


def _clean_table(paper: Mapping[str, Record]) -> str:
    rows = []
    for name, record in paper.items():
        claims = (record.info.card or {}).get("claims") or {}
        data = record.info.data.name
        claim = claims.get(data)
        study = STUDY_CLEAN.get(name)
        rows.append(
            [
                escape(name),
                "–" if study is None else f"{study:g}",
                "–" if claim is None else f"{100 * claim['accuracy']:.2f} (n = {claim['n']:,})",
                row_text.score_text(record.scores[CLEAN_PLACE]),
            ]
        )
    first = next(iter(paper.values()))
    data, n = escape(first.info.data.name), first.info.data.n
    header = ("model", "study, %", f"card, % of all {data}", f"these runs, % of n = {n:,} [95 %]")
    return grid(header, rows, left=1)


def _epsilon_table(paper: Mapping[str, Record], attack: str) -> str:
    labels = next(iter(paper.values())).info.suite.labels
    rows = [[escape(name), *(_cell(record, (attack, label)) for label in labels)] for name, record in paper.items()]
    return grid(("model", *labels), rows, left=1)


def _steps_table(steps: Mapping[str, Record], epsilon: str) -> str:
    counts = steps_of(next(iter(steps.values())))
    rows = [[escape(name), *(_cell(record, (attack, epsilon)) for attack in counts)] for name, record in steps.items()]
    return grid(("model", *(str(count) for count in counts.values())), rows, left=1)


def _cell(record: Record, place: Place) -> str:
    score = record.scores[place]
    return percent(score.accuracy) if score.status == "ok" else score.status


def _difference_row(difference: Difference) -> list[str]:
    attack, label = difference.place
    low, high = difference.paired.interval
    return [
        "clean" if difference.place == CLEAN_PLACE else escape(f"{attack} {label}"),
        f"{100 * difference.paired.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        str(difference.paired.only_a),
        str(difference.paired.only_b),
        f"{difference.p_holm:.2g}",
        "yes" if difference.p_holm <= ALPHA else "no",
    ]


def as_data(paper: Mapping[str, Record], steps: Mapping[str, Record]) -> dict[str, Any]:
    """The same as JSON-able data."""
    suites = zip(SUITES, (paper, steps), strict=True)
    runs = {suite: {name: record.folder.name for name, record in found.items()} for suite, found in suites}
    return {
        "study_clean": STUDY_CLEAN,
        "runs": runs,
        "cells": [
            _cell_data(suite, name, score)
            for suite, found in zip(SUITES, (paper, steps), strict=True)
            for name, record in found.items()
            for score in record.scores.values()
        ],
        "differences": [_difference_data(difference) for difference in differences(paper)],
    }


def _cell_data(suite: str, model: str, score: Score) -> dict[str, Any]:
    return {"suite": suite, "model": model, **score_data(score)}


def _difference_data(difference: Difference) -> dict[str, Any]:
    attack, label = difference.place
    paired = difference.paired
    return {
        "attack": attack,
        "epsilon_label": label,
        "difference": paired.difference,
        "ci95": list(paired.interval),
        "only_a2s": paired.only_a,
        "only_standard": paired.only_b,
        "p_holm": difference.p_holm,
    }
