"""A ledger of their own, and two runs that were published."""

from __future__ import annotations

import pytest
from publishing import judge, measure

from leaderboard import site
from leaderboard.runs.collect import collect


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_LEDGER", str(tmp_path / "ledger.jsonl"))


@pytest.fixture
def published(runs, tmp_path):
    measure(runs)
    for run in runs.folder.iterdir():
        judge(run)
    done = site.publish(collect([runs.folder]), tmp_path / site.PUBLISHED)
    assert len(done.written) == 2
    assert not done.claims
    assert not done.left_out
    return tmp_path / site.PUBLISHED
