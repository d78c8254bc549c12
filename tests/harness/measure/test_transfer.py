"""Mode ``worst-case``: no attack runs on what another one broke, and the worst case is what it would be."""

import json

import pytest
import torch
from toys import Linear, SmallNet, labeled, loaded, scripted

from harness.base.threat import parse_grid
from harness.evidence import facts
from harness.evidence.metrics import worst_case
from harness.evidence.store import RunStore
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.run.progress import Silent
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
CW = AttackSpec("cw", "torchattacks", "cw", {"c": 5.0, "confidence": 0.0, "steps": 20, "learning_rate": 0.02})
NAMES = ("first", "second", "third")


def suite(*attacks, grid=("2/255", "8/255", "16/255"), mode="worst-case", chunk=16, norm="linf"):
    return Suite(
        name="toy",
        version=1,
        norm=norm,
        grid=parse_grid(grid, norm),
        mode=mode,
        chunk=chunk,
        attacks=attacks or (FGSM, PGD),
    )


def ordered(run):
    keys = [("attack", "ascending"), ("component", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
    return run.facts.sort_by(keys)


def breaks(model, every, seen, name):
    """An attack that tries only some of the rows, by their first pixel."""

    def play(observer, problem):
        seen.append((name, problem.epsilon, len(problem.images)))
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = problem.images + problem.epsilon * (sign * model.weight.detach().sign()).view_as(problem.images)
        mine = (problem.images.flatten(1)[:, 0] * 100).long() % every == 0
        return torch.where(mine.view(-1, 1, 1, 1), moved.clamp(0, 1), problem.images)

    return play


def test_broken_samples_are_not_attacked_again_and_the_union_is_the_same(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 60, low=0.35, high=0.65)
    needed = model.margin(data.images, "linf")
    grid = tuple(f"{float(q):.6f}" for q in torch.quantile(needed, torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64)))
    specs = [AttackSpec(name, "test", "scripted", {}) for name in NAMES]
    worst, seen = {}, {}
    for mode in ("observed", "worst-case"):
        asked = seen[mode] = []
        made = [scripted(breaks(model, every, asked, name)) for name, every in zip(NAMES, (2, 3, 1), strict=True)]
        monkeypatch.setattr(Suite, "resolve", lambda self, made=made: tuple(made))
        chosen = suite(*specs, grid=grid, mode=mode, chunk=60)
        run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path, batch_size=60))
        worst[mode] = [row.surviving for row in worst_case(run.facts, 60)]
    assert worst["worst-case"] == worst["observed"]
    rows = {mode: sum(n for _, _, n in asked) for mode, asked in seen.items()}
    assert rows["worst-case"] < rows["observed"]
    assert run.info.mode == "worst-case"
    cells = {(cell["attack"], cell["epsilon_label"]): cell for cell in run.summary["cells"]}
    for label, union in zip(grid, worst["worst-case"], strict=True):
        left = [60 - cells[name, parse_grid([label])[0].label]["broken"] for name in NAMES]
        assert left[0] >= left[1] >= left[2] == union
    assert cells["first", run.summary["grid"][0]]["transferred"] == 0
    assert cells["second", run.summary["grid"][0]]["transferred"] > 0
    taken = [row for row in run.facts.to_pylist() if row["source"] == "transfer"]
    assert {row["outcome"] for row in taken} <= set(facts.BROKEN)
    assert {(row["forwards"], row["backwards"]) for row in taken if row["outcome"] == "witness"} == {(0, 0)}


def test_such_a_run_is_sound_and_resumes_to_the_same_facts(tmp_path):
    class StopAfter(Silent):
        left = 5

        def finished(self, done):
            self.left -= 1

        def stop(self):
            return self.left <= 0

    model = SmallNet()
    data = labeled(model, 40, wrong=4)
    whole = evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "whole", batch_size=16))
    assert (
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "two", batch_size=16), StopAfter()).info.status
        == "interrupted"
    )
    again = evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "two", batch_size=16))
    assert ordered(again).equals(ordered(whole))
    assert sum(cell["transferred"] for cell in whole.summary["cells"]) > 5
    verdict = verify(whole.folder, loaded(model, 5), data, VerifyOptions(device="cpu"))
    assert [finding.message for finding in verdict.problems] == []
    for bound in verdict.bounds:
        assert bound.at_most == bound.claimed, bound
    plain = evaluate(loaded(model, 5), suite(mode="observed"), data, Options(tmp_path / "o", batch_size=16))
    assert sum(t["forwards"] for t in whole.summary["cells"]) < sum(t["forwards"] for t in plain.summary["cells"])


def test_a_transfer_that_nobody_found_is_no_witness(tmp_path):
    model = SmallNet()
    data = labeled(model, 40)
    run = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, batch_size=16))
    store = RunStore(run.folder)
    for path in sorted((run.folder / "facts").glob("pgd@16_255-*")):
        found = facts.read(path)
        rows = found.to_pylist()
        row = next(row for row in rows if row["source"] == "transfer" and row["outcome"] == "witness")
        row["margin"] += 1.0
        path.unlink()
        facts.write(path, type(found).from_pylist(rows, schema=facts.SCHEMA))
    assert store.all_facts() is not None
    verdict = verify(run.folder, loaded(model, 5), data, VerifyOptions(device="cpu"))
    assert "transfer" in {finding.check for finding in verdict.problems}


def test_attacks_that_look_for_the_nearest_take_nothing_but_give(tmp_path):
    model = SmallNet()
    data = labeled(model, 24)
    l2 = AttackSpec("pgdl2", "torchattacks", "pgdl2", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
    chosen = suite(CW, l2, norm="l2", grid=("0.3", "1"), chunk=24)
    run = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, batch_size=24))
    plain = Suite(name="toy", version=1, norm="l2", grid=chosen.grid, mode="observed", chunk=24, attacks=(CW,))
    alone = evaluate(loaded(model, 5), plain, data, Options(tmp_path, batch_size=24))
    cells = {(c["attack"], c["epsilon_label"]): c for c in run.summary["cells"]}
    for cell in alone.summary["cells"]:
        assert cells["cw", cell["epsilon_label"]]["broken"] == cell["broken"]
        assert cells["pgdl2", cell["epsilon_label"]]["transferred"] <= cell["broken"]
    assert cells["pgdl2", "1"]["broken"] >= cells["cw", "1"]["broken"] > 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--worst-case-only", "--mode", "watch"], 2),
        (["--worst-case-only", "--faithful"], 2),
        (["--worst-case-only"], 0),
    ],
)
def test_the_option(tmp_path, capsys, words, code):
    from harness.cli import main

    base = ["eval", "--model", "trades", "--suite", "fgsm", "--n", "8", "--eps", "8/255", "--results", str(tmp_path)]
    assert main([*base, "--precision", "exact", "--force", "--json", *words]) == code
    printed = capsys.readouterr()
    if code:
        assert "--worst-case-only contradicts --mode" in printed.err
    else:
        assert json.loads(printed.out)["mode"] == "worst-case"
