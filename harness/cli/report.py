"""How a run looks while it goes on, and the table at its end."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.base.modes import MODES
from harness.base.text import percent
from harness.evidence.autoattack import worst_name
from harness.evidence.corrupted import average, family
from harness.evidence.summary import about_estimates, data_words, mode_words, worst_words
from harness.run.job import Run
from harness.trust.diagnosis.proposals import open_proposals
from harness.types import Finding


def print_result(run: Run) -> None:
    """The result table on stdout: accuracies in percent with 95 % Wilson intervals, mode, tools and run folder."""
    summary = run.summary
    console = Console() if sys.stdout.isatty() else Console(width=160)
    clean = summary["clean"]
    console.print(
        f"{summary['model']} on {data_words(summary)}:"
        f" clean accuracy {percent(clean['accuracy'], clean['ci95'])} %",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    if run.info.suite.threat == "corruption":
        _print_corruptions(console, run)
    else:
        _print_attacks(console, run)
    for finding in summary["findings"]:
        words = f"{finding['level']}: {finding['check']}: {finding['message']}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)
    told = "" if run.info.suite.threat == "corruption" else f"{_adaptations(run)}; "
    forwards = sum(cell["forwards"] for cell in summary["cells"])
    backwards = sum(cell["backwards"] for cell in summary["cells"])
    console.print(
        f"{forwards:,} forwards, {backwards:,} backwards{_useful(summary, backwards)}, {summary['seconds']:.1f} s"
        f"{_memory(summary)} on {run.info.device.name};"
        f" grade {summary['grade'] or '–'}; {told}evidence in {summary['run']}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _print_corruptions(console: Console, run: Run) -> None:
    """Accuracy on every image by kind and severity, and their means; what is kept of those that are right clean."""
    summary = run.summary
    grid = summary["grid"]
    table = Table(
        "kind", "family", *(f"severity {label}" for label in grid), "mean", "kept",
        title=f"accuracy on every image, %, suite {summary['suite']}; kept: of the images that are right clean",
        title_justify="left",
    )  # fmt: skip
    for attack in run.info.suite.attacks:
        cells = {cell["epsilon_label"]: cell for cell in summary["cells"] if cell["attack"] == attack.id}
        shares = [[(cells.get(label) or {}).get(name) for label in grid] for name in ("robust_accuracy", "kept")]
        shown = [_cell(cells.get(label)).partition(" ")[0] for label in grid]
        table.add_row(Text(attack.id), family(attack), *shown, *(percent(average(row)) for row in shares))
    rows = summary["means"]
    means = [percent(row["accuracy"], row["ci95"]) for row in rows]
    table.add_row("mean", "", *means, percent(summary["mean"]), percent(average([row["kept"] for row in rows])))
    console.print(table)


def _print_attacks(console: Console, run: Run) -> None:
    """Robust accuracy by attack and epsilon, and the worst case."""
    summary = run.summary
    grid = summary["grid"]
    table = Table(
        "attack", "tool", *(f"{run.info.suite.ruler} {label}" for label in grid),
        title=f"robust accuracy, % [95 % interval over images], suite {summary['suite']}, {mode_words(summary)}",
        title_justify="left",
    )  # fmt: skip
    attacks = {attack.id: attack for attack in run.info.suite.attacks}
    for name, attack in attacks.items():
        cells = {cell["epsilon_label"]: cell for cell in summary["cells"] if cell["attack"] == name}
        shown = [_cell(cells.get(label)) for label in grid]
        drawn = "" if attack.n is None else f", n={run.info.samples_of(attack):,}"
        edited = " (edited)" if name in (run.info.suite.edited or ()) else ""
        tool = f"{attack.tool} {attack.tool_version or 'not installed'}"
        table.add_row(Text(f"{name}{drawn}{edited}"), tool, *shown)
    worst = {row["epsilon_label"]: row for row in summary["worst_case"]}
    if len(attacks) > 1:
        rows = [worst.get(label, {}) for label in grid]
        table.add_row(worst_name(run.info), "", *(worst_words(row) for row in rows))
    console.print(table)
    if words := about_estimates(summary):
        console.print(words, markup=False, highlight=False, soft_wrap=True)
    if MODES[summary["mode"]].shares:
        taken = sum(cell.get("transferred", 0) for cell in summary["cells"])
        console.print(
            "mode worst-case: attacks are not run on what others broke, so only the worst case is a result; an attack's"
            f" row is the union of it and those above it ({taken:,} witnesses taken over)",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    if MODES[summary["mode"]].halves:
        implied = sum(cell.get("implied", 0) for cell in summary["cells"])
        console.print(
            f"mode bisection: {implied:,} survivals are implied by one at a larger epsilon and were not attacked; at"
            " the smaller epsilons the attack had fewer chances than in mode observed",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _adaptations(run: Run) -> str:
    """Whether adapted attacks were tried, and what suggests one that was not."""
    tried = sum(attack.adapt is not None for attack in run.info.suite.attacks)
    waiting = open_proposals(run.info.suite.attacks, [Finding(**one) for one in run.summary["findings"]])
    words = f"{tried} adaptations tried" if tried else "no adaptation tried"
    if tried == 1:
        words = words.replace("adaptations", "adaptation")
    checks = ", ".join(dict.fromkeys(one.check for one in waiting))
    return f"{words}, {checks} suggest one (--adapt auto)" if checks else words


def _useful(summary: dict[str, Any], backwards: int) -> str:
    """The share of backward passes that could change a result, where it is known of all cells."""
    shares = [(cell.get("useful_gradients"), cell["backwards"]) for cell in summary["cells"] if cell["backwards"]]
    if not backwards or any(share is None for share, _ in shares):
        return ""
    return f" ({100 * sum(share * count for share, count in shares) / backwards:.1f} % useful)"


def _memory(summary: dict[str, Any]) -> str:
    peaks = [cell["peak_memory"] for cell in summary["cells"] if cell.get("peak_memory") is not None]
    return f", peak memory {max(peaks) / 2**30:.2f} GiB" if peaks else ""


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "missing"
    if cell["status"] != "ok":
        return str(cell["status"])
    return percent(cell["robust_accuracy"], cell["ci95"])
