"""Results folders to records: counted from the facts, and refused where they contradict themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.base.statistics import wilson
from harness.errors import BadRun
from harness.evidence.metrics import cells
from harness.evidence.store import RunStore
from leaderboard.runs.check import check_summary
from leaderboard.runs.collect import collect, read_run

E1, E8 = "1/255", "8/255"


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_scores_are_counted_by_hand(runs) -> None:
    falls = {"fgsm": {0: E1, 1: E8}, "pgd-20": {1: E1, 2: E8, 19: E1}}
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20")]
    record = read_run(runs.write("m", falls, n=20, wrong=[19], attacks=attacks))
    correct = {place: score.correct for place, score in record.scores.items()}
    assert correct == {
        ("clean", "0"): 19,
        ("fgsm", E1): 18,
        ("fgsm", E8): 17,
        ("pgd-20", E1): 18,  # sample 19 was wrong already
        ("pgd-20", E8): 17,
        ("worst", E1): 17,  # 0 by fgsm, 1 by pgd
        ("worst", E8): 16,
    }
    assert record.scores["pgd-20", E8].accuracy == 17 / 20
    assert record.scores["pgd-20", E8].ci95 == wilson(17, 20)
    assert record.complete
    assert np.flatnonzero(~record.survivors["worst", E8]).tolist() == [0, 1, 2, 19]


@pytest.mark.parametrize("seed", range(3))
def test_paired_survivors_agree_with_the_metrics(runs, seed: int) -> None:
    rng = np.random.default_rng(seed)
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20"), runs.attack("cw")]
    falls = {
        a["id"]: {int(i): str(rng.choice([E1, "2/255", E8])) for i in rng.choice(60, 25, replace=False)}
        for a in attacks
    }
    wrong = rng.choice(60, 7, replace=False).tolist()
    record = read_run(runs.write("m", falls, n=60, wrong=wrong, attacks=attacks, grid=(E1, "2/255", E8)))
    assert set(record.survivors) == set(record.scores)
    for place, survivors in record.survivors.items():
        assert np.count_nonzero(survivors) == record.scores[place].correct


def test_a_missing_unit_and_unknown_samples_are_no_numbers(runs) -> None:
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20")]
    unknown = {("fgsm", E1): [3, 4]}
    record = read_run(
        runs.write("m", {}, attacks=attacks, without=[("pgd-20", E8)], unknown=unknown, status="interrupted")
    )
    shown = {place: (score.status, score.accuracy, score.ci95) for place, score in record.scores.items()}
    assert shown["fgsm", E1] == ("partial", None, None)
    assert shown["pgd-20", E8] == ("missing", None, None)
    assert shown["fgsm", E8][0] == shown["pgd-20", E1][0] == "ok"
    assert not record.complete


def test_the_worst_case_needs_the_cells_below_it(runs) -> None:
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20")]
    record = read_run(runs.write("m", {}, attacks=attacks, unknown={("fgsm", E1): [3]}))
    assert record.scores["worst", E1].status == record.scores["worst", E8].status == "missing"


def test_a_chunk_that_never_ran_makes_every_cell_partial(runs) -> None:
    folder = runs.write("m", {}, n=20, status="interrupted")
    edit(folder / "run.json", lambda info: info["data"].update(n=30))
    record = read_run(folder)
    assert {score.status for score in record.scores.values()} == {"partial", "missing"}
    assert all(score.accuracy is None for score in record.scores.values())


def test_a_chunk_of_clean_errors_alone_is_judged_as_in_the_summary(runs) -> None:
    """Nobody of the first chunk is right unperturbed, the second was never run: one judge, one status."""
    folder = runs.write("m", {}, n=20, wrong=range(20), status="interrupted")
    edit(folder / "run.json", lambda info: info["data"].update(n=30))
    record = read_run(folder)
    counted = {(cell.attack, cell.epsilon_label): cell.status for cell in cells(RunStore(folder).all_facts(), 30)}
    assert counted == {("pgd-20", E1): "missing", ("pgd-20", E8): "missing"}
    assert {place: record.scores[place].status for place in counted} == counted


def test_a_summary_that_the_facts_do_not_confirm_is_an_error(runs) -> None:
    folder = runs.write("m", {"pgd-20": {1: E1}})
    edit(folder / "summary.json", lambda summary: summary["cells"][1].update(robust_accuracy=0.99))
    with pytest.raises(BadRun, match=r"pgd-20 8/255\.robust_accuracy = 0\.99, but .* give 0\.95") as caught:
        read_run(folder)
    assert folder.name in str(caught.value)


def test_a_number_beyond_floats_in_a_summary_is_another_number() -> None:
    with pytest.raises(BadRun, match=r"summary.json has clean.accuracy = 1000.*, but the facts give 0.5"):
        check_summary({"clean": {"accuracy": 10**400}}, {"clean": {"accuracy": 0.5}}, Path("run"))


def test_a_summary_that_lacks_a_cell_is_an_error_and_its_order_is_free(runs) -> None:
    folder = runs.write("m", {}, attacks=[runs.attack("pgd-20"), runs.attack("fgsm", iterative=False)])
    edit(folder / "summary.json", lambda summary: summary["cells"].reverse())
    read_run(folder)
    edit(folder / "summary.json", lambda summary: summary["cells"].pop())
    with pytest.raises(BadRun, match=r"cells\.pgd-20 1/255 = None, but the facts give"):
        read_run(folder)


def test_a_lost_summary_is_no_loss(runs) -> None:
    folder = runs.write("m", {"pgd-20": {1: E1}})
    (folder / "summary.json").unlink()
    assert read_run(folder).scores["pgd-20", E8].correct == 19


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda info: info.pop("seed"), "seed is missing"),
        (lambda info: info["suite"].pop("grid"), "suite.grid is missing"),
        (lambda info: info["suite"]["attacks"][0].pop("tool"), r"suite.attacks\[0\].tool is missing"),
        (lambda info: info["data"].update(n="many"), "data.n is 'many'"),
        (lambda info: info.update(model="x"), "model is 'x'"),
        (lambda info: info["findings"].append("odd"), r"findings\[0\] is 'odd'"),
        (lambda info: info["suite"]["grid"].pop(), "do not fit together"),
        (lambda info: info.update(schema=99), "schema 99"),
        (lambda info: info["suite"].update(grid=["1/255", "4/255"]), "do not fit together"),
        (lambda info: info["suite"].update(grid=["1/255", "4/255"], epsilons=[1 / 255, 4 / 255]), "pgd-20 at 8/255"),
        (lambda info: info["data"].update(n=10), "20 facts of 20 samples"),
    ],
)
def test_an_altered_run_json_is_refused(runs, change: Any, words: str) -> None:
    folder = runs.write("m", {})
    edit(folder / "run.json", change)
    with pytest.raises(BadRun, match=words) as caught:
        read_run(folder)
    assert folder.name in str(caught.value)


def test_samples_that_count_twice_are_refused(runs) -> None:
    folder = runs.write("m", {})
    shard = next((folder / "facts").glob("pgd-20@8_255-*.parquet"))
    shutil.copy(shard, shard.with_name("pgd-20@8_255-00001.parquet"))
    with pytest.raises(BadRun, match="40 facts of 20 samples"):
        read_run(folder)


def test_facts_of_other_samples_are_refused(runs) -> None:
    folder, other = runs.write("m", {}), runs.elsewhere("other").write("m", {}, wrong=[3])
    for shard in (folder / "facts").glob("clean*"):
        shutil.copy(other / "facts" / shard.name, shard)
    (folder / "summary.json").unlink()
    with pytest.raises(BadRun, match="does not fit its clean pass"):
        read_run(folder)


def test_a_torn_shard_is_named(runs) -> None:
    folder = runs.write("m", {})
    next((folder / "facts").glob("pgd-20@8*")).write_bytes(b"PAR1")
    with pytest.raises(BadRun, match="pgd-20@8_255-00000"):
        read_run(folder)


def test_runs_and_folders_of_runs_mix_and_count_once(runs) -> None:
    first, second = runs.write("a", {}), runs.write("b", {})
    assert [r.folder for r in collect([first])] == [first]
    assert {r.folder for r in collect([runs.folder, first, second])} == {first, second}


@pytest.mark.parametrize(("make", "words"), [(False, "does not exist"), (True, "holds no run")])
def test_a_folder_without_runs_is_an_error(tmp_path: Path, make: bool, words: str) -> None:
    folder = tmp_path / "results"
    if make:
        folder.mkdir()
    with pytest.raises(BadRun, match=words):
        collect([folder])
