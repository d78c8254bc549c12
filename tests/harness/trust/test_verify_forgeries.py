"""Forgeries, each made from an honest run, each as thorough as its author could be; verify must name every one."""

import dataclasses
import json

import pytest
import torch
from forgeries import facts as made_facts
from forgeries import images as made_images
from forgeries import words as made_words
from forgeries.honest import FGSM, KINDS, PGD
from forgeries.words import larger_epsilon
from forgery import SURVIVED, Forger, at, first, hide
from repository import ROOT
from toys import SmallNet, Toy, labeled, loaded, scripted

from harness.base.threat import parse_grid
from harness.evidence import facts
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import ModelCard

CPU = VerifyOptions(device="cpu")


@pytest.fixture(scope="module")
def model():
    return SmallNet()


@pytest.fixture(scope="module")
def data(model):
    images = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    images[:, :, :2] = 0  # dark borders, as photographs have them: a pixel there can leave the box inside the ball
    plain = labeled(model, 60)
    with torch.no_grad():
        labels = model.eval()(images).argmax(1)
    labels[:6] = (labels[:6] + 1) % 5
    return Toy(images, labels, plain.classes)


@pytest.fixture(scope="module")
def honest(tmp_path_factory, model, data):
    """Folders of honest runs, by kind; each verifies."""
    folders = {}
    for kind, (attacks, grid, script) in KINDS.items():
        with pytest.MonkeyPatch.context() as patch:
            if script is not None:
                flags = {"norm": "linf", **script}
                patch.setattr(Suite, "resolve", lambda self, flags=flags: (scripted(**flags),))
            suite = Suite(
                name="toy", version=1, norm="linf", grid=parse_grid(grid), mode="observed", chunk=32, attacks=attacks
            )
            where = tmp_path_factory.mktemp(kind)
            folders[kind] = evaluate(loaded(model, 5), suite, data, Options(where, device="cpu")).folder
        assert verify(folders[kind], loaded(model, 5), data, CPU).problems == ()
    return folders


@pytest.fixture
def forge(honest, data, tmp_path):
    return lambda kind="plain": Forger(honest[kind], tmp_path / "run", data)


PLAIN = {**made_images.CHECKS, **made_facts.CHECKS, **made_words.CHECKS}


def caught(verdict, check, names):
    assert verdict.value == "no"
    assert verdict.problems
    told = [finding.message for finding in verdict.problems if finding.check == check]
    assert told, [f"{finding.check}: {finding.message}" for finding in verdict.problems]
    assert any(names in message for message in told), told


@pytest.mark.parametrize("forgery", PLAIN, ids=lambda forgery: forgery.__name__)
def test_a_forgery_is_caught_and_named(forge, model, data, forgery):
    forger = forge()
    names = forgery(forger)
    caught(verify(forger.folder, loaded(model, 5), data, CPU), PLAIN[forgery], names)


def test_another_checkpoint_is_named(forge, data):
    """The same architecture, other weights; and weights that differ in one number."""
    verdict = verify(forge().folder, loaded(SmallNet(seed=1), 5), data, CPU)
    caught(verdict, "model", "the run names checkpoint 'toy-model'")


@pytest.mark.parametrize("name", ["defense", "architecture", "trained_for"])
def test_a_run_that_says_more_of_the_model_than_its_card_is_named(data, model, tmp_path, name):
    card = ModelCard("toy-model", "standard", "small", 5, (3, 8, 8))
    carded = dataclasses.replace(loaded(model, 5), card=card)
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["8/255"]),
        mode="observed",
        chunk=32,
        attacks=KINDS["plain"][0][:1],
    )
    run = evaluate(carded, suite, data, Options(tmp_path / "honest", device="cpu")).folder
    assert verify(run, carded, data, CPU).problems == ()
    without = verify(run, loaded(model, 5), data, CPU)
    assert without.problems == ()
    assert any("is its author's word" in note.message for note in without.notes)
    forger = Forger(run, tmp_path / "run", data)
    better = {"trained_for": {"norm": "linf", "epsilon": "16/255"}}
    forger.edit_json("run.json", lambda info: info["card"].update({name: better.get(name, "trades")}))
    caught(verify(forger.folder, carded, data, CPU), "card", f"run.json's card has {name}")


def test_a_checkpoint_that_differs_in_one_bit_is_named(forge, data):
    other = SmallNet()
    weight = other.body[0].weight.data.view(-1)
    weight[0] = torch.nextafter(weight[0], torch.tensor(1.0))
    caught(verify(forge().folder, loaded(other, 5), data, CPU), "model", "hash")


