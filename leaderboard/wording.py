"""What a table says of itself in every readable format, unescaped; each renderer escapes it its own way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.base.modes import MODES
from harness.evidence.autoattack import VERDICT, WORST_CASE
from harness.evidence.findings import NOTHING_MORE
from harness.trust.verify.verdict import NO
from leaderboard.estimates import Estimate
from leaderboard.row_text import score_text
from leaderboard.rows import CLAIMED, CLEAN, WORST, Difference, Pair, Table
from leaderboard.text import short_hash

INTERVALS = (
    "Accuracies are in % of all samples, with 95 % Wilson intervals; an interval covers the choice of images, not the"
    " seed of attack or training."
)
ACCURACIES = "Accuracies are in % of all samples."
PATCH = "patch"
"""What tables say instead of a norm where a part of the image may be covered."""


def titles(tables: Sequence[Table]) -> list[str]:
    """A heading for each table; where two would read alike, what they differ in is added."""
    plain = [_title(t) for t in tables]
    found = []
    for table, title in zip(tables, plain, strict=True):
        alike = [other for other, name in zip(tables, plain, strict=True) if name == title]
        details: dict[str, set[object]] = {
            f"n = {table.n:,}": {t.n for t in alike},
            f"{level_name(table)} {', '.join(table.grid)}": {t.grid for t in alike},
            f"slice {slice_text(table)}": {slice_text(t) for t in alike},
            f"definition {definition_text(table)}": {definition_text(t) for t in alike},
        }
        found.append(", ".join([title, *(text for text, values in details.items() if len(values) > 1)]))
    return found


def _title(table: Table) -> str:
    if table.threat == "corruption":
        return f"{table.data}, corruptions, {suite_text(table)}"
    return f"{table.data}, {table.norm}, {suite_text(table)}, {table.mode}"


def level_name(table: Table) -> str:
    """What the grid is made of."""
    return {"corruption": "severity", PATCH: "covered share"}.get(table.threat, "epsilon")


def cell_name(table: Table, cell: Difference) -> str:
    """``pgd-20 8/255``; the worst case as its column is called (`worst_at`)."""
    if cell.attack == CLEAN:
        return CLEAN
    if cell.attack == WORST:
        return worst_at(table, cell.epsilon_label)
    return f"{cell.attack} {cell.epsilon_label}"


def suite_text(table: Table) -> str:
    """``suite pgd@1``, or ``joined: fgsm-pgd@1 on 2,000 x standard@1 on 200``."""
    if table.joined is None:
        return f"suite {table.suite}"
    return f"joined: {' x '.join(f'{part.suite} on {part.n:,}' for part in (table.joined.cheap, table.joined.dear))}"


def n_text(table: Table) -> str:
    """How many samples, of joined runs on how many each."""
    return f"{table.n:,}" if table.joined is None else f"{table.n:,} x {table.joined.dear.n:,}"


def slice_text(table: Table) -> str:
    """The hash of the samples, of joined runs both."""
    found = short_hash(table.slice)
    return found if table.joined is None else f"{found} x {short_hash(table.joined.dear.slice)}"


def definition_text(table: Table) -> str:
    """The hash of the attacks, of joined runs both."""
    return table.definition if table.joined is None else f"{table.definition} x {table.joined.dear.definition}"


def holds_text(table: Table) -> str:
    """What the table holds: everything that its rows share."""
    meaning = f": {MODES[table.mode].words}" if table.mode in MODES else ""
    outside = " Outside the board, which lists no run of this suite on this slice." if table.outside else ""
    if table.threat == "corruption":
        kinds, grid = len(table.attacks), ", ".join(table.grid)
        return (
            f"{kinds} kinds of corruption at severity {grid}; data {table.data}, n = {table.n:,}, slice"
            f" {slice_text(table)}; suite {table.suite}, definition {table.definition}. Accuracy counts every image;"
            f" kept is the share of those that are right clean.{outside}"
        )
    threat = f"Threat model {threat_text(table.norm, table.grid)}; data {table.data}"
    end = f"mode {table.mode}{meaning}.{outside}"
    if table.joined is None:
        suite = f"suite {table.suite}, definition {table.definition}"
        return f"{threat}, n = {table.n:,}, slice {slice_text(table)}; {suite}; {end}"
    cheap, dear = table.joined.cheap, table.joined.dear
    own = ", adapted ones with an n the second's" if any(column.n is not None for column in table.adapted) else ""
    return (
        f"{threat}; each row joins two runs of one model: suite {cheap.suite}, definition {cheap.definition}, on"
        f" n = {cheap.n:,}, slice {short_hash(cheap.slice)}, and suite {dear.suite}, definition {dear.definition}, on"
        f" the first {dear.n:,} of them, slice {short_hash(dear.slice)}; clean accuracy and single attacks are the"
        f" first run's{own}; {end}"
    )


def threat_text(norm: str, grid: Sequence[str]) -> str:
    """``linf at epsilon 2/255, 8/255``, or the shares of the image that a patch covers."""
    if norm.startswith(PATCH):
        return f"{norm}: all pixels under a square that covers at most {', '.join(grid)} of the image"
    return f"{norm} at epsilon {', '.join(grid)}"


def axis(table: Table, xlabel: str) -> str:
    """Name of the axis of epsilons, of which `xlabel` says the unit."""
    if table.threat == "corruption":
        return "severity"
    if table.norm == "l0":
        return "changed pixels"
    return "covered share of the image" if table.threat == PATCH else f"{table.norm} {xlabel}"


def worst_name(table: Table) -> str:
    """What the worst case is called: AutoAttack's verdict only if its four standard parts stand in it."""
    if table.threat == "corruption":
        return "mean over kinds"
    return VERDICT if table.autoattack else WORST_CASE


