"""Faults of the installed ART, one test each, and what the adapter does about them.

A test here fails when an upgrade mends its fault: then the work-around and the line in docs/tools.md can go.
"""

import importlib.metadata
import warnings

import numpy as np
import pytest
import torch
from slope import EPSILON, Slope, gray
from strikes import make, strike
from torch import nn

from harness.attack import ToolWarning
from harness.base.randomness import forked
from harness.types import Problem


def classifier_of(model, classes, **changes):
    estimators = pytest.importorskip("art.estimators.classification")
    options = {"clip_values": (0.0, 1.0), "input_shape": (3, 8, 8), "nb_classes": classes, "device_type": "cpu"}
    return estimators.PyTorchClassifier(model=model, loss=nn.CrossEntropyLoss(), **{**options, **changes})


@pytest.mark.art
class TestArt:
    tool = staticmethod(lambda: pytest.importorskip("art.attacks.evasion"))

    def test_its_autoattack_has_other_members(self, net):
        members = self.tool().AutoAttack(classifier_of(net[0], 5), eps=EPSILON).attacks
        names = [type(member).__name__ for member in members]
        assert names == ["AutoProjectedGradientDescent", "AutoProjectedGradientDescent", "DeepFool", "SquareAttack"]
        assert not any(member.targeted for member in members)

    def test_its_square_is_fifty_times_shorter(self, net):
        assert self.tool().SquareAttack(classifier_of(net[0], 5)).max_iter == 100

    def test_its_square_returns_nan_in_l2(self):
        images = torch.full((2, 3, 32, 32), 0.4).numpy()
        classifier = classifier_of(Slope(), 3, input_shape=(3, 32, 32))
        attack = self.tool().SquareAttack(classifier, norm=2, eps=0.5, max_iter=50, verbose=False)
        with forked(0), np.errstate(all="ignore"):
            assert np.isnan(attack.generate(x=images, y=np.eye(3, dtype=np.float32)[[0, 0]])).any()

    def test_fgm_with_restarts_that_all_fail_returns_clean_images(self):
        images, labels = gray(0.3)
        truth = np.eye(3, dtype=np.float32)[labels]
        classifier = classifier_of(Slope(), 3)
        attack = self.tool().FastGradientMethod(classifier, eps=0.01, num_random_init=5)
        assert np.array_equal(attack.generate(x=images.numpy(), y=truth), images.numpy())
        ours = make("art.fgsm", "linf", random_start=True, restarts=5)
        back = ours.perturb(Slope(), Problem(images, labels, "linf", 0.01, 0, 3, 2))
        assert not torch.equal(back, images)

    def patch_of(self, classifier, **changes):
        fixed = {"rotation_max": 0.0, "scale_min": 1.0, "scale_max": 1.0, "patch_type": "square", "optimizer": "pgd"}
        given = {**fixed, "patch_shape": (3, 8, 8), "targeted": False, "verbose": False, **changes}
        return self.tool().AdversarialPatchPyTorch(classifier, **given)

    def test_its_patch_follows_the_sum_of_all_gradients(self):
        images, truth = np.full((1, 3, 8, 8), 0.3, np.float32), np.eye(3, dtype=np.float32)[[0]]
        sums = []
        for steps in (1, 3):  # too short to move, so that every step has the same gradient
            tool = self.patch_of(classifier_of(Slope(), 3), max_iter=steps, learning_rate=1e-12)
            tool.generate(x=images, y=truth)
            sums.append(tool._patch.grad.numpy())
        assert np.abs(sums[0]).max() > 0
        np.testing.assert_allclose(sums[1], 3 * sums[0], rtol=1e-4)

    def test_its_patch_of_three_pixels_does_not_lie_in_the_corner(self):
        tool = self.patch_of(classifier_of(Slope(), 3), patch_shape=(3, 3, 3), patch_location=(0, 0))
        covered = (tool.apply_patch(np.zeros((1, 3, 8, 8), np.float32), scale=3 / 8) != 0).any(1)[0]
        assert np.flatnonzero(covered.any(1)).tolist() == [1, 2]

    def test_without_labels_it_attacks_the_prediction(self):
        """A misclassified image is then driven back to its true class."""
        images, _ = gray(0.49)
        truth = np.eye(3, dtype=np.float32)[[1, 1]]
        classifier = classifier_of(Slope(), 3)
        attack = self.tool().FastGradientMethod(classifier, eps=0.02)
        assert (classifier.predict(attack.generate(x=images.numpy())).argmax(1) == 1).all()
        assert (classifier.predict(attack.generate(x=images.numpy(), y=truth)).argmax(1) == 0).all()
        back = make("art.fgsm", "linf").perturb(
            Slope(), Problem(images, torch.ones(2, dtype=torch.int64), "linf", 0.02, 0, 3, 2)
        )
        assert (Slope()(back).argmax(1) == 0).all()

    def test_without_clip_values_it_leaves_the_box(self):
        images, labels = gray(0.99)
        truth = np.eye(3, dtype=np.float32)[labels]
        loose = classifier_of(Slope(), 3, clip_values=None)
        assert self.tool().FastGradientMethod(loose, eps=0.1).generate(x=images.numpy(), y=truth).max() > 1
        back = make("art.fgsm", "linf").perturb(Slope(), Problem(images, labels, "linf", 0.1, 0, 3, 2))
        assert float(back.max()) <= 1

    def test_auto_pgd_forgets_a_success_on_the_way(self):
        """It looks at its last iterate only; every query is judged here."""

        class Band(nn.Module):
            """Misclassified in a band of brightness near the edge of the ball; a step back from there is too long."""

            def __init__(self):
                super().__init__()
                self.unused = nn.Parameter(torch.zeros(()), requires_grad=False)

            def forward(self, images):
                score = 6 * torch.exp(-(((images.mean((1, 2, 3)) - 0.585) / 0.02) ** 2)) - 3
                return torch.stack([torch.zeros_like(score), score, torch.full_like(score, -50.0)], 1)

        images, labels = gray(0.5, 4)
        attack = make("art.apgd", "linf", steps=2)
        with forked(0):
            back = attack.perturb(Band(), Problem(images, labels, "linf", 0.1, 0, 3, 4))
        assert (Band()(back).argmax(1) == 0).all()
        assert strike(attack, Band(), images, labels, 0.1).isfinite().all()

    @pytest.mark.parametrize("name", ["HopSkipJump", "BoundaryAttack"])
    def test_decision_attacks_start_from_an_image_no_seed_reaches(self, name):
        options = {"HopSkipJump": {"max_iter": 1, "max_eval": 50, "init_eval": 10}, "BoundaryAttack": {"max_iter": 2}}
        images, labels = gray(0.49, 1)
        truth = np.eye(3, dtype=np.float32)[labels]

        def bare(seed):
            with forked(seed):
                attack = getattr(self.tool(), name)(
                    classifier_of(Slope(scale=4.0), 3), targeted=False, verbose=False, **options[name]
                )
                return attack.generate(x=images.numpy(), y=truth)

        assert not np.array_equal(bare(0), bare(0))
        short = {"HopSkipJump": "art.hopskipjump", "BoundaryAttack": "art.boundary"}[name]
        ours = make(short, "l2", steps=2, init_size=100)
        problem = Problem(images, labels, "l2", 2.0, 0, 3, 1)
        back = []
        for _ in range(2):
            with forked(0):
                back.append(ours.perturb(Slope(scale=4.0), problem))
        assert torch.equal(*back)

    def test_boundary_attack_feeds_double_precision_to_the_model(self, net):
        """Since NumPy 2 its perturbations are float64; the adapter's model takes them as float32."""
        model, data = net
        attack = self.tool().BoundaryAttack(classifier_of(model, 5), targeted=False, max_iter=1, verbose=False)
        start = data.images[data.labels != data.labels[0]][:1].numpy()
        with pytest.raises(RuntimeError, match="double"):
            attack.generate(x=data.images[:1].numpy(), y=data.labels[:1].numpy(), x_adv_init=start)
        problem = Problem(data.images[:1], data.labels[:1], "l2", 5.0, 0, 5, 1)
        with forked(0), warnings.catch_warnings():
            warnings.simplefilter("ignore", ToolWarning)
            assert make("art.boundary", "l2", steps=1).perturb(model, problem) is not None

    def test_it_imports_packages_that_it_does_not_declare(self):
        self.tool()
        needs = importlib.metadata.requires("adversarial-robustness-toolbox") or []
        always = [line for line in needs if "extra ==" not in line]
        assert not any(line.startswith(("packaging", "multiprocess")) for line in always)
