"""Tables as one HTML file that needs nothing else: no network, no server, no second file. Pure and byte-stable.

Everything that a reader needs stands in the document as plain tables, also without scripts; the script sorts, filters,
switches and draws charts. Text from strangers goes through `leaderboard.text.one_line` and Jinja's escaping, or into a
block of JSON that is data to the script; a content security policy forbids the page every address.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from leaderboard import row_text, wording
from leaderboard.figures.gallery import caption
from leaderboard.render.html import charts
from leaderboard.render.html.data import DANGERS, DRAWN, ModelKey, model_keys, run_data, table_data, titles_and_tables
from leaderboard.rows import WORST, Column, Row, Score, Table
from leaderboard.tables.detail import class_name, top_confusions
from leaderboard.text import one_line, short_hash

if TYPE_CHECKING:
    from leaderboard.compare.gate import Ruling

TITLE = "Robustness leaderboard"
SHOWN_CONFUSIONS = 20
"""Rows of a confusion table; the chart beside it has all of them."""
_LONG = 600
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Measured:
    """One model in one table, as a section of its page."""

    title: str
    table: Table
    row: Row
    number: int
    """Place of its data among all rows of all tables."""

    @property
    def columns(self) -> list[Column]:
        """The attacks that this model was measured under."""
        return [column for column in self.table.columns if column.attack in self.row.tools]

    @property
    def lines(self) -> list[tuple[str, list[Score]]]:
        """Each attack, and the worst case, with its scores up the grid."""
        names = [column.attack for column in self.columns]
        cells = (*self.row.cells, *self.row.adapted)
        scores = {name: [score for score in cells if score.attack == name] for name in names}
        found = [(wording.column_name(self.table, name), scores[name]) for name in names]
        return found if self.table.worst_is_attack else [*found, (wording.worst_name(self.table), list(self.row.worst))]


@dataclass(frozen=True)
class Page:
    """Everything about one model."""

    number: int
    name: str
    weights: str
    runs: tuple[Measured, ...]

    @property
    def first(self) -> Row:
        """The row that speaks for what all have in common: defense, card, architecture."""
        return self.runs[0].row


def render(tables: Sequence[Table], title: str = "", verdicts: Sequence[Ruling] | None = None) -> str:
    """The leaderboard as HTML.

    Args:
        tables: The tables.
        title: What the page is called; empty for its usual title.
        verdicts: Of `leaderboard.compare.gate`, to stand above everything; None for none.
    """
    named = titles_and_tables(tables)
    first = max(range(len(tables)), key=lambda place: tables[place].prominence, default=None)
    numbers = model_keys(tables)
    measured = [Measured(title, table, row, 0) for title, table in named for row in table.rows]
    measured = [Measured(m.title, m.table, m.row, place) for place, m in enumerate(measured)]
    data = {
        "charts": charts.specifications(),
        "colors": len(charts.COLORS),
        "dangers": DANGERS,
        "tables": [table_data(table, numbers) for table in tables],
        "runs": [run_data(m.row, m.table.grid) | {"table": tables.index(m.table)} for m in measured],
    }
    template = _environment().get_template("leaderboard.html")
    return template.render(
        title=title or TITLE,
        measured=max((row.finished[:10] for table in tables for row in table.rows), default=""),
        verdicts=verdicts,
        named=named,
        first=first,
        numbers=numbers,
        pages=_pages(measured, numbers),
        data=data,
        scripts=Markup(charts.scripts()) if tables else "",  # the installed package's own script
    )


def _pages(measured: Sequence[Measured], numbers: Mapping[ModelKey, int]) -> list[Page]:
    found = []
    for (name, weights), number in numbers.items():
        runs = [m for m in measured if (m.row.model, m.row.weights) == (name, weights)]
        runs.sort(key=lambda m: m.table.prominence, reverse=True)
        found.append(Page(number, name, weights, tuple(runs)))
    return found


def _prose(text: object) -> Markup:
    """Text of several words, escaped; what stands between backticks is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(one_line(text, _LONG)))))


def _environment() -> Environment:
    found = Environment(
        autoescape=True,
        loader=PackageLoader("leaderboard.render.html", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    found.filters |= {"line": one_line, "long": lambda text: one_line(text, _LONG), "prose": _prose, "hash": short_hash}
    found.filters |= {"png": lambda image: base64.b64encode(image).decode(), "flat": flat, "caption": caption}
    found.globals |= {
        "wording": wording,
        "row_text": row_text,
        "columns": columns,
        "drawn": DRAWN,
        "percent": lambda share: f"{100 * share:.1f}",
        "class_name": class_name,
        "confusions": lambda row, label: top_confusions(row.detail.confusions, label, SHOWN_CONFUSIONS),
        "source": lambda name: Markup(_source(name)),  # our own files
    }
    return found


def _source(name: str) -> str:
    text, _, _ = PackageLoader("leaderboard.render.html", "templates").get_source(Environment(autoescape=True), name)
    return text


def columns(table: Table, row: Row | None = None, *, first: bool) -> list[tuple[str, str, str, Score | None]]:
    """Attack, tool, epsilon label and (of a row) score of the columns of the worst case, or else of the others.

    The worst case comes first, so that a phone shows it; where one attack is the worst case, that attack does.
    """
    attacks = [(column.attack, column.tool) for column in table.columns]
    worst = attacks if table.worst_is_attack else [(WORST, "all")]
    attacks = worst if first else [attack for attack in attacks if attack not in worst]
    return [(a, tool, label, row.score(a, label) if row else None) for a, tool in attacks for label in table.grid]


def flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as pairs of dotted names and text; what is empty is left out."""
    found: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            found.append((f"{prefix}{key}", ", ".join(map(str, value))))
        elif value not in (None, ""):
            found.append((f"{prefix}{key}", str(value)))
    return [(name, text) for name, text in found if text]