@pytest.mark.parametrize("what", ["pixel", "label", "order"])
def test_other_data_is_named(forge, model, data, what):
    images, labels = data.images.clone(), data.labels.clone()
    if what == "pixel":
        images[0, 0, 0, 0] = 1 / 255
    elif what == "label":
        labels[0] = (labels[0] + 1) % 5
    else:
        images, labels = images.flip(0), labels.flip(0)
    other = dataclasses.replace(data, images=images, labels=labels)
    caught(verify(forge().folder, loaded(model, 5), other, CPU), "data", "sha256:")


def test_a_component_that_says_otherwise_is_named(forge, model, data):
    forger = forge("cascade")
    row = first(forger.all_facts(), component="second", outcome="witness")
    forger.edit_facts(lambda r: {**r, **SURVIVED} if at(r, row) else r)
    forger.edit_witnesses(lambda w: None if (w["sample_id"], w["component"]) == (row["sample_id"], "second") else w)
    forger.recount()
    caught(verify(forger.folder, loaded(model, 5), data, CPU), "component", f"sample {row['sample_id']}")


def test_a_cascade_that_hides_what_its_component_found_is_named(forge, model, data):
    forger = forge("cascade")
    row = first(forger.all_facts(), component=None, outcome="witness", epsilon=lambda e: e > 15 / 255)
    forger.edit_facts(lambda r: {**r, **SURVIVED} if at(r, row) else r)
    forger.recount()
    caught(verify(forger.folder, loaded(model, 5), data, CPU), "component", "a component has a witness")


@pytest.mark.parametrize("settled", ["witness", "inherited"])
def test_breaks_invented_for_a_component_are_named(forge, model, data, settled):
    """What the first component, or a smaller epsilon, broke is told as the second's as well."""
    forger = forge("cascade")
    rows = forger.all_facts()
    done = {(r["sample_id"], r["epsilon"]) for r in rows if r["component"] is None and r["outcome"] == settled}
    told = {"outcome": "witness", "reason": None, "distance": 0.001, "margin": 9.0, "source": "query", "restart": 0}

    def lie(r):
        if (r["component"], r["outcome"]) != ("second", "not_run") or (r["sample_id"], r["epsilon"]) not in done:
            return r
        return {**r, **told, "adv_pred": (r["label"] + 1) % 5}

    assert forger.edit_facts(lie) > 3
    forger.recount()
    verdict = verify(forger.folder, loaded(model, 5), data, CPU)
    caught(verdict, "component", "attacked, though it was settled before this component's turn (sample")
    if settled == "witness":
        caught(verdict, "backing", "c (second) at 16/255: broken, but no witness is stored")


def test_a_component_s_break_without_its_image_is_named(forge, model, data):
    """Each component runs on all samples, and the other one's image still shows that the sample is broken."""
    forger = forge("individual")
    both = {w["sample_id"] for w in forger.all_witnesses() if w["component"] == "first"}
    gone = first(forger.all_witnesses(), component="second", sample_id=lambda i: i in both)
    forger.edit_witnesses(lambda w: None if at(w, gone) else w)
    verdict = verify(forger.folder, loaded(model, 5), data, CPU)
    assert {problem.check for problem in verdict.problems} == {"backing"}
    caught(verdict, "backing", f"no witness is stored at this or a smaller epsilon (sample {gone['sample_id']})")


def test_a_nearest_witness_hidden_at_an_epsilon_it_reaches_is_named(forge, model, data):
    forger = forge("minimum")
    row = first(forger.all_facts(), outcome="witness", epsilon=lambda e: 7 / 255 < e < 9 / 255)
    low = {r["epsilon"] for r in forger.all_facts() if r["epsilon"] < row["epsilon"] and r["attack"] == "m"}
    hidden = low | {row["epsilon"]}
    mine = (row["sample_id"], "m")
    forger.edit_facts(
        lambda r: {**r, **SURVIVED} if (r["sample_id"], r["attack"]) == mine and r["epsilon"] in hidden else r
    )
    top = max(r["epsilon"] for r in forger.all_facts())
    forger.edit_witnesses(lambda w: {**w, "epsilon": top} if (w["sample_id"], w["attack"]) == mine else w)
    forger.recount()
    caught(verify(forger.folder, loaded(model, 5), data, CPU), "nested", f"sample {row['sample_id']}")


