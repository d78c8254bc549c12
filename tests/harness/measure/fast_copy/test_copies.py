"""Fast copies: the same function up to rounding, and never a number that the reference does not confirm."""

import json
from collections import Counter

import pytest
import torch
from deep import IMAGES, Deep
from torch import nn
from toys import SHAPE, SmallNet, labeled, loaded

from harness.base.threat import parse_grid
from harness.base.torch_state import arithmetic
from harness.errors import BadRun, UsageError
from harness.evidence import facts
from harness.evidence.store import RunStore
from harness.inputs.reference import ReferenceModel
from harness.inputs.suite import Suite
from harness.measure.fast_copy import copies
from harness.measure.fast_copy.copies import CopyRecipe, FastCopy, Unfit, bucket, compare, prepare, useful_speedups
from harness.measure.fast_copy.fold import fold_batch_norm
from harness.measure.fast_copy.race import Race
from harness.run.job import Options, evaluate
from harness.types import AttackSpec


def suite(mode="observed", grid=("8/255", "40/255"), **params):
    params = {"steps": 8, "step_size": "epsilon/4", "random_start": True, **params}
    return Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(grid),
        mode=mode,
        chunk=32,
        attacks=(AttackSpec("pgd", "torchattacks", "pgd", params),),
    )


def outcomes(run):
    table = run.facts.sort_by([("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")])
    return table["outcome"].to_pylist()


def test_every_batch_norm_is_folded_and_the_function_stays(reference):
    network = Deep().eval().double()
    before = network(IMAGES.double())
    assert fold_batch_norm(network, IMAGES[:2].double())
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    torch.testing.assert_close(network(IMAGES.double()), before, rtol=1e-12, atol=1e-12)
    assert not fold_batch_norm(network, IMAGES[:2].double())


class Twice(nn.Module):
    """One convolution before two batch norms: neither may be folded into it."""

    def __init__(self):
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.two.running_mean.fill_(1.0)

    def forward(self, images):
        maps = self.conv(images)
        return (self.one(maps) + self.two(maps)).flatten(1)[:, :5]


class Shortcut(Twice):
    """The convolution's output is used beside its batch norm, where no hook sees it."""

    def forward(self, images):
        maps = self.conv(images)
        return (self.two(maps) + maps).flatten(1)[:, :5]


def test_a_layer_with_two_users_is_left_alone():
    assert not fold_batch_norm(Twice().eval(), IMAGES)
    network = nn.Sequential(conv := nn.Conv2d(3, 3, 1), norm := nn.BatchNorm2d(3), conv, norm)
    assert not fold_batch_norm(network.eval(), IMAGES)


def test_a_copy_that_computes_something_else_is_refused():
    with ReferenceModel(loaded(Shortcut(), 5)) as entered, pytest.raises(Unfit, match="logits differ"):
        prepare(entered, CopyRecipe(("fold",)), IMAGES)


class Locked(Deep):
    def __deepcopy__(self, memo):
        raise RuntimeError("not to be copied")


def test_a_model_that_cannot_be_copied_runs_as_it_is(tmp_path):
    model = Locked()
    data = labeled(model, 20)
    plain = evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "plain", precision="exact"))
    run = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, precision="float32"))
    assert run.info.plan.speedups == ()
    assert "not to be copied" in next(f["message"] for f in run.summary["findings"] if f["check"] == "copy")
    assert outcomes(run) == outcomes(plain)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_copies_agree_and_give_plain_gradients(reference, precision, channels_last):
    names = useful_speedups(reference, IMAGES[:2])
    assert names == ("fold", "stem", "tiny-maps", "weights")
    network = prepare(reference, CopyRecipe(names, channels_last, precision), IMAGES)
    far, cosine = compare(reference, network, IMAGES)
    assert far < (1e-5 if precision == "float32" else 5e-2)
    assert cosine > (0.99999 if precision == "float32" else 0.95)
    images = IMAGES.clone().requires_grad_()
    logits = network(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert logits.dtype == gradient.dtype == torch.float32
    gradient.view(len(images), -1)  # as tools flatten it
    kept = Deep().state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in reference.module.state_dict().items())


def test_in_bfloat16_the_pixels_stay_exact(reference):
    """The first layer sees float32: a change of 1/2000 reaches the logits, where bfloat16 would round it away."""
    network = prepare(reference, CopyRecipe(("fold",), precision="bf16"), IMAGES)
    moved = IMAGES * 0.5 + 0.25
    first = network._network.stem.layer(moved)
    assert first.dtype == torch.float32
    assert not torch.equal(network._network.stem.layer(moved + 5e-4), first)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_witness_of_a_copy_is_the_references(tmp_path, monkeypatch, precision):
    monkeypatch.setattr("harness.measure.fast_copy.ladder.race", lambda *_: Race(1.1, True))  # every step pays
    model = Deep()
    data = labeled(model, 60, wrong=4)
    run = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, precision=precision))
    exact = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, precision="exact"))
    assert run.folder != exact.folder
    plan = json.loads((run.folder / "run.json").read_text())["plan"]
    assert (plan["precision"], plan["speedups"]) == (precision, ["fold", "stem", "tiny-maps", "weights"])
    assert exact.info.plan.speedups == ()
    from harness.evidence import witnesses

    count = 0
    for table in RunStore(run.folder).all_witnesses():
        images, labels = data.take(table["sample_id"].to_pylist())
        with torch.no_grad():
            predictions = model(witnesses.decode(table["image"].to_pylist(), images)).argmax(1)
        assert (predictions != labels).all()
        count += len(labels)
    assert count > 10
    assert sum(a != b for a, b in zip(outcomes(run), outcomes(exact), strict=True)) <= (
        0 if precision == "float32" else 6
    )


