"""Two models side by side."""

from __future__ import annotations

import json

import pytest

from harness.errors import BadRun, UnknownName, UsageError
from leaderboard.compare import cli
from leaderboard.compare.models import as_data, as_markdown, compare
from leaderboard.runs.collect import collect

E1, E8 = "1/255", "8/255"


@pytest.fixture
def pair(runs):
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20")]
    runs.write("a", {"pgd-20": {1: E8, 2: E1}}, n=60, attacks=attacks)
    runs.write("b", {"pgd-20": dict.fromkeys(range(2, 12), E8)}, n=60, wrong=[59], attacks=attacks)
    return runs


def cells(runs, a: str = "a", b: str = "b") -> dict[tuple[str, str], dict]:
    (found,) = as_data(compare(collect([runs.folder]), a, b))
    return {(cell["attack"], cell["epsilon_label"]): cell for cell in found["cells"]}


def test_flipped_samples_are_named_with_their_labels(pair) -> None:
    found = cells(pair)
    assert set(found) == {("clean", "0")} | {(a, e) for a in ("fgsm", "pgd-20", "worst") for e in (E1, E8)}
    cell = found["pgd-20", E8]
    assert [s["sample_id"] for s in cell["only_a"]] == [*range(3, 12), 59]
    assert cell["only_b"] == [{"sample_id": 1, "label": 1}]
    assert {s["sample_id"]: s["label"] for s in cell["only_a"]}[59] == 59 % 43
    assert found["clean", "0"]["only_a"] == [{"sample_id": 59, "label": 16}]
    assert cell["difference"] == pytest.approx(9 / 60)
    assert cell["p"] == pytest.approx(2 * (1 + 11) / 2**11)


def test_significance_is_corrected_over_the_cells(pair) -> None:
    cell = cells(pair)["pgd-20", E8]
    assert cell["p"] < 0.05
    assert cell["p_holm"] == pytest.approx(7 * cell["p"])
    assert not cell["significant"]


def test_swapping_the_models_swaps_the_answer(pair) -> None:
    one, other = cells(pair)["worst", E8], cells(pair, "b", "a")["worst", E8]
    assert other["difference"] == -one["difference"]
    assert other["only_a"] == one["only_b"]
    assert (other["p_holm"], other["n_needed"]) == (one["p_holm"], one["n_needed"])


def test_only_what_both_have_is_compared(runs) -> None:
    runs.write("a", {})
    runs.write("b", {}, without=[("pgd-20", E8)], status="interrupted")
    (found,) = compare(collect([runs.folder]), "a", "b")
    assert [(c.a.attack, c.a.epsilon_label) for c in found.cells] == [("clean", "0"), ("pgd-20", E1)]
    assert found.incomplete == (("pgd-20", E8),)
    assert "Not complete in both, so not compared: pgd-20 8/255." in as_markdown([found])


def test_every_table_both_stand_in_is_compared(runs) -> None:
    for model in ("a", "b"):
        runs.write(model, {})
        runs.write(model, {}, suite="fgsm@1", attacks=[runs.attack("fgsm", iterative=False)])
    runs.write("a", {}, mode="faithful")
    assert [c.table.suite for c in compare(collect([runs.folder]), "a", "b")] == ["fgsm@1", "pgd@1"]


def test_names_may_be_labels_or_runs(runs) -> None:
    old = runs.write("a", {"pgd-20": {1: E8}}, finished="2024-01-01T00:00:00+00:00")
    new = runs.write("a", {}, finished="2024-02-01T00:00:00+00:00")
    runs.write("b", {}, seed=0)
    runs.write("b", {"pgd-20": {3: E8}}, seed=1)
    assert cells(runs, old.name, new.name)["pgd-20", E8]["only_b"] == [{"sample_id": 1, "label": 1}]
    assert cells(runs, "a", "b (seed 1)")["pgd-20", E8]["only_a"] == [{"sample_id": 3, "label": 3}]
    with pytest.raises(UsageError, match=r"'b' is ambiguous .*'b \(seed 0\)' or 'b \(seed 1\)'"):
        compare(collect([runs.folder]), "a", "b")


def test_what_cannot_be_compared_is_refused(runs) -> None:
    runs.write("trades", {})
    runs.write("standard", {}, mode="faithful")
    records = collect([runs.folder])
    with pytest.raises(UnknownName, match="did you mean 'trades'"):
        compare(records, "trade", "standard")
    with pytest.raises(UsageError, match=r"share no table: 'trades' has .* observed; 'standard' has .* faithful"):
        compare(records, "trades", "standard")
    with pytest.raises(UsageError, match="both name run"):
        compare(records, "trades", "trades")


def test_other_samples_under_the_same_name_are_refused(runs) -> None:
    runs.write("a", {}, n=20)
    folder = runs.write("b", {}, n=19)
    info = json.loads((folder / "run.json").read_text())
    info["data"]["n"] = 20
    (folder / "run.json").write_text(json.dumps(info))
    (folder / "summary.json").unlink()
    # 19 samples of 20: every cell is partial, so there is nothing to compare and nothing wrong is said.
    (found,) = compare(collect([runs.folder]), "a", "b")
    assert found.cells == ()
    for shard in (folder / "facts").iterdir():
        shard.unlink()
    moved = runs.elsewhere("moved").write("b", {}, n=20)
    for shard in (moved / "facts").iterdir():
        _shift_ids(shard, folder / "facts" / shard.name)
    with pytest.raises(BadRun, match="hold other samples"):
        compare(collect([runs.folder]), "a", "b")


def _shift_ids(source, target) -> None:
    import pyarrow as pa

    from harness.evidence import facts

    table = facts.read(source)
    ids = pa.array(table["sample_id"].to_numpy() + 5)
    facts.write(target, table.set_column(0, facts.SCHEMA.field("sample_id"), ids))


def test_a_run_with_errors_is_marked(runs) -> None:
    runs.write("a", {}, findings=[{"check": "P7", "level": "error", "message": "gradients are zero"}])
    runs.write("b", {}, findings=[{"check": "P5", "level": "warn", "message": "noise"}])
    found = compare(collect([runs.folder]), "a", "b")
    text = as_markdown(found)
    assert text.startswith("## A: a †, B: b\n")
    assert "† findings of level error, so that these figures are not to be trusted: a (P7)." in text
    (data,) = as_data(found)
    assert (data["a"]["errors"], data["b"]["errors"]) == (["P7"], [])
    assert "†" not in as_markdown(compare(collect([runs.write("c", {}), runs.write("d", {})]), "c", "d"))


def test_command(pair, call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(cli.compare, "a", "b", pair.folder) == 0
    text = capsys.readouterr().out
    assert text.startswith("## A: a, B: b\n")
    assert "- pgd-20 8/255, right only in B: 1\n" in text
    assert call(cli.compare, "a", "b", pair.folder, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["command"], found["ok"]) == ("compare", True)
    assert len(found["data"]["comparisons"][0]["cells"]) == 7
