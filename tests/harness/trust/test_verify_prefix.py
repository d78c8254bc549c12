"""Runs whose dear attack saw a prefix: honest ones verify, draws that are not the prefix and altered factors do not."""

import dataclasses

import pytest
from forgery import SURVIVED, Forger, first
from toys import SmallNet, Toy, labeled, loaded

from harness.base.threat import parse_grid
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

PGD = {"steps": 10, "step_size": "epsilon/4", "random_start": True}
WEAK = AttackSpec("weak", "torchattacks", "pgd", {"steps": 1, "step_size": "epsilon/2", "random_start": False})
N, PREFIX = 60, 24
DEAR = AttackSpec("dear", "torchattacks", "pgd", PGD, PREFIX, 8, "all")
ONCE = AttackSpec("fab-t", "autoattack", "fab-t", {"steps": 10, "target_classes": 3}, 16, 8, "all")
MORE = AttackSpec("more", "torchattacks", "pgd", PGD | {"steps": 3}, 16, 8)
GRID = ("8/255", "16/255")
CPU = VerifyOptions(device="cpu")


@pytest.fixture(scope="module")
def model():
    return SmallNet()


@pytest.fixture(scope="module")
def data(model):
    plain = labeled(model, N)
    labels = plain.labels.clone()
    labels[:6] = (labels[:6] + 1) % 5
    return Toy(plain.images, labels, plain.classes)


@pytest.fixture(scope="module")
def order(data):
    return make_slice(data, None, 16).indices


def measured(folder, model, data, mode="observed", attacks=(WEAK, DEAR, MORE), **options):
    suite = Suite(name="toy", version=1, norm="linf", grid=parse_grid(GRID), mode=mode, chunk=16, attacks=attacks)
    given = Options(folder, device="cpu", batch_size=16, precision="exact", **options)
    return evaluate(loaded(model, 5), suite, data, given)


@pytest.fixture(scope="module")
def honest(tmp_path_factory, model, data):
    return measured(tmp_path_factory.mktemp("prefix"), model, data)


@pytest.fixture
def forge(honest, data, tmp_path):
    return Forger(honest.folder, tmp_path / "run", data)


def caught(verdict, check, names):
    assert verdict.value == "no"
    told = [finding.message for finding in verdict.problems if finding.check == check]
    assert any(names in message for message in told), [(f.check, f.message) for f in verdict.problems]


@pytest.mark.parametrize("witnesses", ["all", "worst"])
@pytest.mark.parametrize("mode", ["observed", "worst-case"])
def test_an_honest_run_verifies(tmp_path, model, data, mode, witnesses):
    run = measured(tmp_path, model, data, mode, witnesses=witnesses)
    assert sum(cell["transferred"] for cell in run.summary["cells"] if cell["attack"] == "dear") > 0
    verdict = verify(run.folder, loaded(model, 5), data, dataclasses.replace(CPU, replay=30))
    assert [(finding.check, finding.message) for finding in verdict.problems] == []
    assert verdict.replay.drawn == 30
    assert verdict.replay.population < N + PREFIX + 16 + N  # those that were attacked, at two epsilons


@pytest.mark.autoattack
@pytest.mark.parametrize("witnesses", ["all", "worst"])
@pytest.mark.parametrize("mode", ["observed", "worst-case"])
def test_a_run_with_an_attack_that_runs_once_verifies(tmp_path, model, data, mode, witnesses):
    weak = dataclasses.replace(DEAR, params=PGD | {"steps": 2})
    run = measured(tmp_path, model, data, mode, (WEAK, weak, ONCE), witnesses=witnesses)
    cells = {cell["epsilon_label"]: cell for cell in run.summary["cells"] if cell["attack"] == "fab-t"}
    own = {label: cell["broken"] - cell["transferred"] for label, cell in cells.items()}
    assert all(cell["transferred"] for cell in cells.values())
    assert any(own.values()), own
    verdict = verify(run.folder, loaded(model, 5), data, dataclasses.replace(CPU, replay=30))
    assert [(finding.check, finding.message) for finding in verdict.problems] == []
    for bound in verdict.bounds:
        if bound.attack is not None and witnesses == "all":
            assert bound.at_most == pytest.approx(bound.claimed)  # of the samples that the attack ran on
            assert bound.proved == bound.broken
        elif bound.attack is None:
            assert bound.claimed <= bound.at_most  # the estimate is of all, the proof of those drawn
    assert any(note.check == "estimate" for note in verdict.notes)