def worst_at(table: Table, label: str) -> str:
    """``AutoAttack's verdict 8/255``; ``mean over kinds, severity 3``."""
    return f"{worst_name(table)}{', severity' if table.threat == 'corruption' else ''} {label}"


def column_name(table: Table, attack: str) -> str:
    """``pgd-20``, `worst_name`, or ``square (first 300)`` of an attack that ran on a part of the samples.

    ``square (first 300 to 450)`` where rows differ in that.
    """
    if attack == WORST:
        return worst_name(table)
    column = next((column for column in table.columns if column.attack == attack and column.n is not None), None)
    return attack if column is None else f"{attack} (first {_range([n for n in (column.n, column.most) if n])})"


def _range(counts: Iterable[int]) -> str:
    """``384``, or ``384 to 512`` of counts that differ."""
    least, most = min(found := list(counts)), max(found)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def worst_text(table: Table) -> str:
    """What the worst case is in this table."""
    if table.threat == "corruption":
        text = "The mean over kinds is of accuracies at one severity; nothing is inherited from milder ones."
        if table.baseline is None:
            return text
        return (
            f"{text} Relative error: the mean over kinds of the errors, summed over severities, divided by those of"
            f" {table.baseline}."
        )
    if table.worst_is_attack:
        return f"The worst case is {table.attacks[0].attack} itself: it is the only attack and inherits its witnesses."
    text = "The worst case counts a sample as lost if any attack broke it at this or a smaller epsilon"
    if not (estimates := _estimates(table)):
        return f"{text}."
    return (
        f"{text} of this table. est.: an estimate, the share of all {estimates[0].factors[0].n:,} samples that"
        f" {_and(estimates[0].factors[0].attacks)} leave, times {_further(estimates)}; it is shown no higher than at a"
        " smaller epsilon."
    )


def _further(estimates: Sequence[Estimate]) -> str:
    """The factors of estimates behind the first, whose samples are a part of all."""
    attacks = {tuple(part.attacks for part in estimate.factors) for estimate in estimates}
    if len(attacks) > 1:
        return "the shares that further attacks, not the same in all rows, leave of those standing before them"
    parts = zip(*(estimate.factors[1:] for estimate in estimates), strict=True)
    shares = [
        f"the share that {_and(part[0].attacks)} leave of those standing before them among the first"
        f" {_range(one.n for one in part)}"
        for part in parts
    ]
    return ", times ".join(shares)


def intervals_text(table: Table) -> str:
    """What intervals cover."""
    if table.threat == "corruption":
        return f"{INTERVALS} Those of means are normal, over images."
    if not _estimates(table):
        return INTERVALS
    return (
        f"{INTERVALS} Intervals of estimates combine those of their factors (MOVER) and cover the accuracy on images of"
        f" this kind; those of the slice cover what all attacks would leave of these very {table.n:,} images."
    )


def _estimates(table: Table) -> list[Estimate]:
    return [score.estimate for row in table.rows for score in row.worst if score.estimate is not None]


