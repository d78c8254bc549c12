"""Starting a run again: the same facts, and nothing lost or mixed."""

import pytest
from observed import outcomes_at, sorted_facts, suite
from toys import SmallNet, StopAfter, labeled, loaded

from harness.errors import BadRun
from harness.evidence.store import RunStore
from harness.run.job import Options, evaluate


@pytest.mark.parametrize("units", [1, 4, 7, 11])
def test_starting_again_continues_to_identical_facts(tmp_path, units):
    model = SmallNet()
    data = labeled(model, 40, wrong=3)
    whole = evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "whole"))
    options = Options(tmp_path / "torn")
    first = evaluate(loaded(model, 5), suite(), data, options, StopAfter(units))
    assert first.info.status == "interrupted"
    assert not first.complete
    shards = {path: path.stat().st_mtime_ns for path in (first.folder / "facts").glob("*.parquet")}
    again = evaluate(loaded(model, 5), suite(), data, options)
    assert again.folder == first.folder
    assert again.complete
    assert sorted_facts(again).equals(sorted_facts(whole))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in shards.items())


def test_a_torn_shard_is_computed_again(tmp_path):
    model = SmallNet()
    data = labeled(model, 40)
    whole = evaluate(loaded(model, 5), suite(), data, Options(tmp_path))
    shard = sorted((whole.folder / "facts").glob("attack@4_255-*"))[0]
    shard.write_bytes(shard.read_bytes()[:100])
    again = evaluate(loaded(model, 5), suite(), data, Options(tmp_path))
    assert sorted_facts(again).equals(sorted_facts(whole))
    assert [f["check"] for f in again.summary["findings"]] == ["torn"]


def test_fresh_starts_over_and_other_settings_are_other_runs(tmp_path):
    model = SmallNet()
    data = labeled(model, 20)
    first = evaluate(loaded(model, 5), suite(), data, Options(tmp_path))
    fresh = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, fresh=True))
    assert fresh.info.sessions == 1
    assert sorted_facts(fresh).equals(sorted_facts(first))
    others = [
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path, seed=1)),
        evaluate(loaded(model, 5), suite(("1/255", "8/255")), data, Options(tmp_path)),
        evaluate(loaded(model, 5), suite(steps=11), data, Options(tmp_path)),
        evaluate(loaded(model, 5), suite(mode="faithful"), data, Options(tmp_path)),
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path, n=10)),
        evaluate(loaded(SmallNet(seed=9), 5), suite(), data, Options(tmp_path, force=True)),  # it only guesses
        evaluate(loaded(model, 5), suite(), labeled(model, 20, seed=5), Options(tmp_path)),
    ]
    assert len({run.folder for run in (first, *others)}) == 8


def test_a_smaller_n_is_the_beginning_of_a_larger_one(tmp_path):
    """Slices are nested and chunks aligned, so that figures at small n are about the same samples."""
    model = SmallNet()
    data = labeled(model, 40)
    small = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, n=16, batch_size=16))
    large = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, n=40, batch_size=16))
    for label in suite().grid:
        few, many = outcomes_at(small, label.label), outcomes_at(large, label.label)
        assert few.items() <= many.items()


def test_two_writers_of_one_run_are_told(tmp_path):
    model = SmallNet()
    data = labeled(model, 8)
    run = evaluate(loaded(model, 5), suite(), data, Options(tmp_path))
    for fresh in (False, True):
        with RunStore(run.folder).locked(), pytest.raises(BadRun, match="another process"):
            evaluate(loaded(model, 5), suite(), data, Options(tmp_path, fresh=fresh))
    assert sorted_facts(evaluate(loaded(model, 5), suite(), data, Options(tmp_path))).equals(sorted_facts(run))
    assert len(RunStore(run.folder).all_facts()) == len(run.facts), "starting over must not touch a run in use"


def test_a_resumed_run_keeps_its_choice_of_witnesses(tmp_path):
    """Otherwise run.json would promise images that the first start did not store."""
    model = SmallNet()
    data = labeled(model, 40)
    first = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, witnesses="none"), StopAfter(5))
    again = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, witnesses="all"))
    assert again.folder == first.folder
    assert again.info.witnesses == "none"
    assert not list(RunStore(again.folder).all_witnesses())
