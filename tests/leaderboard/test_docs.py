"""The documented commands are real: every option exists, every requirement parses, and the examples run."""

from __future__ import annotations

import re
import shlex
from functools import partial

import pytest
import typer
from repository import ROOT
from typer.main import get_command

from leaderboard import cli, row_text, site, wording
from leaderboard.compare.cli import compare, gate
from leaderboard.compare.requirements import parse
from leaderboard.render import markdown
from leaderboard.rows import Table
from leaderboard.tables.corrupted import with_baseline

DOCS = ROOT / "docs"
COMMANDS = {"leaderboard": cli.leaderboard, "compare": compare, "gate": gate}


def documented() -> list[list[str]]:
    """The words of every `harness` command line in the two pages."""
    text = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in ("ci.md", "leaderboard.md"))
    text = re.sub(r"\n +(?=--)", " ", text)  # the folded lines of the workflow
    lines = [re.sub(r"^(- run:)?[$ >-]*", "", line.strip()) for line in text.splitlines()]
    words = [shlex.split(line.partition(" >> ")[0], comments=True) for line in lines if line.startswith("harness ")]
    return [line for line in words if line[1] in COMMANDS]


def test_the_pages_show_every_command() -> None:
    assert {words[1] for words in documented()} == set(COMMANDS)
    assert len(documented()) >= 7


@pytest.mark.parametrize("words", documented(), ids=" ".join)
def test_documented_commands_parse(words: list[str]) -> None:
    app = typer.Typer()
    app.command()(COMMANDS[words[1]])
    context = get_command(app).make_context(words[1], words[2:])  # an unknown option is an error
    for text in context.params.get("require") or ():
        parse(text)


def test_every_requirement_of_the_table_parses() -> None:
    gate = (DOCS / "ci.md").read_text(encoding="utf-8").partition("## GitHub Actions")[0]
    rows = re.findall(r"^\| `(.+?)` \|", gate, re.MULTILINE)
    assert len(rows) == 6
    for row in rows:
        parse(row)


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Every table of a page, as rows of cells; the row of dashes is left out."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()] for block in blocks]
    return [[row for row in table if not all(re.fullmatch(r":?-+:?", cell) for cell in row)] for table in rows]


@pytest.fixture(scope="module")
def board() -> list[Table]:
    return site.tables_of(ROOT / site.PUBLISHED)


def figures(table: Table, model: str) -> dict[str, str]:
    """What a table says of a model, by column: ``pgd-20 4/255``, ``worst 4/255``, ``clean 0``."""
    (row,) = [row for row in table.rows if row.model == model]
    scores = (row.clean, *row.cells, *row.worst)
    return {f"{score.attack} {score.epsilon_label}": row_text.number_text(score) for score in scores}


@pytest.fixture(scope="module")
def whole(board) -> Table:
    """The zoo on the whole test set: cheap attacks on every image, AutoAttack's verdict estimated for all of them."""
    (table,) = [t for t in board if t.suite == "standard@2"]
    assert table.autoattack
    return table


def test_readme_s_table_is_of_one_slice(whole) -> None:
    """AutoAttack's few images beside PGD's many would claim a difference that is one of images."""
    (table,) = [t for t in markdown_tables((ROOT / "README.md").read_text(encoding="utf-8")) if "clean" in t[0]]
    grid = [*whole.grid, *whole.grid[2:]]
    assert [cell.rpartition(" ")[2] for cell in table[0][1:]] == ["clean", *grid]
    assert {row[0].strip("`") for row in table[1:]} == {row.model for row in whole.rows}
    wanted = ["clean 0", *(f"pgd-20 {label}" for label in whole.grid), *(f"worst {label}" for label in whole.grid[2:])]
    for name, *cells in table[1:]:
        known = figures(whole, name.strip("`"))
        assert cells == [known[column] for column in wanted], name
        assert all(cell.endswith(" est.") for cell in cells[5:])


@pytest.mark.parametrize(
    ("shown", "attack"), [("PGD-20", "pgd-20"), ("FGSM", "fgsm"), ("AutoAttack's verdict", "worst")]
)
def test_the_page_of_models_has_the_published_figures(whole, shown, attack) -> None:
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    (table,) = [t for t in markdown_tables(page) if t[0][0] == shown]
    assert table[0][1:] == ["clean", *whole.grid]
    assert {row[0].strip("`") for row in table[1:]} == {row.model for row in whole.rows}
    for name, *cells in table[1:]:
        (row,) = [row for row in whole.rows if row.model == name.strip("`")]
        scores = [score for score in (*row.cells, *row.worst) if score.attack == attack]
        assert cells == [row_text.score_text(score) for score in (row.clean, *scores)], name


