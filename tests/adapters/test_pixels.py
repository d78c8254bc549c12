"""An attack on a number of pixels: exact where the best pixels are known, inherited and proved as in a ball."""

import pytest
import torch
from torch import nn
from toys import SmallNet, Toy, labeled, loaded

from harness.base.threat import parse_grid
from harness.inputs.suite import Suite
from harness.inputs.suite_file import load_suite
from harness.run.job import Options, evaluate
from harness.testing.exact import linear_worst
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec, Problem

pytest.importorskip("torchattacks")
pytestmark = pytest.mark.torchattacks
SPEC = AttackSpec("onepixel-20", "torchattacks", "onepixel", {"steps": 20, "population": 200, "restarts": 1})


def suite(*grid):
    return Suite(
        name="toy", version=1, norm="l0", mode="observed", chunk=32, grid=parse_grid(grid, "l0"), attacks=(SPEC,)
    )


class Flat(nn.Module):
    """A linear classifier of images [3,8,8] in three classes."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.layer = nn.Linear(192, 3)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(3, 192, generator=generator))
            self.layer.bias.copy_(-0.5 * self.layer.weight.sum(1))

    def forward(self, images):
        return self.layer(images.flatten(1))


def test_it_breaks_most_of_what_pixels_can_break_and_nothing_else(tmp_path):
    model = Flat()
    images = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    data = Toy(images, model(images).argmax(1), list("abc"))
    run = evaluate(loaded(model, 3), suite("1", "2"), data, Options(tmp_path, device="cpu", force=True))
    rows = run.facts.to_pandas().query("attack != 'clean'")
    fallen = []
    for pixels in (1, 2):
        here = rows[rows["epsilon"] == pixels].set_index("sample_id").sort_index()["outcome"]
        broken = torch.tensor(here.isin(["witness", "inherited"]).to_numpy())
        worst = torch.from_numpy(linear_worst(model.layer, data.images, data.labels, pixels, "l0"))
        assert not (broken & (worst <= 0)).any()
        assert broken.sum() >= 0.8 * (worst > 0).sum()  # a search without gradients, so not all
        fallen.append(int(broken.sum()))
    assert 3 < fallen[0] < fallen[1] < 40
    assert set(rows[rows["outcome"] == "witness"]["distance"]) <= {1.0, 2.0}
    assert (rows["outcome"] == "inherited").sum() >= fallen[0] - 1  # all but a marginal one


@pytest.mark.slow
def test_a_run_is_proved_pixel_by_pixel(tmp_path):
    model = SmallNet()
    data = labeled(model, 24)
    run = evaluate(loaded(model, 5), suite("1", "4"), data, Options(tmp_path, device="cpu"))
    assert run.summary["norm"] == "l0"
    verdict = verify(run.folder, loaded(model, 5), data, VerifyOptions(replay=3, seed=1, device="cpu"))
    assert [finding.message for finding in verdict.problems] == []
    assert verdict.witnesses > 3
    assert verdict.replay.drawn == 3


def test_the_built_in_suite_counts_pixels():
    (attack,) = (built := load_suite("l0")).resolve()
    assert [epsilon.label for epsilon in built.grid] == ["1", "3", "5"]
    assert attack.plumb(Problem(torch.rand(1, 3, 8, 8), torch.zeros(1), "l0", 3.0, 0, 5, 64))["pixels"] == 3
