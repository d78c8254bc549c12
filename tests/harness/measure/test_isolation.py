"""What a stranger's plugin does wrong stays in its own cells, names its package, and changes no other number."""

import random
import sys
import time
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from toys import SmallNet, labeled, loaded

from harness.attack import BaseAttack
from harness.base.threat import parse_grid
from harness.cli import main
from harness.errors import PluginError, UsageError
from harness.inputs import registry
from harness.inputs.suite import Suite
from harness.measure.unit.isolation import breaches
from harness.run.job import Options, evaluate
from harness.types import AttackSpec

MODEL = SmallNet()
TOY = labeled(MODEL, 24, wrong=2)
GOOD = AttackSpec("good", "torchattacks", "pgd", {"steps": 3, "step_size": "epsilon/2", "random_start": True})


def raises(model, problem):
    model(problem.images)
    raise RuntimeError("out of\nideas")


def leaves(model, problem):
    sys.exit(7)


def wrong_shape(model, problem):
    return problem.images[:, :, :4]


def no_tensor(model, problem):
    return problem.images.numpy()


def nan(model, problem):
    return torch.full_like(problem.images, torch.nan)


def far(model, problem):
    return 1 - problem.images


def changes(model, problem):
    """Makes every prediction wrong, by force."""
    with torch.no_grad():
        for parameter in model._network[0].parameters():
            parameter.mul_(-1)
    model(problem.images)


def trains(model, problem):
    model._network[0].train()
    return problem.images


def hangs(model, problem):
    while True:
        time.sleep(0.01)


def prints(model, problem):
    print("look at me")
    print("and at me", file=sys.stderr)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    return problem.images


class Strange(BaseAttack):
    distribution = "torch"
    play = None

    def perturb(self, model, problem):
        return type(self).play(model, problem)


@pytest.fixture
def strange(monkeypatch):
    """Registers attacks as package ``weird``'s, next to the real ones."""
    real = registry.points

    def register(**attacks):
        points = []
        for name, value in attacks.items():
            module = ModuleType(f"weird_{name}")
            if value is not None:
                module.attack = value
                monkeypatch.setitem(sys.modules, module.__name__, module)
            point = EntryPoint(f"weird.{name}", f"{module.__name__}:attack", "harness.attacks")
            vars(point)["dist"] = SimpleNamespace(name="weird", version="1.0")
            points.append(point)
        monkeypatch.setattr(
            registry, "points", lambda group: [*real(group=group), *(p for p in points if p.group == group)]
        )

    return register


def attack(play):
    return type("Strange", (Strange,), {"play": staticmethod(play)})


def measured(tmp_path, *names, timeout=None, folder="results"):
    specs = [AttackSpec(name, "weird", name, {}) for name in names]
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["2/255", "8/255"]),
        mode="observed",
        chunk=16,
        attacks=(*specs, GOOD),
    )
    options = Options(tmp_path / folder, unit_timeout=timeout)
    return evaluate(loaded(MODEL, 5), suite, TOY, options)


def cells(run, name):
    """An attack's cells, but for what they cost."""
    costs = {"seconds", "peak_memory"}
    mine = [cell for cell in run.summary["cells"] if cell["attack"] == name]
    return [{key: value for key, value in cell.items() if key not in costs} for cell in mine]


