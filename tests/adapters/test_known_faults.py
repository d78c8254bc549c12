"""Faults of the installed tools, one test each, and what the adapters do about them.

A test here fails when an upgrade mends its fault: then the work-around and the line in docs/tools.md can go.
"""

import importlib.metadata
import logging
import sys
import warnings

import numpy as np
import pytest
import torch
from strikes import make, strike
from torch import nn
from toys import SmallNet, labeled

from harness.attack import ToolWarning
from harness.base.randomness import forked
from harness.types import Problem

EPSILON = 8 / 255


@pytest.fixture
def net():
    model = SmallNet(seed=3).eval().requires_grad_(False)
    return model, labeled(model, 12)


class Slope(nn.Module):
    """Class 1 against class 0 by the mean pixel, with an offset and a scale on all logits."""

    def __init__(self, at=0.5, scale=40.0, offset=0.0, classes=3):
        super().__init__()
        self.at, self.offset, self.classes = at, offset, classes
        self.scale = nn.Parameter(torch.tensor(scale), requires_grad=False)

    def forward(self, images):
        score = self.scale * (images.mean((1, 2, 3)) - self.at)
        rest = [torch.full_like(score, -50.0 - i) for i in range(self.classes - 2)]
        return torch.stack([torch.zeros_like(score), score, *rest], 1) + self.offset


def gray(value, n=2):
    return torch.full((n, 3, 8, 8), value), torch.zeros(n, dtype=torch.int64)


def classifier_of(model, classes, **changes):
    estimators = pytest.importorskip("art.estimators.classification")
    options = {"clip_values": (0.0, 1.0), "input_shape": (3, 8, 8), "nb_classes": classes, "device_type": "cpu"}
    return estimators.PyTorchClassifier(model=model, loss=nn.CrossEntropyLoss(), **{**options, **changes})


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