def test_replay_draws_among_those_that_were_attacked(honest, model, data, order):
    verdict = verify(honest.folder, loaded(model, 5), data, dataclasses.replace(CPU, replay=10**6))
    whole = [row for row in honest.facts.to_pylist() if row["component"] is None and row["attack"] != "clean"]
    assert verdict.survivors == sum(row["outcome"] == "survived" for row in whole)
    assert verdict.replay.population == verdict.survivors
    drawn = set(order[:PREFIX].tolist())
    assert {row["sample_id"] for row in whole if row["attack"] == "dear"} == drawn


def exchange(forge, attack, gone, new):
    """Tell the facts of sample `gone` under the attack as those of `new`, a survivor at every epsilon."""
    rows = {row["sample_id"]: row for row in forge.all_facts() if row["attack"] == "clean"}
    told = {name: rows[new][name] for name in ("sample_id", "label", "clean_pred")}

    def change(row):
        return row | SURVIVED | told if (row["attack"], row["sample_id"]) == (attack, gone) else row

    changed = forge.edit_facts(change, f"{attack}@*")
    forge.edit_witnesses(lambda w: None if (w["attack"], w["sample_id"]) == (attack, gone) else w, f"{attack}@*")
    forge.recount()
    return changed


def test_a_draw_that_is_not_the_prefix_is_refused(forge, model, data, order):
    """A sample that the dear attack broke, exchanged for one behind the prefix that stands; sums mended."""
    standing = {r["sample_id"] for r in forge.all_facts() if r["attack"] == "weak" and r["outcome"] == "survived"}
    new = next(int(i) for i in order[PREFIX:] if i in standing)
    gone = first(forge.all_facts(), attack="dear", outcome="witness", source=lambda s: s != "transfer")["sample_id"]
    assert exchange(forge, "dear", gone, new) == len(GRID)
    verdict = verify(forge.folder, loaded(model, 5), data, CPU)
    assert {finding.check for finding in verdict.problems} == {"draw"}
    few = ", ".join(map(str, sorted((gone, new))))
    caught(verdict, "draw", f"dear: its samples are not the first ones of the slice's order (samples {few})")


def test_a_draw_that_changes_with_epsilon_is_refused(forge, model, data, order):
    new = int(order[-1])
    clean = first(forge.all_facts(), attack="clean", sample_id=new)
    told = {name: clean[name] for name in ("sample_id", "label", "clean_pred")}
    gone = int(order[0])
    mine = lambda r: r["sample_id"] == gone  # noqa: E731
    assert forge.edit_facts(lambda r: {**r, **SURVIVED, **told} if mine(r) else r, "dear@16_255*") == 1
    forge.recount()
    caught(verify(forge.folder, loaded(model, 5), data, CPU), "facts", f"facts are missing (sample {gone})")