def facts_of(run, name):
    mine = run.facts.filter(pc.equal(run.facts["attack"], name))
    return mine.sort_by([("epsilon", "ascending"), ("sample_id", "ascending")]).to_pylist()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The good attack with nobody beside it."""
    return measured(tmp_path_factory.mktemp("alone"))


FAULTS = {
    "raises": (raises, "failed at epsilon 2/255: RuntimeError: out of ideas"),
    "leaves": (leaves, "SystemExit: 7"),
    "wrong_shape": (wrong_shape, "returned (16, 3, 4, 8) for images (16, 3, 8, 8)"),
    "no_tensor": (no_tensor, "returned ndarray for images (16, 3, 8, 8)"),
    "nan": (nan, "returned NaN or infinity for 16 of 16 images"),
    "far": (far, "left the ball for 16 of 16 images (linf distance up to"),
    "changes": (changes, "while attacking; it was put back, the unit is void"),
    "trains": (trains, "changed the mode of"),
    "hangs": (hangs, "at epsilon 2/255: given up after the 1 s of --unit-timeout"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_the_attack_its_own_cells_and_no_other(name, strange, alone, tmp_path):
    play, message = FAULTS[name]
    strange(**{name: attack(play)})
    state = {key: tensor.clone() for key, tensor in MODEL.state_dict().items()}
    run = measured(tmp_path, name, timeout=1.0 if name == "hangs" else None)
    assert not run.complete
    assert run.info.status == "complete"
    assert {cell["status"] for cell in cells(run, name)} == {"missing"}
    assert all(cell["robust_accuracy"] is None for cell in cells(run, name))
    assert cells(run, "good") == cells(alone, "good")
    assert facts_of(run, "good") == facts_of(alone, "good")
    told = [finding["message"] for finding in run.summary["findings"] if name in finding["message"]]
    assert any(message in text and text.startswith(f"{name} (package weird): ") for text in told), told
    assert all(torch.equal(tensor, state[key]) for key, tensor in MODEL.state_dict().items())
    if name == "hangs":
        reasons = {fact["reason"] for fact in facts_of(run, name) if fact["outcome"] == "error"}
        assert reasons == {"timeout"}


def test_what_it_prints_and_reseeds_is_contained(strange, alone, tmp_path, capfd):
    strange(prints=attack(prints))
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    run = measured(tmp_path, "prints")
    assert run.complete
    assert facts_of(run, "good") == facts_of(alone, "good")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == 1
    told = capfd.readouterr()
    assert "look" not in told.out + told.err
    log = (run.folder / "log.txt").read_text()
    assert "look at me" in log
    assert "and at me" in log


def fails(spec, norm):
    raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (None, "attack 'weird.sick' of package weird cannot be imported: ModuleNotFoundError"),
        (fails, "attack 'weird.sick' of package weird cannot be built: ValueError: no such thing"),
        (lambda spec, norm: 3, "cannot be built: TypeError: gave int, which lacks a part of the Attack contract"),
    ],
)
def test_one_that_cannot_be_imported_or_built_is_missing_and_the_others_run(plugin, message, strange, alone, tmp_path):
    strange(sick=plugin)
    run = measured(tmp_path, "sick")
    assert {cell["status"] for cell in cells(run, "sick")} == {"missing"}
    assert cells(run, "good") == cells(alone, "good")
    assert any(message in finding["message"] for finding in run.summary["findings"])


def test_list_load_shows_it_and_nothing_else_breaks(strange, capsys):
    strange(sick=None)
    assert main(["list", "attacks"]) == 0
    capsys.readouterr()
    assert main(["list", "attacks", "--load"]) == 1
    assert "attack 'weird.sick' of package weird cannot be imported" in capsys.readouterr().out


def test_minimum_norm_attacks_may_leave_the_ball_and_pixels_the_box():
    clean = torch.full((2, 1, 2, 2), 0.99)
    assert breaches(clean - 0.5, clean, "linf", 0.1, "minimum") is None
    assert breaches(clean + 0.1, clean, "linf", 0.05, "budget") is None  # clamped to the box it is inside the ball
    assert breaches(None, clean, "linf", 0.1, "budget") is None
    rows, words = breaches(torch.stack([clean[0], clean[1] - 0.2]), clean, "linf", 0.1, "budget")
    assert rows.tolist() == [False, True]
    assert "1 of 2" in words[0]
    with pytest.raises(PluginError, match=r"returned \(1, 1, 2, 2\)"):
        breaches(clean[:1], clean, "linf", 0.1, "budget")


def test_one_model_s_failure_is_not_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.py").write_text(
        "from torch import nn\n\ndef bad():\n    raise RuntimeError('no')\n\n"
        "class Fails(nn.Module):\n    def forward(self, images):\n        raise KeyError('x')\n\n"
        "def loud():\n    print('hello')\n    return Fails(), {'num_classes': 43}\n"
    )
    words = ["--suite", "fgsm", "--n", "2", "--force", "--json", "--eps", "1/255"]
    models = [word for name in ("two.py:bad", "two.py:loud", "standard") for word in ("--model", name)]
    assert main(["eval", *models, *words]) == 2
    told = capsys.readouterr()
    assert '"model": "standard"' in told.out
    assert told.out.startswith("[")
    assert "two.py:bad" in told.err
    assert "KeyError: 'x'" in told.err


def test_a_time_limit_of_nothing_is_refused(tmp_path):
    for seconds in (0.0, float("inf"), float("nan"), 1e300):
        with pytest.raises(UsageError, match="above 0 seconds"):
            measured(tmp_path, timeout=seconds)
