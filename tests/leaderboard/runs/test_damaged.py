"""Damaged files and runs are named in a line, and take nobody else down."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pyarrow.compute as pc
import pytest
from publishing import files, judge

from harness.errors import BadRun
from harness.evidence.facts import read, write
from harness.trust.ledger import ledger_path
from leaderboard.cli import leaderboard
from leaderboard.compare.cli import gate
from leaderboard.runs.board import BOARD
from leaderboard.runs.collect import collect
from leaderboard.runs.published import _pack


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"replayed 5"', '"claimed"', "verdict of [[run]] number 1"),
        ("schema = 1", "schema = 2", "expected 1"),
        ("[[run]]", "[[run", "no board of this version"),
        ("pgd@1", "pgd@2", "lists it as fgsm-pgd@2"),
        ('file = "', 'file = 3 # "', "file of [[run]] number 1 is 3, expected text"),
    ],
)
def test_a_damaged_board_is_refused_in_a_line(published, old: str, new: str, told: str) -> None:
    path = published / BOARD
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(BadRun) as error:
        collect([published])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_altered_run_is_skipped_and_named(runs, call, capsys) -> None:
    runs.write("a")
    bad = runs.write("b")
    summary = json.loads((bad / "summary.json").read_text(encoding="utf-8"))
    (bad / "summary.json").write_text(json.dumps(summary | {"n": 999}), encoding="utf-8")
    assert call(leaderboard, runs.folder, "--format", "csv") == 3
    told = capsys.readouterr()
    assert {line.split(",")[10] for line in told.out.splitlines()[1:]} == {"a"}
    assert told.err.startswith("skipped: run ")
    assert "summary.json has n = 999, but the facts give 20" in told.err
    (bad / "summary.json").unlink()
    for facts in (bad / "facts").iterdir():
        facts.write_bytes(b"torn")
    assert call(leaderboard, runs.folder, "--format", "csv") == 3
    assert bad.name in capsys.readouterr().err
    with pytest.raises(BadRun, match=bad.name):  # a gate does not look away
        call(gate, runs.folder, "--require", "clean>=0")
    with pytest.raises(BadRun, match=bad.name):  # nothing is left to show
        call(leaderboard, bad)


def test_a_pipe_in_a_run_hangs_nobody(runs, call, capsys) -> None:
    runs.write("a")
    for place in ("run.json", "summary.json", "facts/clean-00000.parquet"):
        bad = runs.write("b")
        (bad / place).unlink(missing_ok=True)
        os.mkfifo(bad / place)
        assert call(leaderboard, runs.folder, "--format", "csv") == 3
        assert f"{bad / place} is no file but a pipe, socket or device; remove it" in capsys.readouterr().err
        (bad / place).unlink()
        shutil.rmtree(bad)


def test_a_run_of_other_samples_takes_nobody_down(runs, call, capsys) -> None:
    """It names the slice of the others; the run believed most says whose samples these are, then most runs."""
    judge(runs.write("a"))
    evil = runs.write("evil")
    for path in (evil / "facts").iterdir():
        table = read(path)
        place = table.schema.get_field_index("sample_id")
        moved = pc.add(table["sample_id"], 5000).cast(table.schema.field(place).type)
        write(path, table.set_column(place, table.schema.field(place), moved))
    assert call(leaderboard, runs.folder, "--format", "csv") == 3
    told = capsys.readouterr()
    assert {line.split(",")[10] for line in told.out.splitlines()[1:]} == {"a"}
    assert f"skipped: run {evil} and run " in told.err
    assert "hold other samples" in told.err
    with pytest.raises(BadRun, match="hold other samples"):  # a gate does not look away
        call(gate, runs.folder, "--require", "clean>=0")
    ledger_path().unlink()
    runs.write("b")
    assert [record.info.model.name for record in collect([runs.folder], [])] == ["a", "b"]


def break_json(content):
    return "{"


def set_to(**values):
    def change(content):
        return json.dumps(content | values)

    return change


def set_info(**values):
    def change(content):
        return json.dumps(content | {"info": content["info"] | values})

    return change


def grow(content):
    cells = [cell | {"survivors": content["ids"]} if cell["survivors"] else cell for cell in content["cells"]]
    return json.dumps(content | {"cells": cells})


def without_cell(content):
    return json.dumps(content | {"cells": content["cells"][1:]})


def without_effect(*names):
    """Cells of these attacks in which all that are classified survive."""

    def change(content):
        clean = next(cell["survivors"] for cell in content["cells"] if cell["epsilon_label"] == "0")
        cells = [cell | ({"survivors": clean} if cell["attack"] in names else {}) for cell in content["cells"]]
        return json.dumps(content | {"cells": cells})

    return change


def all_survive(content):
    cells = [cell | {"survivors": _pack(np.packbits(np.ones(60, bool)))} for cell in content["cells"][1:]]
    return json.dumps(content | {"cells": [content["cells"][0], *cells]})


def relabel(content):
    text = json.dumps(content).replace('"8/255"', '"9/255"')
    assert "9/255" in text
    return text


def nested(content):
    """Python's reader of JSON goes down for every bracket."""
    return json.dumps(content)[:-1] + ', "more": ' + "[" * 100_000 + "]" * 100_000 + "}"


def enormous(content):
    """A few bytes that ask for a terabyte."""
    content["info"]["data"]["n"] = 10**12
    return json.dumps(content)


def short(content):
    """Bits of fewer samples than there are; the rest would be taken for broken."""
    cells = [
        cell | ({"survivors": _pack(np.zeros(3, np.uint8))} if cell["survivors"] else {}) for cell in content["cells"]
    ]
    return json.dumps(content | {"cells": cells})


@pytest.mark.parametrize(
    "change",
    [
        without_effect("worst"), without_effect("pgd-20"), all_survive, relabel,
        set_info(compute=3),
        break_json, set_to(kind="recipe"), set_to(schema=99), set_to(info={}), set_to(cells=None), set_to(ids="!"),
        set_to(labels="eJwDAAAAAAE="), set_to(pictures=[{"clean": "AAAA"}]), grow, without_cell,
        lambda content: json.dumps([content]), nested, enormous, short,
        set_to(name="a\0b"), set_to(name="x" * 400), set_to(name="../../up"), set_to(name=".."), set_to(name=""),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_a_line(published, change) -> None:
    path = files(published)[1]
    path.write_text(change(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    with pytest.raises(BadRun) as told:
        collect([published])
    assert path.name in str(told.value)
    assert "\n" not in str(told.value)
