"""No parameter of a wrapped class is left to the tool's default."""

import contextlib
import inspect

import pytest
import torch
from strikes import DISTRIBUTIONS, METHODS, make
from torch import nn

from adapters.common import MAY_BE_ZERO, SHARES, ToolAttack
from harness.errors import AttackFailed, BadSuite
from harness.types import Problem

WRAPPED = [
    pytest.param(name, kind, marks=getattr(pytest.mark, name.partition(".")[0]), id=name)
    for name, kind in METHODS.items()
    if issubclass(kind, ToolAttack)
]


def tool_class(name, kind):
    tool = name.partition(".")[0]
    module = pytest.importorskip("art.attacks.evasion" if tool == "art" else DISTRIBUTIONS[tool])
    return getattr(module, kind.tool_class)


def problem(classes=5):
    return Problem(torch.rand(1, 3, 8, 8), torch.zeros(1, dtype=torch.int64), "linf", 0.1, 0, classes, 1)


@pytest.mark.parametrize(("name", "kind"), WRAPPED)
def test_every_argument_of_the_tool_is_accounted_for_once(name, kind):
    takes = set(inspect.signature(tool_class(name, kind)).parameters) - {"model"}
    attack = make(name, kind.norms[0])
    quiet = set(getattr(kind, "quiet", ()))
    groups = [set(attack.arguments(0.1)), set(kind.plumbing), set(kind.neutral) | quiet]
    overlap = [a & b for i, a in enumerate(groups) for b in groups[i + 1 :]]
    assert not any(overlap), f"named twice: {overlap}"
    passed = set.union(*groups)
    assert takes - passed == set(), "left to the tool's default"
    assert passed - takes <= {"summary_writer"}, "the tool takes no such argument"


def test_this_very_check_notices_a_forgotten_parameter(monkeypatch):
    """The check above must fail for an adapter that forgets a strength."""
    pytest.importorskip("torchattacks")
    kind = METHODS["torchattacks.pgd"]
    monkeypatch.setattr(kind, "strength", {"steps": int, "random_start": bool})
    with pytest.raises(AssertionError, match="left to the tool's default"):
        test_every_argument_of_the_tool_is_accounted_for_once("torchattacks.pgd", kind)


@pytest.mark.parametrize(("name", "kind"), WRAPPED)
def test_the_record_names_every_parameter_with_its_value(name, kind):
    attack = make(name, kind.norms[0])
    record = attack.parameters(0.08)
    assert set(record) == {*kind.strength, *kind.fixed, "restarts"}
    if isinstance(attack.params.get("step_size"), str):  # a number under a mask, whose radius is 1
        assert record["step_size"] == pytest.approx(0.08 * {"2*epsilon": 2, "1.25*epsilon": 1.25}.get(
            attack.params["step_size"], 0.25))  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), WRAPPED)
def test_values_reach_the_tool(name, kind, monkeypatch):
    """What the adapter resolves is what the tool's constructor is called with."""
    seen = {}
    cls = tool_class(name, kind)

    class Stop(BaseException):
        pass

    def record(*args, **keywords):
        seen.update(keywords)
        raise Stop

    record.__name__ = cls.__name__
    holder = "art.attacks.evasion" if name.startswith("art.") else "torchattacks"
    monkeypatch.setattr(f"{holder}.{kind.tool_class}", record)
    attack = make(name, kind.norms[0])
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).requires_grad_(False)
    with pytest.raises(Stop):
        attack.perturb(model, Problem(*_batch(), kind.norms[0], 0.08, 7, 5, 2))
    for key, value in attack.arguments(0.08).items():
        assert seen[key] == value
        assert type(seen[key]) is type(value)
    radius = 0.08 if "ball" in kind.threats else 1.0  # under a mask, whatever share it covers
    wanted = {"eps": radius, "max_epsilon": 0.08, "seed": 7, "batch_size": 2, "targeted": False}
    for key in set(wanted) & set(kind.plumbing):
        assert seen[key] == wanted[key]


def _batch():
    return torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(("name", "kind"), WRAPPED)
def test_bad_parameters_are_refused_in_one_line(name, kind):
    norm = kind.norms[0]
    with pytest.raises(BadSuite, match="unknown parameter 'alpha'"):
        make(name, norm, alpha=1.0)
    for key, expected in kind.strength.items():
        if expected is int:
            with pytest.raises(BadSuite, match=f"{key} must be at least 1, not 0"):
                make(name, norm, **{key: 0})
        if expected is float:
            with pytest.raises(BadSuite, match=f"attack '{name.replace('.', '/')}': {key} must be .* 0, not -0.01"):
                make(name, norm, **{key: -0.01})
            for zero in (0, "0*epsilon"):
                with contextlib.nullcontext() if key in MAY_BE_ZERO else pytest.raises(BadSuite, match="above 0"):
                    make(name, norm, **{key: zero})
        if key in SHARES:
            with pytest.raises(BadSuite, match=f"{key} must be at most 1, not 1.5"):
                make(name, norm, **{key: 1.5})
        if key in kind.choices:
            with pytest.raises(BadSuite, match=f"{key} must be one of"):
                make(name, norm, **{key: "x"})


def test_only_parameters_that_exist_may_be_zero():
    floats = {key for kind in METHODS.values() for key, expected in kind.strength.items() if expected is float}
    assert floats >= MAY_BE_ZERO | SHARES


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"const_factor": 1.0}, "const_factor must be above 1"), ({"largest_const": 0.01}, "above initial_const")],
)
def test_a_search_for_the_constant_must_move_and_end(changes, message):
    with pytest.raises(BadSuite, match=message):
        make("art.cw-linf", "linf", **changes)


def test_targets_are_offered_where_the_tool_has_them_and_refused_elsewhere():
    assert make("torchattacks.pgd", "linf", target="kth:2").kind == "targeted"
    assert make("torchattacks.cw", "l2", target="least_likely").kind == "minimum"
    with pytest.raises(BadSuite, match="target 'worst' is not a rule"):
        make("torchattacks.pgd", "linf", target="worst")
    with pytest.raises(BadSuite, match="unknown parameter 'target'"):
        make("torchattacks.apgd", "linf", target="kth:2")


@pytest.mark.parametrize("name", ["torchattacks.apgdt", "torchattacks.cascade-10"])
def test_too_few_classes_are_an_error_that_says_so(name):
    with pytest.raises(AttackFailed, match="needs at least 4 classes, and this model has 3"):
        make(name, "linf").perturb(nn.Identity(), problem(3))
    with pytest.raises(AttackFailed, match="needs at least 3 classes"):
        make("torchattacks.apgd", "linf", loss="dlr").perturb(nn.Identity(), problem(2))
