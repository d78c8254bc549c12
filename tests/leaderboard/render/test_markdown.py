"""The markdown, byte for byte, and names that try to be more than text."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from leaderboard.render.markdown import escape, render, render_folded
from leaderboard.runs.collect import collect
from leaderboard.tables.tables import make_tables
from leaderboard.text import one_line

E1, E8 = "1/255", "8/255"
GOLDEN = Path(__file__).with_name("golden.md")
HOSTILE = [
    "<script>alert(1)</script>",
    "a|b|c",
    "back\\slash \\| pipe \\\\|",
    "two\nlines\r\n| --- |",
    "# heading",
    "- [ ] task",
    "1. list",
    "[link](http://evil.example)",
    "![image](x.png)",
    "`code` and ``more``",
    "**bold** _em_ __init__ snake_case ~~gone~~",
    "&lt;b&gt; &amp; &#60;",
    "<http://evil.example> https://evil.example www.evil.example",
    "@someone",
    "\u202eright-to-left\u200b\x07\x1b[31m",
    "\ud800",
    "\"quoted\" 'single' $x$ %{}^",
    "n" * 500,
    "",
]


def build(runs) -> str:
    return render(make_tables(collect([runs.folder])))


def test_golden(runs, tmp_path: Path) -> None:
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20", steps=20)]
    trades = {"defense": "trades", "trained_for": {"norm": "linf", "epsilon": "3/255"}}
    finding = {"check": "P5", "level": "warn", "message": "fgsm is stronger than pgd-20 <here>"}
    everything = {"n": 200, "attacks": attacks, "suite": "fgsm-pgd@1"}
    runs.write(
        "standard", {"fgsm": dict.fromkeys(range(150), E1), "pgd-20": dict.fromkeys(range(190), E1)}, **everything
    )
    runs.write(
        "trades", {"fgsm": dict.fromkeys(range(40), E8), "pgd-20": dict.fromkeys(range(60), E8)},
        wrong=range(190, 200), card=trades, findings=[finding], **everything,
    )  # fmt: skip
    runs.write("trades", {}, finished="2023-01-01T00:00:00+00:00", wrong=range(190, 200), card=trades, **everything)
    runs.write("unfinished", {}, without=[("pgd-20", E8)], status="interrupted", **everything)
    runs.write("standard", {"pgd-20": dict.fromkeys(range(10), E8)})
    text = build(runs)
    actual = tmp_path / "leaderboard.md"
    actual.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"if the change is meant: cp {actual} {GOLDEN}"


def cells(markdown: str) -> list[str]:
    """Text of all table cells, after checking that no cell holds anything but text."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    found = []
    for before, token in pairwise(tokens):
        if before.type in ("td_open", "th_open"):
            assert {child.type for child in token.children or []} <= {"text"}, token.content
            found.append("".join(child.content for child in token.children or []))
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(runs, name: str) -> None:
    card = {"defense": name, "trained_for": {"norm": name}}
    runs.write(name, {}, card=card, findings=[{"check": name, "level": "warn", "message": name}], data=name)
    runs.write("harmless", {}, data=name)
    text = build(runs)
    shown = cells(text)
    assert len(shown) % (8 + 15) == 0, "no cell more or less: header and two rows of both tables"
    assert len(shown) == 3 * (8 + 15)
    assert one_line(name) in shown
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    assert {t.type for t in tokens if t.type.endswith("_open")} <= {
        "heading_open", "paragraph_open", "table_open", "thead_open", "tbody_open", "tr_open", "th_open", "td_open",
        "bullet_list_open", "list_item_open",
    }  # fmt: skip
    assert not {t.type for t in tokens} & {"html_block", "fence", "code_block", "hr"}
    inline = {child.type for t in tokens for child in t.children or []}
    assert inline <= {"text", "softbreak"}
    assert "://" not in text
    assert len([t for t in tokens if t.type == "heading_open"]) == 2