def test_hard_samples_left_out_are_missed(forge, model, data, order):
    gone = first(forge.all_facts(), attack="dear", outcome="witness")["sample_id"]
    forge.edit_facts(lambda r: None if r["sample_id"] == gone else r, "dear@*")
    forge.edit_witnesses(lambda w: None if w["sample_id"] == gone else w, "dear@*")
    forge.recount()
    caught(verify(forge.folder, loaded(model, 5), data, CPU), "draw", "facts of 23 samples, run.json names 24")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda row: row["factors"][1].update(kept=row["factors"][1]["drawn"]), "factors[1].kept"),
        (lambda row: row["factors"][1].update(n=30), "factors[1].n"),
        (lambda row: row["factors"].pop(), "factors = "),
        (lambda row: row.update(robust_accuracy=row["robust_accuracy"] + 0.01), "robust_accuracy"),
        (lambda row: row.update(ci95=[row["robust_accuracy"]] * 2), "ci95[0]"),
        (lambda row: row.pop("status"), "status"),
        (lambda row: row.update(lowered=not row["lowered"]), "lowered"),
    ],
)
def test_an_altered_estimate_is_recounted(forge, model, data, change, where):
    forge.edit_json("summary.json", lambda summary: change(summary["worst_case"][1]))
    caught(verify(forge.folder, loaded(model, 5), data, CPU), "summary", f"worst_case.16/255.{where}")


def test_a_prefix_told_longer_than_it_was_is_refused(forge, model, data):
    """As if more samples stood behind the estimate; key and name mended."""
    forge.edit_json("run.json", lambda info: info["suite"]["attacks"][1].update(n=32))
    caught(verify(forge.folder, loaded(model, 5), data, CPU), "key", "one of them was altered")
    forge.rehash()
    caught(verify(forge.folder, loaded(model, 5), data, CPU), "draw", "facts of 24 samples, run.json names 32")


@pytest.mark.parametrize(("n", "what"), [(20, "has chunk 8 and n 20"), (8, "not grow"), (61, "not grow")])
def test_prefixes_that_cannot_be_are_refused(forge, model, data, n, what):
    forge.edit_json("run.json", lambda info: info["suite"]["attacks"][1].update(n=n))
    caught(verify(forge.folder, loaded(model, 5), data, CPU), "run", what)


def test_a_witness_of_a_sample_that_was_not_drawn_is_refused(forge, model, data, order):
    new = int(order[-1])
    row = first(forge.all_witnesses(), attack="dear")
    moved = forge.edit_witnesses(
        lambda w: {**w, "sample_id": new} if (w["attack"], w["sample_id"]) == ("dear", row["sample_id"]) else w
    )
    assert moved == 1
    verdict = verify(forge.folder, loaded(model, 5), data, CPU)
    assert not verdict.ok
    assert any(f"{new}" in finding.message for finding in verdict.problems if finding.check != "backing")


def test_a_transfer_that_no_earlier_attack_found_is_refused(forge, model, data):
    row = first(forge.all_facts(), attack="dear", outcome="witness", source="transfer")

    def change(r):
        mine = (r["attack"], r["sample_id"]) == ("dear", row["sample_id"]) and r["source"] == "transfer"
        return {**r, "margin": r["margin"] + 1} if mine else r

    assert forge.edit_facts(change) > 0
    caught(verify(forge.folder, loaded(model, 5), data, CPU), "transfer", "of which there is no such witness")


def test_another_n_than_the_installed_suite_s_is_noted(tmp_path, monkeypatch, model, data, honest):
    """Attacks and parameters are the suite's, the n is not."""
    from harness.trust.verify import verify as verifying

    known = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(GRID),
        mode="observed",
        chunk=16,
        attacks=(WEAK, DEAR, dataclasses.replace(MORE, n=24)),
    )
    monkeypatch.setattr(verifying, "load_suite", lambda name: known)
    monkeypatch.setattr(verifying, "Registry", lambda kind: {"toy": None})
    verdict = verify(honest.folder, loaded(model, 5), data, CPU)
    notes = [note.message for note in verdict.notes if note.check == "suite"]
    assert notes == ["attack 'more' ran on n = 16, which is not that of suite toy@1"]
    same = dataclasses.replace(known, attacks=(WEAK, DEAR, MORE))
    monkeypatch.setattr(verifying, "load_suite", lambda name: same)
    assert [n for n in verify(honest.folder, loaded(model, 5), data, CPU).notes if n.check == "suite"] == []
