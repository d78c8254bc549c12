"""Adapted attacks: what they differentiate changes, what decides does not; exact on masked linear models."""

import pyarrow.compute as pc
import pytest
import torch
from masked import Times, Zeroed, linear_problem, loaded, masked
from observed import suite
from torch import nn
from toys import Linear

from harness.adaptation import BaseAdaptation
from harness.errors import BadSuite, UnknownName, UsageError
from harness.evidence.metrics import sample_outcomes
from harness.inputs.adaptations import adapted_specs, beside, parse_adapt, resolve
from harness.inputs.reference import ReferenceModel
from harness.measure.adapted.answers import margin_logits
from harness.measure.adapted.prepare import adapted_copies
from harness.run.adaptive import evaluate
from harness.run.job import Options
from harness.types import AttackSpec


def run_on(model, data, needed, tmp_path, adapt, mode="observed", **options):
    """Unadapted PGD and one adapted row at the median distance; who stands after each, and who must."""
    epsilon = float(needed.median())
    made = suite((epsilon,), mode=mode, chunk=64)
    run = evaluate(loaded(model, 2), made, data, Options(tmp_path, adapt=tuple(adapt), device="cpu", **options))
    stands = {a.id: sample_outcomes(run.facts, a.id, run.info.suite.epsilons[0]) for a in run.info.suite.attacks}
    must_fall = (needed < 0.99 * epsilon).nonzero().flatten().tolist()
    must_stand = (needed > 1.01 * epsilon).nonzero().flatten().tolist()
    assert len(must_fall) > 10
    assert len(must_stand) > 10
    return run, stands, must_fall, must_stand


@pytest.mark.parametrize(
    ("adapt", "mode"),
    [
        ("identity:mask", "observed"),
        ("identity:mask", "watch"),
        ("identity:mask", "faithful"),
        ("entry:net", "worst-case"),
        ("remove:mask", "observed"),
        ("attack=identity:mask,margin", "bisection"),
    ],
)
def test_a_mask_before_a_linear_model_is_broken_exactly_where_its_margin_says(tmp_path, adapt, mode):
    model, data, needed = linear_problem()
    whole = masked(mask=Zeroed(), net=model)
    run, stands, must_fall, must_stand = run_on(whole, data, needed, tmp_path, [adapt], mode)
    plain, adapted = stands.values()
    # The starting point of PGD is random, so that some samples right at the boundary may fall by chance.
    assert sum(plain[i] for i in must_fall) > 0.8 * len(must_fall)
    assert not any(adapted[i] for i in must_fall)
    assert all(adapted[i] for i in must_stand)
    worst = run.summary["worst_case"][0]["robust_accuracy"]
    assert worst == pytest.approx(sum(adapted[i] and plain[i] for i in adapted) / len(adapted))


@pytest.mark.parametrize("adapt", ["temperature:1e6", "margin", "member:net", "margin,temperature:2"])
def test_a_saturated_answer_is_unsaturated(tmp_path, adapt):
    model, data, needed = linear_problem()
    whole = masked(net=model, huge=Times(1e6))
    _run, stands, must_fall, must_stand = run_on(whole, data, needed, tmp_path, [f"attack={adapt}"], force=True)
    plain, adapted = stands.values()
    assert sum(plain[i] for i in must_fall) > 0.8 * len(must_fall)
    assert not any(adapted[i] for i in must_fall)
    assert all(adapted[i] for i in must_stand)


def test_a_surrogate_proposes_and_breaks_only_what_the_model_gets_wrong(tmp_path):
    """Of another linear model's gradient alone: what falls lies within its own reach of this one's boundary."""
    model, data, needed = linear_problem()
    file = tmp_path / "other.py"
    words = "from toys import Linear\ndef same():\n    m = Linear(); m.num_classes = 2; return m\n"
    file.write_text(words + "def other():\n    m = Linear(7); m.num_classes = 2; return m\n")
    whole = masked(mask=Zeroed(), net=model)
    adapt = [f"surrogate:{file}:same", f"surrogate:{file}:other"]
    run, stands, must_fall, must_stand = run_on(whole, data, needed, tmp_path / "results", adapt)
    _, same, other = stands.values()
    assert not any(same[i] for i in must_fall)
    assert all(other[i] for i in must_stand)
    first, second = (a.adapt[0].weights for a in run.info.suite.attacks[1:])
    assert first
    assert first != second