def test_a_targeted_success_that_misses_its_target_is_named(forge, model, data):
    """Misclassified, but not as the target; told as if that class had been the target."""
    forger = forge("targeted")
    row = first(forger.all_facts(), outcome="witness")
    other = next(c for c in range(5) if c not in (row["target"], row["label"]))
    mine = (row["sample_id"], "t")
    forger.edit_facts(lambda r: {**r, "target": other} if (r["sample_id"], r["attack"]) == mine else r)
    caught(verify(forger.folder, loaded(model, 5), data, CPU), "target", "kth:2")
    forger.edit_facts(lambda r: {**r, "target": None} if (r["sample_id"], r["attack"]) == mine else r)
    caught(verify(forger.folder, loaded(model, 5), data, CPU), "target", "without a target")


def test_what_evidence_cannot_show_is_left_to_replay(forge, model, data):
    """Breaks hidden without a trace, and a larger epsilon told: consistent, so only the survivors can be asked."""
    forger = forge()
    last = {r["sample_id"] for r in forger.all_facts() if r["attack"] == "pgd" and r["outcome"] == "witness"}
    hide(forger, last, "pgd")
    hide(forger, last, "fgsm")
    verdict = verify(forger.folder, loaded(model, 5), data, CPU)
    assert verdict.value == "breaks verified"
    asked = dataclasses.replace(CPU, replay=40, seed=1)
    caught(verify(forger.folder, loaded(model, 5), data, asked), "replay", "200 runs of 200")


def test_survivors_of_a_larger_epsilon_than_was_run_are_left_to_replay(forge, model, data):
    forger = forge()
    assert larger_epsilon(forger) is None
    assert "32/255" in json.dumps(forger.info)
    caught(
        verify(forger.folder, loaded(model, 5), data, dataclasses.replace(CPU, replay=40, seed=1)),
        "attack",
        "another resolved",
    )
    # The forger mends that too: every parameter of the larger epsilon.
    suite = Suite(
        name="toy", version=1, norm="linf", grid=parse_grid(["32/255"]), mode="observed", chunk=32, attacks=(FGSM, PGD)
    )
    resolved = [attack.parameters(32 / 255) for attack in suite.resolve()]

    def change(info):
        for attack, parameters in zip(info["suite"]["attacks"], resolved, strict=True):
            attack["resolved"]["32/255"] = parameters

    forger.edit_json("run.json", change)
    forger.rehash()
    assert verify(forger.folder, loaded(model, 5), data, CPU).ok
    asked = dataclasses.replace(CPU, replay=40, seed=1)
    caught(verify(forger.folder, loaded(model, 5), data, asked), "replay", "at 32/255")


def test_a_byte_changed_on_the_way_is_named_or_changes_nothing(forge, model, data):
    """Nothing is trusted to a checksum: what still decodes must still prove the same."""
    forger = forge()
    proved = [(b.attack, b.epsilon, b.proved) for b in verify(forger.folder, loaded(model, 5), data, CPU).bounds]
    generator, named = torch.Generator().manual_seed(0), 0
    for path in [*(forger.folder / "facts").glob("pgd@*"), *(forger.folder / "witnesses").glob("pgd@*")]:
        content = path.read_bytes()
        spot = int(torch.randint(len(content), (), generator=generator))
        path.write_bytes(content[:spot] + bytes([content[spot] ^ 0xFF]) + content[spot + 1 :])
        verdict = verify(forger.folder, loaded(model, 5), data, CPU)
        named += not verdict.ok
        assert not verdict.ok or [(b.attack, b.epsilon, b.proved) for b in verdict.bounds] == proved
        path.write_bytes(content)
    assert named > 0


def test_nothing_honest_is_called_forged(forge, model, data):
    """What a copy may change without saying anything else: order of rows, names of files, the folder's own name."""
    forger = forge()
    for path in (forger.folder / "facts").glob("pgd@*"):
        table = facts.read(path)
        facts.write(path, table.take(list(range(len(table)))[::-1]))
    for path in sorted((forger.folder / "witnesses").glob("*.parquet")):
        path.rename(path.with_name("x" + path.name))
    (forger.folder / "log.txt").write_text("anything")
    assert verify(forger.folder, loaded(model, 5), data, CPU).problems == ()


def test_every_check_is_documented():
    page = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    checks = {*PLAIN.values(), "component", "nested", "target", "attack", "replay"}
    assert [check for check in sorted(checks) if f"`{check}`" not in page] == []
