"""Survivors of attacks without a random start, attacked again: rounding refutes nobody, and hides no break."""

import torch
from forgery import Forger, hide
from torch import nn
from toys import SmallNet, labeled, loaded

from harness.base.threat import parse_grid
from harness.inputs.reference import ReferenceModel
from harness.inputs.suite import Suite
from harness.measure.fast_copy.copies import SPACING, rounded_otherwise
from harness.run.job import Options, evaluate
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})


def suite(*attacks, grid):
    return Suite(name="toy", version=1, norm="linf", grid=parse_grid(grid), mode="observed", chunk=128, attacks=attacks)


def again(k):
    return VerifyOptions(k, 0, "cpu")


def test_an_honest_run_in_bfloat16_is_not_refuted_by_its_rounding(tmp_path):
    """A gradient's sign hangs on rounding here and there, and FGSM, which has no random start, does the same again."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 16, 3, 2), nn.GELU(), nn.Conv2d(16, 16, 3, 2), nn.GELU(), nn.Conv2d(16, 16, 1), nn.GELU()]
    model = nn.Sequential(*body, nn.Flatten(), nn.LazyLinear(5)).eval()
    model(torch.zeros(1, 3, 8, 8))
    for layer in model[::2]:
        getattr(layer, "weight", torch.zeros(())).data.mul_(3)  # answers that differ from image to image
    data = labeled(model, 300)
    chosen = suite(FGSM, grid=tuple(f"{k}/510" for k in range(2, 40)))
    run = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, device="cpu", precision="bf16"))
    assert run.info.planned.precision == "bf16"
    verdict = verify(run.folder, loaded(model, 5), data, again(10_000))
    assert verdict.problems == ()
    assert verdict.replay.false == 0
    assert len(verdict.replay.hits) >= 3  # the model itself, attacked in float32, breaks there


def test_breaks_that_were_made_survivors_are_found_whatever_the_rounding(tmp_path):
    model = SmallNet()
    data = labeled(model, 100)
    honest = evaluate(loaded(model, 5), suite(FGSM, grid=("4/255", "12/255")), data, Options(tmp_path / "results"))
    forger = Forger(honest.folder, tmp_path / "run", data)
    rows = [row for row in forger.all_facts() if row["attack"] == "fgsm" and row["epsilon_label"] == "4/255"]
    samples = {row["sample_id"] for row in rows if row["outcome"] == "witness"}
    assert hide(forger, samples, "fgsm") > 5
    forger.rehash()
    verdict = verify(forger.folder, loaded(model, 5), data, again(10_000))
    assert verdict.replay.false > 0.9 * len(samples)  # at 12/255 they all lie far behind the boundary


def test_a_model_that_cannot_be_copied_is_attacked_as_it_is():
    class Stubborn(SmallNet):
        def __deepcopy__(self, memo):
            raise TypeError("no copies")

    class Silent(SmallNet):
        def eval(self):
            super().eval()

    with ReferenceModel(loaded(Stubborn(), 5), "cpu") as reference:
        assert rounded_otherwise(reference, "bf16", 1) is None
    with ReferenceModel(loaded(Silent(), 5), "cpu") as reference:
        assert rounded_otherwise(reference, "bf16", 1) is not None


def test_weights_are_off_by_the_precision_and_the_model_is_left_as_it_was():
    model = SmallNet().eval()
    before = [weight.clone() for weight in model.parameters()]
    with ReferenceModel(loaded(model, 5), "cpu") as reference:
        copies = [rounded_otherwise(reference, "bf16", seed) for seed in (1, 1, 2)]
    first, same, other = ([w.detach() for w in copy.parameters()] for copy in copies if copy is not None)
    for was, now, weight, one, two in zip(before, model.parameters(), first, same, other, strict=True):
        assert torch.equal(was, now)
        assert torch.equal(weight, one)
        off = ((weight - was).abs() / was.abs())[was != 0]
        assert (off <= SPACING["bf16"] * 1.001).all()
        assert was.abs().max() == 0 or not torch.equal(weight, two)
