"""The ledger that remembers who verified what."""

import dataclasses
import io
import json

import pytest
from verifying import verified

from harness.errors import FileError
from harness.trust import ledger
from harness.trust.verify.verdict import Replay, Verdict
from harness.types import Finding


def test_a_verdict_is_recorded_before_it_is_read(work, monkeypatch):
    (run,) = work.glob("results/[!.]*")

    def gone(_verdict):
        raise BrokenPipeError

    monkeypatch.setattr("harness.cli.verify._print", gone)
    monkeypatch.setattr("sys.stderr", io.StringIO())  # which the command line closes
    verified(str(run))
    assert ledger.verified(run).verdict == "breaks verified"


def verdict(tmp_path, drawn=0, problems=0):
    again = (
        Replay(asked=drawn, seed=1, population=500, drawn=drawn, repeats=19, hits=(), at_most=0.03) if drawn else None
    )
    return Verdict(
        folder=tmp_path, run="run", key="key", problems=tuple([Finding("ball", "error", "x")] * problems), replay=again
    )


def test_the_strongest_verdict_since_the_last_no_counts(tmp_path):
    path = tmp_path / "ledger.jsonl"

    def now():
        return ledger.read_ledger(path)["sha256:a"].verdict

    assert ledger.read_ledger(path) == {}
    steps = [(0, 0, "breaks verified"), (100, 0, "replayed 100"), (0, 0, "replayed 100"), (20, 0, "replayed 100"),
             (200, 0, "replayed 200"), (0, 1, "no"), (0, 0, "breaks verified")]  # fmt: skip
    for drawn, problems, expected in steps:
        ledger.record(verdict(tmp_path, drawn, problems), "sha256:a", ledger=path)
        ledger.record(verdict(tmp_path), "sha256:b", ledger=path)
        assert now() == expected
    assert len(path.read_text().splitlines()) == 2 * len(steps)


def test_a_ledger_that_is_none_is_named(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger.record(verdict(tmp_path), "sha256:a", ledger=path)
    for line in ("{", "[]", '{"schema": 99}', '{"schema": 1, "content": "x"}'):
        path.write_text(path.read_text().splitlines()[0] + "\n" + line + "\n")
        with pytest.raises(FileError, match=r"ledger\.jsonl, line 2"):
            ledger.read_ledger(path)


def test_a_verdict_is_about_the_content_not_the_folder(work, tmp_path):
    (run,) = work.glob("results/[!.]*")
    before = ledger.content_hash(run)
    moved = run.rename(tmp_path / "renamed")
    (moved / "log.txt").write_text("what a tool printed is no evidence")
    assert ledger.content_hash(moved) == before
    changed = {before}
    for path in [moved / "run.json", moved / "summary.json", *moved.glob("facts/*"), *moved.glob("witnesses/*")]:
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        changed.add(ledger.content_hash(moved))
        path.write_bytes(content)
        aside = path.rename(path.with_suffix(".away"))
        changed.add(ledger.content_hash(moved))
        aside.rename(path)
    assert len(changed) == 1 + 2 * (2 + len([*moved.glob("facts/*")]) + len([*moved.glob("witnesses/*")]))
    assert ledger.content_hash(moved) == before


def test_the_ledger_lies_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_LEDGER", str(tmp_path / "a"))
    assert ledger.ledger_path() == tmp_path / "a"
    monkeypatch.delenv("HARNESS_LEDGER")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert ledger.ledger_path() == tmp_path / "robustness-harness" / "verified.jsonl"
    line = ledger.record(verdict(tmp_path), "sha256:a")
    assert dataclasses.asdict(line) == json.loads((tmp_path / "robustness-harness" / "verified.jsonl").read_text())
