"""AutoAttack: the harness's cascade is the tool's, its warnings are findings, and nothing leaks."""

import dataclasses
import sys
import types
import warnings

import pytest
import torch
from strikes import make
from torch import nn
from toys import Linear, SmallNet, labeled

from adapters.autoattack import parts
from adapters.autoattack.budget import CONSTANTS
from harness.attack import ToolRemark, ToolWarning
from harness.base.threat import distance
from harness.errors import AttackFailed, BadSuite, MissingPackage
from harness.types import Problem

pyautoattack = pytest.importorskip("pyautoattack")
pytestmark = pytest.mark.autoattack

EPSILON = {"linf": 2 / 255, "l2": 0.12, "l1": 1.5}
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


@pytest.fixture
def net():
    model = SmallNet(seed=3).eval().requires_grad_(False)
    return model, labeled(model, 24, eight_bit=True)


def problem_of(data, norm="linf", seed=0, component=None, classes=5, rows=None):
    rows = slice(None) if rows is None else rows
    images, labels = data.images[rows].clone(), data.labels[rows].clone()
    return Problem(images, labels, norm, EPSILON[norm], seed, classes, len(images), component)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("version", ["standard", "plus", "rand"])
def test_budgets_are_those_of_the_tool(version, norm):
    """Every attribute of every member, against the object the tool itself makes for the version."""
    model, attack = nn.Identity(), make(f"autoattack.{version}", norm)
    theirs = pyautoattack.AutoAttack(model, norm=NORMS[norm], eps=0.1, seed=3, version=version)
    assert list(attack.components) == theirs.attacks_to_run
    holder = {"apgd-ce": "apgd", "apgd-dlr": "apgd", "apgd-t": "apgd_targeted", "fab": "fab", "fab-t": "fab"}
    problem = Problem(torch.rand(1, 3, 4, 4), torch.zeros(1), norm, 0.1, 3, 43, 1)
    for component in attack.components:
        ours = vars(parts.build(component, model, problem, attack.budget))
        reference = dict(vars(getattr(theirs, holder.get(component, "square"))))
        # What the tool sets only when it runs a member; and whom it tells.
        reference["targeted"] = ours.get("targeted")
        reference["loss"] = ours.get("loss")
        if component == "fab-t":
            reference["n_restarts"] = 1
        for name in ("logger", "device", "targeted", "loss"):
            ours.pop(name, None)
            reference.pop(name, None)
        assert ours == reference
    record = attack.parameters(0.1)
    assert record["steps"] == 100
    assert set(CONSTANTS) <= set(record)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_cascade_run_by_components_is_the_tools(net, norm):
    model, data = net
    order = ["apgd-ce", "apgd-t", "fab-t", "square"]
    theirs = pyautoattack.AutoAttack(
        model, norm=NORMS[norm], eps=EPSILON[norm], seed=7, version="custom", attacks=list(order)
    )
    for member in (theirs.apgd, theirs.apgd_targeted, theirs.fab):
        member.n_iter = member.n_iter_orig = 8
        member.n_restarts = 1
    for member in (theirs.apgd, theirs.apgd_targeted):
        member.n_iter_2, member.n_iter_min, member.size_decr = 1, 1, 1  # what 8 steps make of them
    theirs.apgd_targeted.n_target_classes = theirs.fab.n_target_classes = 4
    theirs.square.n_queries = 60
    reference, _ = theirs.run_standard_evaluation(data.images, data.labels, batch_size=64)
    ours = make("autoattack.custom", norm, components=order, steps=8, apgd_targets=9, fab_targets=9, queries=60)
    images, left = data.images.clone(), torch.arange(len(data.images))
    after = []
    for component in ours.components:
        back = ours.perturb(model, problem_of(data, norm, 7, component, rows=left))
        wrong = model(back).argmax(1) != data.labels[left]
        images[left[wrong]] = back[wrong]
        left = left[~wrong]
        after.append(len(left))
    assert torch.equal(images, reference)
    assert len(data.images) > after[0] > after[-1] > 0


