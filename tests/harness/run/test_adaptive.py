"""Runs with adapted attacks: suites, cards and options, resumed, verified, and what they refuse."""

import pytest
from masked import Zeroed, linear_problem, loaded, masked
from observed import suite

from harness.errors import BadSuite, UnknownName, UsageError
from harness.evidence.run_json import parse
from harness.evidence.structs import as_json
from harness.evidence.suite_label import definition, shown_label
from harness.inputs.adaptations import check_adapt
from harness.inputs.suite_file import load_suite, read_suite
from harness.run.adaptive import evaluate
from harness.run.job import Options
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import LoadedModel, ModelCard
from model_zoo.loading.card_file import read_card, write_card

SUITE = """\
name = "mine"
version = 1
norm = "linf"
epsilons = ["8/255"]

[[attack]]
id = "pgd-7"
tool = "torchattacks"
method = "pgd"
params = { steps = 7, step_size = "epsilon/4", random_start = true }

[[attack]]
id = "pgd-7+identity@mask"
tool = "torchattacks"
method = "pgd"
after = "all"
adapt = ["identity:mask", "temperature:2"]
params = { steps = 7, step_size = "epsilon/4", random_start = true }
"""


@pytest.fixture
def problem():
    model, data, needed = linear_problem(24)
    return masked(mask=Zeroed(), net=model), data, float(needed.median())


def test_an_adapted_run_is_resumed_and_verified(tmp_path, problem):
    whole, data, epsilon = problem
    options = Options(tmp_path, device="cpu", adapt=["identity:mask"])
    made = suite((epsilon,), chunk=64)
    first = evaluate(loaded(whole, 2), made, data, options)
    again = evaluate(loaded(whole, 2), made, data, options)
    assert again.info.key == first.info.key
    assert again.facts.equals(first.facts)
    assert again.info.sessions == 2
    told = parse(as_json(first.info))
    assert told == first.info
    assert told.suite.attacks[1].adaptations == ("identity:mask",)
    verdict = verify(first.folder, loaded(whole, 2), data, VerifyOptions(6, 1, "cpu"))
    assert verdict.problems == ()
    assert verdict.replay.drawn == 6


def test_a_suite_file_declares_adaptations_and_keeps_its_name(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(SUITE)
    attack = read_suite(path).attacks[1]
    assert attack.adapt == ("identity:mask", "temperature:2")
    for old, new, words in (
        ('["identity:mask", "temperature:2"]', '"identity:mask"', "line 17: adapt must be a list"),
        ('["identity:mask", "temperature:2"]', "[]", "line 17: adapt of attack"),
        ('"temperature:2"', '"temperature:2,margin"', "without commas"),
        ('"pgd-7+identity@mask"', '"pgd-7b"', r"does not say that the attack is adapted; call it pgd-7b\+identity"),
        ('"pgd-7+identity@mask"', '"pgd-8+identity"', "says 8, and its steps are 7"),
    ):
        path.write_text(SUITE.replace(old, new))
        with pytest.raises(BadSuite, match=words):
            read_suite(path)
    head, first, second = SUITE.split("[[attack]]")
    path.write_text("[[attack]]".join((head, second.replace('after = "all"', ""), first)))
    with pytest.raises(BadSuite, match="adapted attacks stand last"):
        read_suite(path)


def test_a_built_in_suite_keeps_its_name_with_adapted_attacks_behind_it(tmp_path, problem):
    whole, data, epsilon = problem
    plain = evaluate(loaded(whole, 2), load_suite("fgsm").with_grid([epsilon]), data, Options(tmp_path, device="cpu"))
    options = Options(tmp_path, device="cpu", adapt=["fgsm=identity:mask"])
    adapted = evaluate(loaded(whole, 2), load_suite("fgsm").with_grid([epsilon]), data, options)
    assert shown_label(adapted.info) == shown_label(plain.info) == plain.info.suite.label
    assert definition(adapted.info.suite) == definition(plain.info.suite)
    assert "P27" not in {finding["check"] for finding in adapted.summary["findings"]}
    assert adapted.info.reused == 1  # the clean pass alone is computed anew
    worst = [run.summary["worst_case"][0]["robust_accuracy"] for run in (plain, adapted)]
    assert worst[1] < worst[0]


def test_a_card_declares_how_its_model_is_attacked(tmp_path, problem):
    whole, data, epsilon = problem
    card = ModelCard(
        "mask", "none", "linear", 2, (3, 8, 8), adaptation=({"adapt": ["identity:mask", "margin"], "why": "it hides"},)
    )
    write_card(card, tmp_path / "card.toml")
    assert read_card(tmp_path / "card.toml").adaptation == card.adaptation
    model = LoadedModel("mask", whole, 2, (3, 8, 8), card=card)
    run = evaluate(model, suite((epsilon,), chunk=64), data, Options(tmp_path, device="cpu", adapt=["card"]))
    assert [a.id for a in run.info.suite.attacks] == ["attack", "apgd-ce-100+identity@mask+margin"]
    with pytest.raises(UsageError, match=r"has no \[\[adaptation\]\]"):
        evaluate(loaded(whole, 2), suite((epsilon,)), data, Options(tmp_path, device="cpu", adapt=["card"]))


def test_what_is_asked_for_is_checked_before_anything_is_measured(tmp_path, problem):
    whole, data, epsilon = problem
    attacks = suite((epsilon,)).attacks
    with pytest.raises(UsageError, match="the suite has no attack 'pgd'"):
        check_adapt(["pgd=margin"], attacks)
    with pytest.raises(UnknownName, match="marginal"):
        check_adapt(["marginal"], attacks)
    with pytest.raises(BadSuite, match="no module 'maks'; it has mask, net"):
        evaluate(loaded(whole, 2), suite((epsilon,)), data, Options(tmp_path, device="cpu", adapt=["identity:maks"]))
    assert not list(tmp_path.glob("*/facts/*.parquet"))
