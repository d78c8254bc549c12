"""Faults of the installed torchattacks, one test each, and what the adapter does about them.

A test here fails when an upgrade mends its fault: then the work-around and the line in docs/tools.md can go.
"""

import importlib.metadata

import pytest
import torch
from slope import EPSILON, Slope, gray
from strikes import make, strike
from torch import nn
from toys import SmallNet

from harness.base.randomness import forked
from harness.types import Problem


@pytest.mark.torchattacks
class TestTorchattacks:
    tool = staticmethod(lambda: pytest.importorskip("torchattacks"))

    def test_its_autoattack_takes_ten_steps_and_rescales_square(self, net):
        members = self.tool().AutoAttack(net[0])._autoattack.attacks
        assert [type(member).__name__ for member in members] == ["APGD", "APGDT", "FAB", "Square"]
        assert [member.steps for member in members[:3]] == [10, 10, 10]
        assert members[3].rescale_schedule is True

    def test_cw_does_nothing_where_all_logits_are_negative(self):
        images, labels = gray(0.47)
        back = {}
        for offset in (60.0, -60.0):
            model = Slope(offset=offset)
            back[offset] = self.tool().CW(model, c=5, steps=100, lr=0.01)(images, labels)
        assert (Slope(offset=60.0)(back[60.0]).argmax(1) == 1).all()
        assert (Slope()(back[-60.0]).argmax(1) == 0).all()
        ours = strike(make("torchattacks.cw", "l2"), Slope(offset=-60.0), images, labels, 2.0)
        assert ours.isfinite().all()

    def test_cw_changes_nothing_in_images_of_zeros_and_ones(self):
        images = (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
        model = Slope(at=float(images.mean((1, 2, 3)).max()) + 0.01)
        labels = torch.zeros(2, dtype=torch.int64)
        assert torch.equal(self.tool().CW(model, c=5, steps=100, lr=0.05)(images, labels), images)
        changes = {"steps": 400, "learning_rate": 0.1}
        assert strike(make("torchattacks.cw", "l2", **changes), model, images, labels, 2.0).isfinite().all()

    def test_cw_of_one_sample_depends_on_its_batch(self):
        """It stops when the loss summed over the batch rises: a flat sample stops a steep one."""

        class Uneven(Slope):
            def forward(self, images):
                logits = super().forward(images)
                return torch.where(images[:, :1, 0, 0] > 0.9, logits / 10, logits)

        images, labels = gray(0.47)
        images[1, 0, 0, 0] = 0.95
        attack = self.tool().CW(Uneven(scale=400.0, offset=60.0), c=5, steps=100, lr=0.05)
        assert not torch.equal(attack(images, labels)[:1], attack(images[:1], labels[:1]))

    def test_modes_of_submodules_are_not_restored(self):
        model = SmallNet().train()
        model.body[1].eval()  # a frozen batch norm in a model in training
        self.tool().FGSM(model)(*gray(0.5))
        assert model.body[1].training
        model.body[1].eval()
        make("torchattacks.fgsm", "linf").perturb(model, Problem(*gray(0.5), "linf", 0.1, 0, 5, 2))
        assert model.training
        assert not model.body[1].training

    def test_a_model_without_parameters_has_no_device_and_a_printed_complaint(self, capsys):
        class Bare(nn.Module):
            def forward(self, images):
                return images.flatten(1)[:, :2]

        assert self.tool().FGSM(Bare()).device is None
        assert "Failed to set device" in capsys.readouterr().out
        make("torchattacks.fgsm", "linf").perturb(Bare(), Problem(*gray(0.5), "linf", 0.1, 0, 2, 2))
        assert capsys.readouterr().out == ""

    def test_the_step_does_not_follow_epsilon(self):
        images, labels = gray(0.5)
        back = self.tool().PGD(Slope(at=0.9), eps=32 / 255, random_start=False)(images, labels)
        assert float((back - images).abs().max()) == pytest.approx(20 / 255, abs=1e-6)

    def test_l2_steps_of_confident_rows_vanish(self):
        """The gradient is divided by its norm plus 1e-10, and a confident row's gradient is smaller than that."""
        images, labels = gray(0.4)
        model = Slope(scale=400.0)  # logits 0 and -40
        problem = Problem(images, labels, "l2", 2.0, 0, 3, 2)
        plain = self.tool().PGDL2(model, eps=2.0, alpha=0.5, steps=10, random_start=False)(images, labels)
        ours = make("torchattacks.pgdl2", "l2", steps=10, random_start=False).perturb(model, problem)
        assert (model(plain).argmax(1) == 0).all()
        assert (model(ours).argmax(1) == 1).all()

    def test_apgd_draws_the_same_start_every_time(self, net):
        model, data = net
        attack = self.tool().APGD(model, eps=EPSILON, steps=1)
        with forked(0):
            first = attack(data.images, data.labels)
            assert torch.equal(first, attack(data.images, data.labels))
        problems = [Problem(data.images, data.labels, "linf", EPSILON, seed, 5, 12) for seed in (1, 2)]
        ours = [make("torchattacks.apgd", "linf", steps=1).perturb(model, problem) for problem in problems]
        assert not torch.equal(*ours)

    def test_targeted_fab_attacks_nothing(self, net):
        """It keeps only samples that are already classified as the target; the adapter offers no target."""
        model, data = net
        attack = self.tool().FAB(model, eps=1.0, n_classes=5)
        attack.set_mode_targeted_by_label(quiet=True)
        assert torch.equal(attack(data.images, (data.labels + 1) % 5), data.images)

    def test_fewer_than_four_classes_are_an_index_error(self):
        model = Slope()
        with pytest.raises(IndexError):
            self.tool().APGDT(model, n_classes=3)(*gray(0.47))

    def test_it_installs_a_package_named_robustbench(self):
        self.tool()
        files = importlib.metadata.files("torchattacks") or []
        assert any(str(file).startswith("robustbench/") for file in files)