@pytest.mark.autoattack
class TestAutoAttack:
    tool = staticmethod(lambda: pytest.importorskip("pyautoattack"))

    def quick(self, model, **options):
        return self.tool().AutoAttack(model, attacks=["square"], version="custom", eps=EPSILON, seed=0, **options)

    @pytest.fixture(autouse=True)
    def _trace_comes_back(self):
        tracer = sys.gettrace()
        yield
        sys.settrace(tracer)

    def test_resuming_fails(self, net, tmp_path):
        model, data = net
        attack = self.quick(model)
        attack.square.n_queries = 2
        attack.run_standard_evaluation(data.images, data.labels, state_path=tmp_path / "state.json")
        with pytest.raises(ValueError, match="different set of attacks"):
            attack.run_standard_evaluation(data.images, data.labels, state_path=tmp_path / "state.json")
        with pytest.raises(AttributeError):
            attack.run_standard_evaluation(data.images, data.labels, state_path=str(tmp_path / "state.json"))

    def test_after_one_dynamic_model_every_model_is_called_dynamic(self, net, caplog):
        model, data = net
        pytest.importorskip("pyautoattack.checks")

        class Dynamic(nn.Module):
            def forward(self, images):
                with torch.enable_grad():
                    probe = images.detach().clone().requires_grad_()
                    torch.autograd.grad(probe.sum(), probe)
                return model(images)

        def warned(which):
            caplog.clear()
            attack = self.quick(which)
            attack.square.n_queries = 1
            with caplog.at_level(logging.WARNING, logger="auto-attack"):
                attack.run_standard_evaluation(data.images, data.labels)
            return "dynamic" in caplog.text

        before = dict(self.tool().checks.funcs)
        try:
            self.tool().checks.funcs.update(dict.fromkeys(before, 0))
            assert not warned(model)
            assert warned(Dynamic())
            assert warned(model)
            found = _tool_warnings("autoattack.apgd-ce", model, data)
            assert not any("dynamic" in text for text in found)
            assert any("dynamic" in text for text in _tool_warnings("autoattack.apgd-ce", Dynamic(), data))
        finally:
            self.tool().checks.funcs.update(before)

    def test_it_switches_the_tracer_off(self, net):
        model, data = net
        attack = self.quick(model)
        attack.square.n_queries = 1

        def tracer(*_):
            return None

        sys.settrace(tracer)
        attack.run_standard_evaluation(data.images, data.labels)
        after = sys.gettrace()
        sys.settrace(tracer)
        _tool_warnings("autoattack.apgd-ce", model, data)
        ours = sys.gettrace()
        sys.settrace(None)
        assert after is None
        assert ours is tracer

    def test_running_members_one_by_one_forgets_all_but_the_last(self, net):
        model, data = net
        attack = self.tool().AutoAttack(model, attacks=["apgd-ce", "square"], version="custom", eps=EPSILON, seed=0)
        attack.apgd.n_iter, attack.apgd.n_restarts, attack.square.n_queries = 2, 1, 2
        attack.run_standard_evaluation_individual(data.images, data.labels)
        assert attack.attacks_to_run == ["square"]
        assert attack.verbose is False

    def test_fewer_than_four_classes_are_an_index_error(self):
        model = Slope()
        attack = self.tool().AutoAttack(model, eps=EPSILON, seed=0)
        with pytest.raises(IndexError):
            attack.run_standard_evaluation(*gray(0.4))

    @pytest.mark.parametrize("norm", ["L2", "L1"])
    def test_square_crashes_where_its_tiles_leave_the_image(self, norm):
        """On which sizes, is in test_square.py; a cascade goes on without it here."""
        images, labels = torch.full((2, 3, 24, 24), 0.5), torch.zeros(2, dtype=torch.int64)
        attack = self.tool().square.SquareAttack(Slope(at=0.9), norm=norm, eps=0.5, n_queries=2, device="cpu")
        with pytest.raises(RuntimeError, match="size of tensor"):
            attack.perturb(images, labels)
        problem = Problem(images, labels, norm.lower(), 0.5, 0, 3, 2, "square")
        with pytest.warns(ToolWarning, match="square was left out"):
            assert (
                make("autoattack.custom", norm.lower(), components=["apgd-ce", "square"]).perturb(
                    Slope(at=0.9), problem
                )
                is None
            )

    def test_the_global_generator_is_reseeded(self, net):
        model, data = net
        attack = self.quick(model)
        attack.square.n_queries = 1
        torch.manual_seed(1)
        untouched = torch.rand(1)
        torch.manual_seed(1)
        attack.run_standard_evaluation(data.images, data.labels)
        assert not torch.equal(torch.rand(1), untouched)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("autoattack.square", marks=pytest.mark.autoattack),
        pytest.param("torchattacks.square", marks=pytest.mark.torchattacks),
        pytest.param("art.square", marks=pytest.mark.art),
    ],
)
def test_square_never_changes_the_last_row_and_column_after_its_start(name):
    """In all three tools the last place of a window is left out of the draw."""
    pytest.importorskip({"autoattack": "pyautoattack"}.get(name.partition(".")[0], name.partition(".")[0]))
    changes = {"steps": 60} if name == "art.square" else {"queries": 60}
    queries = []

    class Recorded(Slope):
        def forward(self, images):
            queries.append(images.detach().clone())
            return super().forward(images)

    attack = make(name, "linf", **changes)
    with forked(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attack.perturb(Recorded(at=0.9), Problem(*gray(0.5, 1), "linf", 0.1, 0, 3, 1))
    moved = [query for query in queries if len(query) == 1 and not torch.equal(query, gray(0.5, 1)[0])]
    edges = torch.cat([torch.cat([query[:, :, -1].flatten(1), query[:, :, :, -1].flatten(1)], 1) for query in moved])
    inner = torch.cat([query[:, :, :-1, :-1].flatten(1) for query in moved])
    assert len(edges.unique(dim=0)) == 1
    assert len(inner.unique(dim=0)) > 10


def _tool_warnings(name, model, data, **changes):
    attack = make(name, "linf", **{"steps": 2, **changes})
    problem = Problem(data.images, data.labels, "linf", EPSILON, 0, 5, 12)
    with forked(0), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attack.perturb(model, problem)
    return [str(warning.message) for warning in caught]