def test_what_the_checks_say_becomes_tool_warnings(net, capfd):
    model, data = net

    class Random(nn.Module):
        def forward(self, images):
            return model(images + 0.05 * torch.randn_like(images))

    class Probabilities(nn.Module):
        def forward(self, images):
            return model(images).softmax(1)

    class Blind(nn.Module):
        def forward(self, images):
            return model(images.round())

    for defense, text in (
        (Random(), "randomized defense"),
        (Probabilities(), "probability"),
        (Blind(), "zero gradient"),
    ):
        attack = make("autoattack.apgd-dlr", "linf", steps=2)
        with pytest.warns(ToolWarning, match=text) as found:
            attack.perturb(defense, problem_of(data))
        assert len({str(warning.message) for warning in found}) <= 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make("autoattack.apgd-ce", "linf", steps=2).perturb(model, problem_of(data))
    assert capfd.readouterr() == ("", "")


def test_checks_run_once_a_cascade_and_not_for_randomized_versions(net):
    model, data = net
    calls = []

    class Counted(nn.Module):
        def forward(self, images):
            calls.append(len(images))
            return model(images)

    def forwards(name, component, **changes):
        calls.clear()
        make(name, "linf", **changes).perturb(Counted(), problem_of(data, component=component))
        return len(calls)

    both = {"components": ["apgd-ce", "apgd-dlr"], "steps": 1}
    first, second = (forwards("autoattack.custom", part, **both) for part in both["components"])
    assert first == second + 7  # five for randomness, one for the range, one traced
    assert make("autoattack.rand", "linf").randomized


def test_few_classes_leave_out_what_is_not_defined():
    model = SmallNet(classes=3, seed=3).eval().requires_grad_(False)
    data = labeled(model, 16, eight_bit=True)
    attack = make("autoattack.custom", "linf", components=["apgd-ce", "apgd-t", "fab-t"], steps=5, fab_targets=9)
    with pytest.warns(ToolWarning, match="apgd-t was left out: its loss needs 4 classes, and the model has 3"):
        assert attack.perturb(model, problem_of(data, component="apgd-t", classes=3)) is None
    pair = Linear().eval()
    with pytest.warns(ToolRemark, match="apgd-t was left out: .* nothing is lost"):
        assert attack.perturb(pair, problem_of(labeled(pair, 4), component="apgd-t", classes=2)) is None
    with pytest.raises(AttackFailed, match="apgd-t cannot run: its loss needs 4 classes"):
        make("autoattack.apgd-t", "linf").perturb(model, problem_of(data, classes=3))
    for component in ("apgd-ce", "fab-t"):
        back = attack.perturb(model, problem_of(data, component=component, classes=3))
        assert (model(back).argmax(1) != data.labels).any()


def test_only_the_seed_decides(net):
    model, data = net
    attack = make("autoattack.apgd-ce", "linf", steps=5)
    back = [attack.perturb(model, problem_of(data, seed=seed)) for seed in (1, 1, 2)]
    assert torch.equal(back[0], back[1])
    assert not torch.equal(back[1], back[2])


def test_a_single_row_comes_back_as_it_went_in(net):
    model, data = net
    problem = problem_of(data, rows=slice(0, 1))
    before = problem.images.clone()
    back = make("autoattack.apgd-ce", "linf", steps=2).perturb(model, problem)
    assert torch.equal(problem.images, before)
    assert back.shape == before.shape


def test_the_git_distribution_does_as_well(net, monkeypatch):
    """It has the same modules, and a logger that is called otherwise."""
    model, data = net
    fake = types.ModuleType("autoattack")
    fake.__path__ = []
    fake.__spec__ = types.SimpleNamespace(name="autoattack")
    monkeypatch.setitem(sys.modules, "autoattack", fake)
    for name in ("autopgd_base", "fab_pt", "square", "checks"):
        monkeypatch.setitem(sys.modules, f"autoattack.{name}", getattr(__import__(f"pyautoattack.{name}"), name))
    monkeypatch.setattr(parts, "PACKAGES", ("autoattack",))
    assert make("autoattack.apgd-ce", "linf", steps=2).perturb(model, problem_of(data)) is not None
    with pytest.warns(ToolWarning, match=r"^it seems to be a dynamic defense!$"):
        parts.Warnings().log("Warning: it seems to be a dynamic defense! See flags_doc.md for details.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts.Warnings().log("robust accuracy: 40.00%")


def test_without_either_distribution_it_says_what_to_install(net, monkeypatch):
    model, data = net
    monkeypatch.setattr(parts, "PACKAGES", ("no_such_package",))
    with pytest.raises(MissingPackage, match="pip install pyautoattack"):
        make("autoattack.apgd-ce", "linf").perturb(model, problem_of(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": ["apgd"]}, "components must be some of"),
        ({"components": []}, "components must be some of"),
        ({"components": ["square", "square"]}, "each once"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"larger_radii": True}, "works in l1 only"),
        ({"restarts": 2}, "leave restarts out"),
    ],
)
def test_bad_budgets_are_refused(changes, message):
    with pytest.raises(BadSuite, match=message):
        make("autoattack.custom", "linf", **changes)


