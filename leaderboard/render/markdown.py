"""Tables as GitHub-flavored markdown: pure and byte-stable; names from strangers stay text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence

from harness.base.text import percent
from leaderboard import row_text, wording
from leaderboard.estimates import ESTIMATED
from leaderboard.rows import Table
from leaderboard.tables.corrupted import kept, kind_accuracy, overall
from leaderboard.text import one_line, short_hash

_SPECIAL = re.compile(r"[\\`*\[\]~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
_LONG = 400
"""Characters of a sentence, which may be longer than a name."""


def render(tables: Sequence[Table], pictures: Mapping[int, str] | None = None, about: str = "") -> str:
    """The leaderboard as markdown, with a section for each table.

    Args:
        tables: The tables.
        pictures: For each table by place, the picture that stands above it: a path in the folder of the file.
        about: A paragraph of markdown under the heading.
    """
    parts = ["# Leaderboard", *([about] if about else [])]
    if not tables:
        parts.append("No runs.")
    for place, (table, title) in enumerate(zip(tables, wording.titles(tables), strict=True)):
        parts += [f"## {escape(title, _LONG)}", *_section(table, title, (pictures or {}).get(place))]
    return "\n\n".join(parts) + "\n"


def render_folded(tables: Sequence[Table], pictures: Mapping[int, str], about: str) -> str:
    """The same for a file that people open first: the most prominent table in short and its curves; the rest folds out.

    Other tables of AutoAttack's verdict stand in short behind it, and those of corruptions.

    Args:
        tables: The tables, at least one.
        pictures: As in `render`.
        about: As in `render`.
    """
    titles = wording.titles(tables)
    first, *others = sorted(range(len(tables)), key=lambda place: tables[place].prominence, reverse=True)
    parts = ["# Leaderboard", about, *_short(tables[first], titles[first])]
    if first in pictures:
        parts.append(_picture(titles[first], pictures[first]))
    for place in others:
        if tables[place].autoattack or tables[place].threat == "corruption":
            parts += _short(tables[place], titles[place])
    parts.append("## Everything")
    for place, (table, title) in enumerate(zip(tables, titles, strict=True)):
        shown = pictures.get(place) if place != first else None
        inside = "\n\n".join(_section(table, title, shown))
        summary = html.escape(one_line(title, _LONG))
        parts.append(f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _section(table: Table, title: str, picture: str | None) -> list[str]:
    shown = [_picture(title, picture)] if picture else []
    scores = _corruptions(table) if table.threat == "corruption" else [_scores(table)]
    return [_intro(table), *shown, *scores, *_estimates(table), *_twins(table), _evidence(table), *_notes(table)]


def _picture(title: str, path: str) -> str:
    return f"![Curves of {escape(title, _LONG)}]({path})"


def _short(table: Table, title: str) -> list[str]:
    return [f"## {escape(title, _LONG)}", _headline(table), _under_headline(table)]


def _headline(table: Table) -> str:
    """Attacks on all samples at the largest epsilon, the worst case at all; of corruptions the means alone."""
    last = table.grid[-1]
    alone = table.worst_is_attack or table.threat == "corruption"
    attacks = [] if alone else [column.attack for column in table.attacks if column.n is None]
    header = ["rank", "model", "trained for", "grade", "clean"]
    header += [escape(f"{wording.column_name(table, attack)} {last}") for attack in attacks]
    header += [escape(wording.worst_at(table, label)) for label in reversed(table.grid)]
    rows = []
    for row in table.rows:
        count = len(table.grid)
        cells = [score for score in row.cells[count - 1 :: count] if score.attack in attacks]
        named = [row_text.rank_text(row), escape(row.label), escape(row.trained_for or "–"), escape(row.grade or "–")]
        rows.append(named + [row_text.score_text(score) for score in (row.clean, *cells, *reversed(row.worst))])
    return grid(header, rows, left=4)


def _under_headline(table: Table) -> str:
    ranked = table.ranking.epsilon_label if table.ranking else table.grid[-1]
    scores = [score for row in table.rows for score in row.worst]
    estimated = " *est.*: an estimate; its factors stand below." if any(s.status == ESTIMATED for s in scores) else ""
    text = (
        f"Accuracies in % with 95 % intervals; n = {wording.n_text(table)}. Rows rank by"
        f" {wording.worst_at(table, ranked)}; where ranks overlap, the rows are not told apart."
    )
    return escape(text, _LONG) + estimated


def escape(text: object, limit: int | None = None) -> str:
    """`text` as one line of markdown that renders as itself: no markup, HTML, table cell, link or mention in it.

    It may still open a block (a list, a heading) at the start of a line, so something has to stand before it.
    """
    shown = one_line(text, limit) if limit else one_line(text)
    shown = _SPECIAL.sub(r"\\\g<0>", shown)
    shown = "".join(_ENTITIES.get(char, char) for char in shown)
    shown = shown.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
    return re.sub(r"@(?=[A-Za-z])", "&#64;", shown)


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A markdown table of escaped cells; the first `left` columns are aligned left, the others right."""
    lines = [header, [":--" if place < left else "--:" for place in range(len(header))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _intro(table: Table) -> str:
    sentences = (
        wording.holds_text(table),
        wording.intervals_text(table),
        wording.worst_text(table),
        wording.ranking_text(table),
    )
    return "\n".join(escape(sentence, 2 * _LONG) for sentence in sentences)


def _scores(table: Table) -> str:
    header = ["rank", "model", "defense", "trained for", "grade", "clean"]
    header += [
        escape(f"{wording.column_name(table, attack.attack)} {label}")
        for attack in table.columns
        for label in table.grid
    ]
    if not table.worst_is_attack:
        header += [escape(wording.worst_at(table, label)) for label in table.grid]
    rows = []
    for row in table.rows:
        named = [row_text.rank_text(row), escape(row.label), escape(row.defense or "–")]
        named += [escape(row.trained_for or "–"), escape(row.grade or "–")]
        tried = [row.score(column.attack, label) for column in table.adapted for label in table.grid]
        shown = (row.clean, *row.cells, *tried, *(() if table.worst_is_attack else row.worst))
        rows.append(named + [row_text.score_text(score) if score else "–" for score in shown])
    return grid(header, rows, left=5)


def _corruptions(table: Table) -> list[str]:
    """Means up the severities, and below them each kind's mean over severities; csv and json have every cell."""
    header = ["rank", "model", "defense", "trained for", "grade", "clean"]
    header += [escape(wording.worst_at(table, label)) for label in table.grid]
    header += ["mean of all", "kept"] + ([escape(f"error, {table.baseline} = 1")] if table.baseline else [])
    kinds = [column.attack for column in table.attacks]
    means, by_kind = [], []
    for row in table.rows:
        named = [row_text.rank_text(row), escape(row.label), escape(row.defense or "–")]
        named += [escape(row.trained_for or "–"), escape(row.grade or "–")]
        named += [row_text.score_text(score) for score in (row.clean, *row.worst)]
        relative = "–" if row.relative is None else f"{row.relative:.2f}"
        named += [percent(overall(row)), percent(kept(row)), *([relative] if table.baseline else [])]
        means.append(named)
        by_kind.append([escape(row.label), *(percent(kind_accuracy(row, kind)) for kind in kinds)])
    told = "Accuracy by kind, mean over severities:"
    return [grid(header, means, left=5), told, grid(["model", *map(escape, kinds)], by_kind, left=1)]


def _estimates(table: Table) -> list[str]:
    """How the estimates came about, where there are any."""
    rows = [[escape(text) for text in texts] for texts in wording.estimate_texts(table)]
    return ["How the estimates came about:", grid(wording.ESTIMATE_HEADER, rows, left=1)] if rows else []


def _twins(table: Table) -> list[str]:
    """Contrastive pre-training against its twin without, where the table has both."""
    found = []
    for pair in table.pairs:
        if not pair.twins:
            continue
        header = [
            "cell",
            "difference, points",
            "95 % interval",
            "only pre-trained right",
            "only twin right",
            "p",
            "significant",
        ]
        rows = [[escape(text) for text in wording.difference_texts(table, cell)] for cell in pair.cells]
        found += [escape(wording.twins_text(table, pair), _LONG), grid(header, rows, left=1)]
    return found


def _evidence(table: Table) -> str:
    header = ["model", "weights", "run", "mode", "slice", "device", "versions", "findings", "adaptations", "verified"]
    header += ["seed", "n"]
    header += ["forwards", "backwards", "seconds"]
    rows = [
        [
            escape(row.label),
            escape(short_hash(row.weights)),
            escape(row.run),
            escape(table.mode),
            escape(wording.slice_text(table)),
            escape(row.device),
            escape(row_text.versions_text(table, row), _LONG),
            escape(row_text.findings_text(row)),
            escape(row_text.adaptations_text(row)),
            escape(row.verified),
            str(row.seed),
            wording.n_text(table),
            f"{row.forwards:,}",
            f"{row.backwards:,}",
            row_text.seconds_text(row),
        ]
        for row in table.rows
    ]
    return grid(header, rows, left=10)


def _notes(table: Table) -> list[str]:
    """Findings and caveats, and the runs that are not shown."""
    findings = [f"- {escape(text, 2 * _LONG)}" for text in wording.finding_texts(table)]
    others = [
        f"- run {escape(other.run)} of {escape(other.label)}: {escape(other.status)}, {other.reason}"
        f"{', finished ' + escape(other.finished) if other.finished else ''}"
        for other in table.others
    ]
    parts = [["Findings and caveats:", "", *findings]] if findings else []
    parts += [["Runs of these models that are not shown:", "", *others]] if others else []
    return ["\n".join(lines) for lines in parts]
