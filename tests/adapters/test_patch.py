"""Attacks on the pixels under a mask: exact where the best patch is known, and never outside the mask."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toys import Linear, SmallNet, labeled, loaded

from adapters.art import AdversarialPatch, MaskedPGD
from harness.base.masks import Masks
from harness.base.randomness import forked
from harness.base.threat import parse_grid
from harness.errors import BadSuite
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.testing.exact import linear_worst
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec, Problem

pytest.importorskip("art")
pytestmark = pytest.mark.art

PGD = AttackSpec(
    "masked-pgd-8", "art", "masked-pgd", {"steps": 8, "step_size": 0.25, "random_start": True, "restarts": 1}
)
OWN = AttackSpec(
    "adversarial-patch", "art", "adversarial-patch",
    {"steps": 8, "learning_rate": 0.25, "optimizer": "pgd", "universal": False},
)  # fmt: skip
ALL = replace(OWN, id="universal-patch", params={**OWN.params, "universal": True})
GRID = ("2%", "7%", "15%")  # squares of 1, 2 and 3 pixels a side in images of 8x8


def suite(*attacks, grid=GRID, **options):
    given = {"name": "toy", "version": 1, "norm": "linf", "mode": "observed", "chunk": 32, "threat": "patch"}
    return Suite(**{**given, **options}, grid=parse_grid(grid, "linf", "patch"), attacks=attacks)


def as_linear(model):
    """The toy's logits (0, w.x + b) as a layer."""
    layer = nn.Linear(len(model.weight), 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.zeros_like(model.weight), model.weight]))
        layer.bias.copy_(torch.stack([torch.zeros_like(model.bias), model.bias]))
    return layer


def test_the_exact_robust_accuracy_of_a_linear_model_is_found(tmp_path):
    """Under a mask the best patch takes each pixel to the end of the box that its weight points to."""
    model = Linear()
    data = labeled(model, 60)
    run = evaluate(loaded(model, 2), suite(PGD, OWN, ALL, grid=GRID[:2]), data, Options(tmp_path, device="cpu"))
    shares = []
    for share in run.info.suite.grid:
        mask = Masks.over(range(60), data.images.shape).within(share.value)
        exact = linear_worst(as_linear(model), data.images.double(), data.labels, 1.0, "linf", mask) > 0
        for name in ("masked-pgd-8", "adversarial-patch", "universal-patch"):
            rows = run.facts.to_pandas().query("attack == @name and epsilon == @share.value").set_index("sample_id")
            broken = rows["outcome"].isin(["witness", "inherited"]).sort_index().to_numpy()
            if name == "universal-patch":
                assert not (broken & ~exact).any()  # a patch for all is no better than one of its own
                assert broken.any()
            else:
                assert np.array_equal(broken, exact), (name, share.label)
        shares.append(float(exact.mean()))
    assert 0 < shares[0] < shares[1] < 1


def test_a_run_is_proved_from_its_masks(tmp_path):
    model = SmallNet()
    data = labeled(model, 40)
    run = evaluate(loaded(model, 5), suite(PGD, ALL), data, Options(tmp_path, device="cpu"))
    assert run.summary["threat"] == "patch"
    assert [cell["epsilon_label"] for cell in run.summary["cells"]][:3] == list(GRID)
    verdict = verify(run.folder, loaded(model, 5), data, VerifyOptions(replay=20, seed=1, device="cpu"))
    assert [finding.message for finding in verdict.problems] == []
    assert verdict.witnesses > 10
    assert verdict.replay.population == sum(
        fact["outcome"] == "survived" and fact["attack"] == "masked-pgd-8" for fact in run.facts.to_pylist()
    )  # a patch for all is another one on the samples that are drawn


@pytest.mark.parametrize("spec", [PGD, OWN, ALL], ids=lambda spec: spec.id)
def test_no_pixel_outside_the_mask_changes(spec):
    model = SmallNet(seed=3).eval().requires_grad_(False)
    data = labeled(model, 6)
    kind = MaskedPGD if spec is PGD else AdversarialPatch
    mask = Masks.over(range(6), data.images.shape).within(0.15)
    seen = []

    class Watching(nn.Module):
        def forward(self, images):
            seen.append(images.detach().clone())
            return model(images)

    problem = Problem(data.images, data.labels, "linf", 0.15, 0, 5, 6, mask=mask)
    with forked(0):
        back = kind(spec, "linf").perturb(Watching(), problem)
    for images in (*(images for images in seen if len(images) == 6), back):
        outside = (images != data.images) & ~mask
        assert not outside.any()
        assert images.min() >= 0
        assert images.max() <= 1
    assert (back != data.images).any(1)[mask[:, 0]].float().mean() > 0.9  # and under it nearly all do
    if spec is ALL:
        under = back.permute(0, 2, 3, 1)[mask[:, 0]].view(6, 9, 3)
        assert torch.equal(under, under[:1].expand_as(under))  # the same square on every image


def test_a_suite_holds_attacks_to_its_threat():
    pgd = AttackSpec("pgd-5", "torchattacks", "pgd", {"steps": 5, "step_size": 0.1, "random_start": True})
    with pytest.raises(BadSuite, match=r"'pgd-5': torchattacks\.pgd knows threat ball, and the suite's is 'patch'"):
        suite(pgd).resolve()
    with pytest.raises(BadSuite, match=r"art\.masked-pgd knows threat patch, and the suite's is 'ball'"):
        suite(PGD, threat="ball").resolve()
    scaled = replace(PGD, params={**PGD.params, "step_size": "epsilon/4"})
    with pytest.raises(BadSuite, match="step_size must be a number, not 'epsilon/4': of a patch, epsilon is"):
        suite(scaled).resolve()


@pytest.mark.parametrize(
    ("grid", "why"), [(("1%",), "1% of an image of 8x8 is no patch: a pixel is more"), (("7%", "100%"), None)]
)
def test_a_share_that_no_square_covers_is_refused(tmp_path, grid, why):
    model = SmallNet()
    data = labeled(model, 8)
    if why is None:
        assert evaluate(loaded(model, 5), suite(PGD, grid=grid), data, Options(tmp_path, device="cpu")).complete
        return
    with pytest.raises(BadSuite, match=why):
        evaluate(loaded(model, 5), suite(PGD, grid=grid), data, Options(tmp_path, device="cpu"))
