"""``--adapt auto``: what findings suggest is tried on survivors, in a second run that costs them alone."""

import pytest
import torch
from masked import Times, Zeroed, linear_problem, loaded, masked
from observed import suite
from torch import nn
from toys import Linear, SmallNet, Toy, labeled

from harness.cli import main
from harness.errors import UsageError
from harness.evidence.metrics import sample_outcomes
from harness.inputs.adaptations import auto_budget, check_adapt
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import make_slice
from harness.run.adaptive import evaluate
from harness.run.job import Options
from harness.run.job import evaluate as measure
from harness.run.progress import Silent
from harness.trust.adapting.candidates import candidates
from harness.trust.adapting.propose import propose
from harness.trust.adapting.trial import Trial
from harness.types import Finding


def options(folder, *adapt, **more):
    return Options(folder, device="cpu", adapt=adapt or ("auto",), **more)


@pytest.fixture
def problem():
    model, data, needed = linear_problem(40)
    return masked(mask=Zeroed(), net=model), data, needed, float(needed.median())


def test_a_mask_is_found_and_broken_and_the_first_run_is_reused(tmp_path, problem):
    whole, data, needed, epsilon = problem
    made = suite((epsilon,), chunk=64)
    run = evaluate(loaded(whole, 2), made, data, options(tmp_path))
    plain, *adapted = run.info.suite.attacks
    assert plain.id == "attack"
    assert "apgd-ce-100+entry@net+margin" in [attack.id for attack in adapted]
    assert all(attack.after == "all" for attack in adapted)
    assert run.info.reused == 1
    outcomes = sample_outcomes(run.facts, adapted[-1].id, epsilon)  # the union of it and those before it
    assert not any(outcomes[i] for i in (needed < 0.99 * epsilon).nonzero().flatten().tolist())
    assert all(outcomes[i] for i in (needed > 1.01 * epsilon).nonzero().flatten().tolist())
    findings = {(f["check"], f["level"]) for f in run.summary["findings"]}
    assert {("P30", "warn"), ("adapt", "info")} <= findings
    again = evaluate(loaded(whole, 2), made, data, options(tmp_path))
    assert (again.info.key, again.info.sessions) == (run.info.key, 2)
    fresh = evaluate(loaded(whole, 2), made, data, options(tmp_path, fresh=True))
    assert fresh.facts.equals(run.facts)
    assert fresh.info.reused == 1


def test_nothing_is_tried_where_nothing_suggests_it(tmp_path):
    model = SmallNet()
    data = labeled(model, 40)
    made = suite(("2/255",), chunk=64)
    run = evaluate(loaded(model, 5), made, data, options(tmp_path))
    assert run.info.key == measure(loaded(model, 5), made, data, options(tmp_path)).info.key
    assert [attack.adapt for attack in run.info.suite.attacks] == [None]


class Told(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_the_budget_is_kept_and_what_it_leaves_out_is_said(tmp_path, problem):
    whole, data, _, epsilon = problem
    told = Told()
    run = evaluate(loaded(whole, 2), suite((epsilon,), chunk=64), data, options(tmp_path, "auto:250"), told)
    assert sum(attack.adapt is not None for attack in run.info.suite.attacks) == 2
    (note,) = [f["message"] for f in run.summary["findings"] if f["check"] == "adapt"]
    assert "200 passes a survivor of 250; left out: " in note
    assert any(line.startswith("--adapt auto: ") and note.endswith(line) for line in told.lines), "between the two runs"
    for wrong in ("auto:", "auto:0", "auto:x"):
        with pytest.raises(UsageError, match="passes for each survivor"):
            check_adapt([wrong], ())
    assert auto_budget("auto:250", 7) == 250
    assert auto_budget("auto", 7) == 7


def test_that_too_few_survive_is_said(tmp_path, problem):
    whole, data, needed, _ = problem
    told, few = Told(), Toy(data.images[:3], data.labels[:3], data.classes)
    run = evaluate(loaded(whole, 2), suite((float(needed.min()) / 2,), chunk=64), few, options(tmp_path), told)
    assert run.info.suite.adapted == ()
    assert "--adapt auto: P7: fewer than 4 samples survive, so nothing is tried" in told.lines


def test_where_a_gradient_might_be_cut_is_read_off_the_model():
    class Inline(nn.Module):
        """Code between modules, which has no name of its own."""

        def __init__(self):
            super().__init__()
            self.net, self.twice = masked(mask=Zeroed(), inner=Linear()), Times(2.0)
            self.unused = Linear()

        def forward(self, images):
            return self.twice(self.net(images.detach() * 1.0)).round()

    images = torch.rand(2, 3, 8, 8)
    with ReferenceModel(loaded(Inline(), 2)) as reference:
        found = candidates(reference, images)
    assert found == ["identity:net.mask", "identity:twice", "entry:net", "entry:net.inner", "member:net",
                     "member:twice"]  # fmt: skip


def test_a_trial_prefers_the_gradient_that_leads_farther():
    model, data, needed = linear_problem(24)
    with ReferenceModel(loaded(model, 2)) as reference:
        stands = needed > 1e-3
        between = float(needed[stands].quantile(0.4))  # of two samples: none lies on the very boundary
        trial = Trial(reference, data.images[stands], data.labels[stands], "linf", between)
        honest = trial.of(model)
        blind = trial.of(masked(mask=Zeroed(), net=model))
        assert honest.broken == int((needed[stands] < trial.epsilon).sum())
        assert honest > blind
        with torch.no_grad():
            assert trial.of(lambda images: model(images).detach()) is None


@pytest.mark.parametrize("check", ["P7", "P8", "P21", "P26"])
def test_more_queries_are_offered_where_gradients_or_their_order_are_doubted(tmp_path, check):
    model, data, needed = linear_problem(24)
    run = measure(loaded(model, 2), suite((float(needed.median()),), chunk=64), data, options(tmp_path))
    with ReferenceModel(loaded(model, 2)) as reference:
        part = make_slice(data, None, 64)
        plan = propose(reference, part, run.info, run.facts, [Finding(check, "warn", "m", 0.1)])
    (asked,) = [attack for attack in plan.attacks if attack.adapt == ("scores",)]
    assert (asked.method, asked.params["queries"]) == ("square", 2000)


def test_the_command_says_what_was_tried(tmp_path, capsys):
    words = ["--data", "signs", "--n", "8", "--eps", "2/255", "--results", str(tmp_path), "--device", "cpu"]
    file = tmp_path / "small.py"
    file.write_text(
        "import torch\nfrom torch import nn\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 43)), {'num_classes': 43}\n"
    )
    code = main(["eval", "--model", f"{file}:net", "--suite", "fgsm", "--force", *words])
    assert code == 0
    assert "no adaptation tried" in capsys.readouterr().out
    assert (
        main(["eval", "--model", f"{file}:net", "--suite", "fgsm", "--force", "--adapt", "fgsm=identity:2", *words])
        == 2
    )
    assert "no module '2'; it has 0, 1" in capsys.readouterr().err
    assert main(["eval", "--model", f"{file}:net", "--suite", "fgsm", "--adapt", "Identity", *words]) == 2
    assert "is not [ATTACK=]NAME:ARGUMENT" in capsys.readouterr().err