ESTIMATE_HEADER = ("model", "epsilon", "factors", "estimate, images of this kind", "estimate, this slice", "shown")
"""Of the table that says how estimates came about, see `estimate_texts`."""


def estimate_texts(table: Table) -> list[list[str]]:
    """For each estimate: model, epsilon, factors, both intervals, and whether a smaller epsilon's is shown."""
    found = []
    for row in table.rows:
        for score in row.worst:
            if (estimate := score.estimate) is None:
                continue
            factors = " x ".join(f"{part.kept:,} of {part.drawn:,}" for part in estimate.factors)
            low, high = (f"{100 * end:.1f}" for end in estimate.of_slice)
            shown = "a smaller epsilon's" if estimate.lowered else "its own"
            found.append([row.label, score.epsilon_label, factors, score_text(score), f"[{low}, {high}]", shown])
    return found


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def ranking_text(table: Table) -> str:
    """How the rows are ranked."""
    ranking = table.ranking
    out = any(row.rank is None and row.verified in (CLAIMED, NO) for row in table.rows)
    beside = " Claims, which no board lists, and runs that verification refuted are not ranked." if out else ""
    if ranking is None:
        return f"Not ranked: at no {level_name(table)} is the {worst_name(table)} complete in all rows.{beside}"
    name = worst_name(table)
    if ranking.rows == 1:
        return f"Ranking cell: {name} at {ranking.epsilon_label}; there is only one row to rank.{beside}"
    early = any(row.rank is None and row.verified not in (CLAIMED, NO) and not row.complete for row in table.rows)
    rows = "all rows that are complete" if early else "all rows"
    pairs = f"{ranking.pairs} pairs" if ranking.pairs > 1 else "1 pair"
    return (
        f"Ranking cell: {name} at {ranking.epsilon_label}, the largest {level_name(table)} complete in {rows}. A rank"
        f" is the interval from 1 + rows significantly better to {ranking.rows} - rows significantly worse"
        f" ({_test(table)}, Holm over {pairs}, {100 * ranking.alpha:g} %).{beside}"
    )


def _test(table: Table) -> str:
    if table.threat == "corruption":
        return "a paired normal test of the images' means"
    if not _estimates(table):
        return "exact McNemar on the same samples"
    return "the difference of the two estimates, correlated by a bootstrap over the same images"


def finding_texts(table: Table) -> list[str]:
    """Findings of all rows and caveats of the attacks; witnesses of other models that broke nothing are one line."""
    told, nothing = [], dict[str, int]()
    for row in table.rows:
        for note in row.findings:
            if note.check == "P26" and note.message.endswith(NOTHING_MORE):
                nothing[row.label] = nothing.get(row.label, 0) + 1
            else:
                told.append(f"model {row.label}: {note.level} {note.check}: {note.message}")
    if nothing:
        told.append(
            f"info P26: transfer: witnesses found against other models, offered {sum(nothing.values())} times to"
            f" {_and(list(nothing))}, break 0 more samples"
        )
    return told + [f"attack {attack.attack}: {text}" for attack in table.attacks for text in attack.caveats]


def twins_text(table: Table, pair: Pair) -> str:
    """What a pair of twins compares, and how."""
    a, b = (table.rows[place].label for place in (pair.a, pair.b))
    return (
        f"Contrastive pre-training against its twin without: {a} minus {b}, on the same samples; {_pair_test(table)},"
        " Holm over these cells."
    )


def _pair_test(table: Table) -> str:
    if table.threat == "corruption":
        return "paired bootstrap over images, exact McNemar (of means: a paired normal test)"
    return f"paired bootstrap over images, exact McNemar{estimates_compared(table)}"


def estimates_compared(table: Table) -> str:
    """Behind the name of the test for counts, the one for estimates, where there are any."""
    return "" if not _estimates(table) else f" (of estimates: {_test(table)})"


def difference_texts(table: Table, cell: Difference) -> list[str]:
    """Cell, difference, interval, samples only one of the two gets right, p and whether it is significant."""
    low, high = cell.ci95
    numbers = [f"{100 * cell.difference:+.1f}", f"[{100 * low:+.1f}, {100 * high:+.1f}]"]
    counts = ["–" if count is None else f"{count:,}" for count in (cell.only_a, cell.only_b)]
    return [cell_name(table, cell), *numbers, *counts, f"{cell.p_holm:.2g}", "yes" if cell.significant else "no"]