def test_an_adapted_row_leaves_the_others_as_they_are(tmp_path):
    model, data, needed = linear_problem()
    with_it, *_ = run_on(model, data, needed, tmp_path / "a", ["margin"])
    without, *_ = run_on(model, data, needed, tmp_path / "b", [])
    own = with_it.facts.filter(pc.is_in(with_it.facts["attack"], pc.unique(without.facts["attack"])))
    assert own.sort_by("sample_id").equals(without.facts.sort_by("sample_id"))
    assert with_it.info.key != without.info.key
    assert "adapt" not in without.info.suite.attacks[0].__struct_fields__ or without.info.suite.attacks[0].adapt is None


def test_the_reference_is_asked_about_every_query_where_the_copy_predicts_otherwise(tmp_path):
    """The copy without its shift is right everywhere, so that no query of it alone would ever be a candidate."""

    class Shift(nn.Module):
        def forward(self, scores):
            return scores + torch.tensor([0.0, -1e3])

    inner = Linear()
    sure = masked(net=inner, shift=Shift())
    with torch.no_grad():
        inner.bias += 1e3  # without the shift all images are of class 1, by far
    _model, data, needed = linear_problem()
    _run, stands, must_fall, _ = run_on(sure, data, needed, tmp_path, ["attack=remove:shift"])
    of_one = [i for i in must_fall if int(data.labels[i]) == 1]
    assert of_one
    assert not any(list(stands.values())[1][i] for i in of_one)


def copies(model, *adapt, images=None):
    specs = [AttackSpec(f"a{place}", "torchattacks", "pgd", adapt=parts) for place, parts in enumerate(adapt)]
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) if images is None else images
    with ReferenceModel(loaded(model, 2)) as reference:
        made = adapted_copies(reference, specs, resolve(specs, None), images)
    return [made[spec.id].network for spec in specs], images


def test_what_is_computed_stays_bit_for_bit():
    class Rounded(nn.Module):
        def forward(self, images):
            return (images * 15).round() / 15

    model = masked(rounded=Rounded(), net=Linear())
    texts = [("identity:rounded",), ("entry:net",), ("smooth:rounded@0.1",), ("smooth:@0.1",), ("scores",)]
    made, images = copies(model, *texts)
    wanted = model(images)
    for network in made:
        assert torch.equal(network(images), wanted)
        assert torch.equal(network(images.clone().requires_grad_()), wanted)