class Liar(FastCopy):
    """Calls every image something wrong, and has gradients that lead nowhere."""

    def __init__(self, reference, recipe):
        super().__init__(reference.module, recipe, reference.device)

    def forward(self, images):
        logits = super().forward(images)
        return logits.detach().flip(1).roll(1, 1) + 0 * logits


def test_what_a_lying_copy_proposes_is_attacked_again(tmp_path, monkeypatch):
    model = Deep()
    data = labeled(model, 40, wrong=3)
    exact = evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "exact", precision="exact", batch_size=32))
    made = lambda reference, recipe, images: Liar(reference, CopyRecipe(("fold",)))  # noqa: E731
    monkeypatch.setattr("harness.run.plan.make_copy", made)
    run = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, precision="float32", batch_size=32))
    assert run.info.unconfirmed > 0
    before, after = Counter(outcomes(exact)), Counter(outcomes(run))
    assert before["witness"] > 0
    assert after["survived"] <= before["survived"]
    lost = [a for a, b in zip(outcomes(exact), outcomes(run), strict=True) if a in facts.BROKEN and b == "survived"]
    assert not lost


@pytest.mark.parametrize("mode", ["watch", "faithful"])
def test_the_other_modes_attack_the_model_itself(tmp_path, mode):
    model = Deep()
    data = labeled(model, 20)
    run = evaluate(loaded(model, 5), suite(mode), data, Options(tmp_path))
    assert run.info.plan.speedups == ()
    for options in (Options(tmp_path, precision="bf16"), Options(tmp_path, compile="on")):
        with pytest.raises(UsageError, match=f"in mode {mode} the model itself is attacked"):
            evaluate(loaded(model, 5), suite(mode), data, options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, "is not one of auto, exact, float32, tf32, bf16"),
        ({"compile": "yes"}, "is not one of auto, on, off"),
        ({"precision": "exact", "compile": "on"}, "forbids it"),
        ({"precision": "tf32", "device": "cpu"}, "needs a GPU"),
    ],
)
def test_options_are_checked(tmp_path, options, message):
    model = SmallNet()
    with pytest.raises(UsageError, match=message):
        evaluate(loaded(model, 5), suite(), labeled(model, 8), Options(tmp_path, **options))


def test_a_run_goes_on_with_its_own_copy(tmp_path, monkeypatch):
    model = Deep()
    data = labeled(model, 20)
    first = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, precision="float32"))
    monkeypatch.setattr("harness.run.plan.calibrate", None)
    again = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, precision="float32"))
    assert (again.info.plan, again.info.calibration) == (first.info.plan, first.info.calibration)

    def unfit(*_):
        raise Unfit("other code")

    monkeypatch.setattr("harness.run.plan.make_copy", unfit)
    with pytest.raises(BadRun, match=r"cannot be made here \(other code\)"):
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path, precision="float32"))


def test_compiled_copies_are_called_with_few_shapes(reference, monkeypatch):
    shapes = set()

    def compile_(network, dynamic):
        assert dynamic is False

        def run(images):
            shapes.add(len(images))
            return network(images)

        return run

    monkeypatch.setattr(copies.torch, "compile", compile_)
    network = prepare(reference, CopyRecipe(compiled=True), IMAGES)
    shapes.clear()
    for n in range(1, 17):
        images = IMAGES[:n].clone().requires_grad_()
        logits = network(images)
        torch.testing.assert_close(logits, reference.logits(IMAGES[:n]), rtol=1e-5, atol=1e-5)
        (gradient,) = torch.autograd.grad(logits.sum(), images)
        assert gradient.shape == (n, *SHAPE)
    assert shapes == {1, 2, 4, 8, 16}
    assert [bucket(n) for n in (1, 17, 256, 257, 600)] == [1, 24, 256, 512, 768]


def test_tf32_is_allowed_for_the_attack_alone(reference):
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    with arithmetic("tf32"):
        assert all(flag.allow_tf32 for flag in flags)
        seen = []
        handle = reference.module.register_forward_hook(lambda *_: seen.extend(flag.allow_tf32 for flag in flags))
        reference.logits(IMAGES)
        handle.remove()
        assert seen == [False, False]
        assert all(flag.allow_tf32 for flag in flags)
    assert not any(flag.allow_tf32 for flag in flags)