def test_escape_leaves_ordinary_names_readable() -> None:
    assert escape("fast_fgsm-8.v2 (seed 1)") == "fast_fgsm-8.v2 (seed 1)"
    assert escape("pgd@1 8/255, 62.1") == "pgd@1 8/255, 62.1"


def test_incomplete_cells_show_no_number(runs) -> None:
    runs.write("a", {}, unknown={("pgd-20", E1): [1]}, without=[("pgd-20", E8)], status="interrupted")
    (row,) = [line for line in build(runs).splitlines() if line.startswith("| –")]
    assert row == "| – | a | – | – | – | 100.0 [83.9, 100.0] | partial | missing |"


def test_no_runs_is_said() -> None:
    assert render([]) == "# Leaderboard\n\nNo runs.\n"


def test_folded_the_first_screen_is_the_table_of_most_models_and_everything_is_inside(runs) -> None:
    for name in ("a", "b", "c"):
        runs.write(name, {"pgd-20": dict.fromkeys(range(10), E1)}, n=40)
    runs.write("a", {"pgd-20": dict.fromkeys(range(30), E8)}, n=50, suite="other@1")
    tables = make_tables(collect([runs.folder]))
    text = render_folded(tables, {0: "first.svg", 1: "second.svg"}, "About.")
    front, *folded = text.split("<details>")
    assert len(folded) == len(tables) == 2
    assert all(part.rstrip().endswith("</details>") for part in folded)
    most = max(tables, key=lambda table: len(table.rows))
    assert f"suite {most.suite}" in front
    assert front.count("\n| ") == 2 + 3  # header, alignment, three models
    assert "75.0 [" in front  # 30 of 40 survive
    plain = render(tables)
    for row in (line for line in plain.splitlines() if line.startswith("| ")):
        assert row in text
    assert all(sum(f"suite {table.suite}" in part for part in folded) == 1 for table in tables)


def test_folded_other_tables_of_the_verdict_stand_in_short_behind_the_first(runs) -> None:
    for name in ("a", "b"):
        runs.write(name, {"pgd-20": dict.fromkeys(range(10), E1)}, n=40)
    runs.write("a", {"pgd-20": dict.fromkeys(range(30), E8)}, n=50, suite="other@1")
    tables = make_tables(collect([runs.folder]))
    few = next(place for place, table in enumerate(tables) if len(table.rows) == 1)
    plain, *_ = render_folded(tables, {}, "About.").split("<details>")
    assert plain.count("## ") == 2
    assert "other@1" not in plain
    columns = [dataclasses.replace(c, n=10 if c.attack == "pgd-20" else None) for c in tables[few].attacks]
    tables[few] = dataclasses.replace(tables[few], autoattack=True, attacks=tuple(columns))
    front, *_ = render_folded(tables, {}, "About.").split("<details>")
    first, second = front.index("| 2 |" if "| 2 |" in front else "| 1–2 |"), front.index("suite other@1")
    assert first < second < front.index("## Everything")
    short = front[second:]
    assert "AutoAttack's verdict 8/255" in short
    assert "pgd-20" not in short  # on other samples than the rest of the row


def test_witnesses_of_others_that_broke_nothing_are_one_line(runs) -> None:
    words = "transfer: of {} witnesses found against {} ({}-run), those inside the ball break {} more samples here"
    for name, other, more in (("a", "b", 0), ("b", "a", 0), ("c", "a", 2)):
        message = words.format(17, other, other, more)
        runs.write(name, {}, findings=[{"check": "P26", "level": "info", "message": message}])
    lines = [line for line in build(runs).splitlines() if "P26" in line]
    assert lines == [
        "- model c: info P26: transfer: of 17 witnesses found against a (a-run), those inside the ball break 2 more"
        " samples here",
        "- info P26: transfer: witnesses found against other models, offered 2 times to a and b, break 0 more samples",
    ]