def test_components_may_be_run_individually():
    assert make("autoattack.standard", "linf", individual=True).individual
    assert not make("autoattack.standard", "linf").individual


def test_a_single_component_has_its_own_parameters_and_no_parts():
    attack = make("autoattack.square", "linf", restarts=3)
    assert attack.components == (None,)
    assert attack.restarts == 3
    assert attack.parameters(0.1) == {"p_init": 0.8, "queries": 800, "restarts": 3}
    fab = make("autoattack.fab", "l2", restarts=3)
    assert fab.restarts == 1
    assert fab.budget.fab_restarts == 3
    assert make("autoattack.apgd-ce", "l1").budget.larger_radii
    with pytest.raises(BadSuite, match="steps must be at least 1"):
        make("autoattack.fab", "l2", steps=0)
    with pytest.raises(BadSuite, match="steps must be at least 3, not 2"):
        make("autoattack.apgd-ce", "l1", steps=2)


class Asked(nn.Module):
    """Linear, and counts its queries."""

    def __init__(self):
        super().__init__()
        self.weights = torch.randn(10, 3 * 8 * 8, generator=torch.Generator().manual_seed(0))
        self.queries = 0

    def forward(self, images):
        self.queries += 1
        return images.flatten(1) @ self.weights.T


@pytest.mark.parametrize("eot", [1, 2])
@pytest.mark.parametrize("component", ["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"])
def test_it_is_known_about_how_often_a_component_asks(component, eot):
    counts = {"steps": 40, "apgd_targets": 3, "fab_targets": 5, "fab_restarts": 2, "queries": 300, "eot": eot}
    attack = make("autoattack.custom", "linf", components=[component], **counts)
    model = Asked()
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = model(images).argmax(1)
    model.queries = 0
    attack.perturb(model, Problem(images, labels, "linf", 1e-5, 0, 10, 2, component))
    assert model.queries * 0.75 < attack.queries(component) <= model.queries


def test_a_single_component_knows_how_often_it_asks():
    assert make("autoattack.square", "linf").queries(None) == 800
    assert make("torchattacks.pgd", "linf").queries(None) == make("torchattacks.pgd", "linf").params["steps"]
    assert make("torchattacks.fgsm", "linf").queries(None) is None


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_one_run_of_fab_t_breaks_what_the_tool_breaks_at_every_epsilon(net, norm):
    """The tool leaves classes out once a sample broke inside the ball; which classes is all that epsilon decides."""
    model, data = net
    attack, problem, broken = make("autoattack.fab-t", norm), problem_of(data, norm), []
    reach = distance(attack.perturb(model, problem), problem.images, norm)
    for epsilon in (0.3 * EPSILON[norm], EPSILON[norm], 3 * EPSILON[norm]):
        tool = parts.build("fab-t", model, dataclasses.replace(problem, epsilon=epsilon), attack.budget)
        returned = tool.perturb(problem.images.clone(), problem.labels.clone())
        theirs = model(returned).argmax(1) != problem.labels
        assert torch.equal((reach > 0) & (reach <= epsilon), theirs)
        broken.append(int(theirs.sum()))
    assert broken[0] < broken[1] < broken[2] <= len(problem.images)


def test_fab_t_refuses_restarts_that_would_repeat_it():
    with pytest.raises(BadSuite, match="fab-t draws nothing"):
        make("autoattack.fab-t", "linf", restarts=2)