def test_margin_logits_grow_with_the_lead_and_their_gradient_never_dies():
    logits = torch.tensor([[3.0, 1.0, -2.0], [1e6, 0.0, 5.0], [-1e6, -1e6 - 8, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 2])
    loss = nn.functional.cross_entropy(margin_logits(logits), labels, reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    for row, (label, second) in enumerate([(0, 1), (0, 2), (2, 0)]):
        assert gradient[row, label] < 0
        assert gradient[row, second] == -gradient[row, label]
        assert int((gradient[row] != 0).sum()) == 2
    leads = torch.tensor([2.0, 1e6 - 5, 1e6])
    assert torch.allclose(loss, nn.functional.softplus(-torch.asinh(leads) / 4), rtol=1e-5)
    near = torch.tensor([[1e6, 0.0, 0.0], [1.0001e6, 0.0, 0.0]])
    closer, farther = nn.functional.cross_entropy(margin_logits(near), torch.tensor([0, 0]), reduction="none")
    assert closer > farther


def test_average_is_the_mean_over_draws():
    class Noisy(nn.Module):
        def forward(self, images):
            return images + torch.randn(())

    (one,), images = copies(masked(noise=Noisy(), net=Linear()), ("average:16",))
    torch.manual_seed(3)
    got = one(images)
    torch.manual_seed(3)
    model = masked(noise=Noisy(), net=Linear())
    assert torch.allclose(got, sum(model(images) for _ in range(16)) / 16)


def test_smooth_is_the_mean_gradient_over_noise():
    """Of x squared the gradient at x is 2x; over symmetric noise it stays that, up to the noise's mean."""

    class Square(nn.Module):
        def forward(self, images):
            return images.square()

    (network,), images = copies(masked(square=Square(), net=Linear()), ("smooth:square@0.001",))
    images = images.clone().requires_grad_()
    weight = Linear().weight.view(3, 8, 8)
    (gradient,) = torch.autograd.grad(network(images)[:, 1].sum(), images)
    assert torch.allclose(gradient, 2 * images * weight, atol=2e-2)


def test_the_order_of_a_member_and_an_average_does_not_matter():
    (one, other), images = copies(
        masked(net=Linear(), huge=Times(9.0)), ("average:2", "member:net"), ("member:net", "average:2")
    )
    assert torch.equal(one(images), other(images))
    assert torch.allclose(one(images), Linear()(images))


@pytest.mark.parametrize(
    ("adapt", "words"),
    [
        ("identity:maks", "no module 'maks'; it has mask, net"),
        ("identity:net", r"makes \(2, 2\) of \(2, 3, 8, 8\)"),
        ("entry:huge", r"takes \(2, 2\), the images are"),
        ("member:mask", r"gives \(2, 3, 8, 8\) for 2 images"),
        ("member:unused", "does not run this module"),
        ("identity:unused", "does not run"),
        ("remove:unused", "does not run"),
        ("remove:net", "expected"),
        ("identity", "needs the name of a module"),
        ("margin:3", "takes no argument"),
        ("temperature:0", "number above 0"),
        ("temperature:nan", "number above 0"),
        ("average:1", "from 2 to 1000"),
        ("smooth:mask", "behind @"),
        ("surrogate:trades", "not loaded here"),
    ],
)
def test_what_cannot_be_is_one_line(adapt, words):
    class Lazy(nn.Sequential):
        def forward(self, images):
            return self.huge(self.net(self.mask(images)))

    model = Lazy()
    for name, part in {"mask": Zeroed(), "net": Linear(), "huge": Times(2.0), "unused": Zeroed()}.items():
        model.add_module(name, part)
    with pytest.raises(BadSuite, match=words) as caught:
        copies(model, (adapt,))
    assert "\n" not in str(caught.value)


def test_the_spelling():
    assert parse_adapt("identity:a.b, margin") == (None, ("identity:a.b", "margin"))
    assert parse_adapt("pgd-20=temperature:0.1") == ("pgd-20", ("temperature:0.1",))
    assert parse_adapt("surrogate:run?lr=1") == (None, ("surrogate:run?lr=1",))
    for wrong in ("", "=margin", "Identity:a", "margin,,margin", "pgd=", "a b"):
        with pytest.raises(UsageError, match="is not"):
            parse_adapt(wrong)
    attacks = (AttackSpec("pgd-3", "torchattacks", "pgd", {"steps": 3}, n=16, chunk=8),)
    added = beside(attacks, adapted_specs(attacks, ["pgd-3=identity:features.0", "margin", "margin"]), after=True)
    assert [spec.id for spec in added] == ["pgd-3+identity@features.0", "apgd-ce-100+margin"]
    assert all((spec.n, spec.chunk, spec.after) == (16, 8, "all") for spec in added)
    with pytest.raises(UsageError, match="has no attack 'pgd'; it has pgd-3"):
        adapted_specs(attacks, ["pgd=margin"])
    with pytest.raises(UnknownName, match="marginn"):
        resolve([AttackSpec("a", "b", "c", adapt=("marginn",))], None)


def test_a_stranger_that_fails_is_named(monkeypatch):
    class Odd(BaseAdaptation):
        name = "identity"
        takes = "anything"

        def apply(self, network):
            raise RuntimeError("no\nidea")

    monkeypatch.setattr("harness.measure.adapted.modules.Identity.apply", Odd.apply)
    with pytest.raises(BadSuite, match="'identity:net' does not work on this model: RuntimeError: no idea"):
        copies(masked(net=Linear()), ("identity:net",))