def test_the_page_of_estimates_has_the_published_figures(whole) -> None:
    page = (DOCS / "estimates.md").read_text(encoding="utf-8")
    (shown,) = [t for t in markdown_tables(page) if "AutoAttack's verdict" in t[0]]
    told = iter(shown[1:])
    models = [row[0].strip("`") for row in shown[1:] if row[0]]
    assert sorted(models) == sorted(row.model for row in whole.rows)
    for model in models:
        (row,) = [row for row in whole.rows if row.model == model]
        known = figures(whole, model)
        for place, (label, worst) in enumerate(zip(whole.grid, row.worst, strict=True)):
            name, clean, epsilon, *cells = next(told)
            assert (name, clean) == (("", "") if place else (f"`{model}`", known["clean 0"]))
            assert epsilon == label
            assert cells[:3] == [known[f"fgsm {label}"], known[f"pgd-20 {label}"], row_text.score_text(worst)]
            low, high = worst.estimate.of_slice
            assert cells[3] == f"[{100 * low:.1f}, {100 * high:.1f}]"
    assert next(told, None) is None


def test_the_claim_about_a2s_has_the_published_differences(whole) -> None:
    (pair,) = [p for p in whole.pairs if (whole.rows[p.a].model, whole.rows[p.b].model) == ("a2s", "standard")]
    texts = {
        name: f"{number} {interval}"
        for name, number, interval, *_ in map(partial(wording.difference_texts, whole), pair.cells)
    }
    rows = {
        "difference": "pgd-20",
        "FGSM, difference": "fgsm",
        "AutoAttack's verdict, difference (est.)": "AutoAttack's verdict",
    }
    page = (DOCS / "reproduction.md").read_text(encoding="utf-8")
    (shown,) = [t for t in markdown_tables(page) if t[-1][0].startswith("AutoAttack's verdict")]
    told = {name: cells for name, *cells in shown[1:]}
    for name, attack in rows.items():
        assert told[name] == [texts[f"{attack} {label}"] for label in whole.grid]
    for model in ("standard", "a2s"):
        known = figures(whole, model)
        assert told[f"PGD-20, `{model}`"] == [known[f"pgd-20 {label}"] for label in whole.grid]
    assert f"differ significantly ({texts['clean']})" in page


def test_the_page_of_corruptions_has_the_published_figures(board, whole) -> None:
    (table,) = [with_baseline(t, "standard") for t in board if t.threat == "corruption"]
    page = (DOCS / "corruptions.md").read_text(encoding="utf-8")
    (shown,) = [t for t in markdown_tables(page) if "linf rank" in t[0]]
    linf = {row.model: row_text.rank_text(row) for row in whole.rows}
    wanted = [
        [
            row_text.rank_text(row), f"`{row.model}`", row_text.number_text(row.clean), row_text.score_text(mean),
            f"{100 * mean.kept_share:.1f}", f"{row.relative:.2f}", linf[row.model],
        ]
        for row in table.rows
        for mean in row.worst
    ]  # fmt: skip
    assert shown[1:] == wanted


def test_the_page_of_suites_has_the_published_figures_of_l2(board) -> None:
    (table,) = [t for t in board if t.norm == "l2"]
    page = (DOCS / "suites.md").read_text(encoding="utf-8")
    (shown,) = [t for t in markdown_tables(page) if t[0][:2] == ["rank", "model"]]
    assert shown[0][3::2] == [f"PGD-20, {label}" for label in table.grid]
    for (rank, model, clean, *cells), row in zip(shown[1:], table.rows, strict=True):
        known = figures(table, row.model)
        assert (rank, model, clean) == (row_text.rank_text(row), f"`{row.model}`", known["clean 0"])
        assert cells[::2] == [known[f"pgd-20 {label}"] for label in table.grid]
        assert [f"{cell} est." for cell in cells[1::2]] == [row_text.score_text(score) for score in row.worst]


def test_no_table_of_the_board_mixes_slices(board) -> None:
    """Every figure of a section is the one its table has, and a section names one slice, or the two that it joins."""
    text = (ROOT / site.MARKDOWN).read_text(encoding="utf-8")
    sections = text.split("<details>")[1:]
    assert len(sections) == len(board)
    for section, table in zip(sections, board, strict=True):
        (evidence,) = [t for t in markdown_tables(section) if "slice" in t[0]]
        places = [evidence[0].index(name) for name in ("slice", "n")]
        assert {tuple(row[place] for place in places) for row in evidence[1:]} == {
            (wording.slice_text(table), wording.n_text(table))
        }
        (scores,) = [t for t in markdown_tables(section) if "clean" in t[0]]
        for row in scores[1:]:
            found = next(r for r in table.rows if markdown.escape(r.label) == row[1])
            shown = [found.clean, *([] if table.worst_is_attack else found.worst)]
            if table.threat == "ball":  # of corruptions, kinds stand in a table of their own
                shown[1:1] = found.cells
                assert len(row) == 5 + len(shown)
            assert row[5 : 5 + len(shown)] == [row_text.score_text(score) for score in shown]
            for column, score in zip(scores[0][5:], shown, strict=False):
                told = re.search(r"\(first ([\d,]+)(?: to ([\d,]+))?\)", column)
                least, most = (int((told[i] or told[1]).replace(",", "")) for i in (1, 2)) if told else (table.n,) * 2
                assert least <= score.n <= most
