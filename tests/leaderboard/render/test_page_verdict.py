"""What a manager looks for on the page: its title, the date, and what the gate said."""

from __future__ import annotations

import json
import re

import pytest

from harness.errors import UsageError
from leaderboard import cli
from leaderboard.compare.cli import gate

E8 = "8/255"


@pytest.fixture
def judged(runs, call, tmp_path, capsys):
    """Two models, and what the gate said of them: the weak one fails one of two requirements."""
    runs.write("strong", {"pgd-20": {0: E8}}, finished="2024-03-04T05:06:07+00:00")
    runs.write("weak", {"pgd-20": dict.fromkeys(range(15), E8)}, finished="2024-03-01T00:00:00+00:00")
    words = ("--require", "clean>=0.5", "--require", "pgd-20@8/255>=0.5")
    assert call(gate, runs.folder, *words, "--json") == 1
    file = tmp_path / "gate.json"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    return file


def page_of(call, folder, tmp_path, *words: object) -> str:
    path = tmp_path / "page.html"
    assert call(cli.leaderboard, folder, "-o", path, "--pictures", 0, *words) == 0
    return path.read_text(encoding="utf-8").partition("<main")[0]


def test_title_date_and_verdict_stand_above_the_tables(runs, judged, call, tmp_path) -> None:
    head = page_of(call, runs.folder, tmp_path, "--title", "Signs, <release> 7", "--verdict", judged)
    assert "<title>Signs, &lt;release&gt; 7</title>" in head
    assert "<h1>Signs, &lt;release&gt; 7</h1>" in head
    assert "Measured up to 2024-03-04." in head
    assert "<b>Failed</b>: 3 of 4 requirements are met." in head
    rows = re.findall(r"<tr><td><span[^>]*>(\w+)</span></td><th[^>]*>(.*?)</th><td>(\w+)</td><td[^>]*>(.*?)</td>", head)
    assert [row[0] for row in rows] == ["fail", "pass", "pass", "pass"], "what failed comes first"
    assert rows[0][1:] == ("pgd-20@8/255&gt;=0.5", "weak", "25.0 [11.2, 46.9] %, required 50 %")


def test_a_gate_that_is_passed_is_told_as_that(runs, call, tmp_path, capsys) -> None:
    runs.write("m", {})
    assert call(gate, runs.folder, "--require", "clean>=0.5", "--json") == 0
    (tmp_path / "gate.json").write_text(capsys.readouterr().out, encoding="utf-8")
    head = page_of(call, runs.folder, tmp_path, "--verdict", tmp_path / "gate.json")
    assert "<b>Passed</b>: 1 of 1 requirements are met." in head
    assert "<h1>Robustness leaderboard</h1>" in head


def test_without_a_verdict_the_page_says_none(runs, call, tmp_path) -> None:
    runs.write("m", {})
    head = page_of(call, runs.folder, tmp_path)
    assert 'class="verdict' not in head
    assert "Measured up to 2024-01-01." in head


def test_a_verdict_on_other_runs_is_refused(runs, judged, call, tmp_path) -> None:
    other = runs.elsewhere("other")
    other.write("m", {})
    with pytest.raises(UsageError, match=r"gate\.json' judges run \S+, which is not among those of the page"):
        call(cli.leaderboard, other.folder, "-o", tmp_path / "x.html", "--verdict", judged)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("no JSON", "is not what harness gate --json prints"),
        ("[]", "is not what harness gate --json prints"),
        ('{"command": "gate", "data": {"verdicts": [{"passed": 1}]}}', "is not what harness gate --json prints"),
        ('{"command": "compare", "data": {"verdicts": []}}', "is not what harness gate --json prints"),
    ],
)
def test_what_is_no_verdict_is_refused(runs, call, tmp_path, content: str | None, said: str) -> None:
    runs.write("m", {})
    file = tmp_path / "gate.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=said):
        call(cli.leaderboard, runs.folder, "-o", tmp_path / "x.html", "--verdict", file)


@pytest.mark.parametrize(("field", "value"), [("passed", "no"), ("run", {"x": 1}), ("message", ["x"]), ("subject", 7)])
def test_the_fields_of_a_verdict_have_their_kinds(runs, judged, call, tmp_path, field: str, value: object) -> None:
    told = json.loads(judged.read_text())
    told["data"]["verdicts"][0][field] = value
    judged.write_text(json.dumps(told))
    with pytest.raises(UsageError, match="is not what harness gate"):
        call(cli.leaderboard, runs.folder, "-o", tmp_path / "x.html", "--verdict", judged)


def test_other_formats_have_no_title(runs, call) -> None:
    runs.write("m", {})
    with pytest.raises(UsageError, match="--title and --verdict are for --format html, not csv"):
        call(cli.leaderboard, runs.folder, "--format", "csv", "--title", "x")
