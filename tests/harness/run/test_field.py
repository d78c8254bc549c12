"""Models and inputs as the field has them, each with the value that is right."""

from dataclasses import replace

import pytest
import torch
from strikes import make
from torch import nn
from toys import CASCADE, SmallNet, Toy, labeled, loaded

from harness.base.threat import parse_grid
from harness.errors import AttackFailed, BadSuite
from harness.inputs.reference import ReferenceModel
from harness.inputs.suite import Suite
from harness.measure.constancy import Constancy
from harness.run.job import Options, evaluate
from harness.trust.doctor import examine_model
from harness.types import AttackSpec, Problem

PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 4, "step_size": "2/255", "random_start": True})
SQUARE = AttackSpec("square", "autoattack", "square", {"queries": 30})


class Wrapped(nn.Module):
    """A sound net, with something done to its input, its output, or around it."""

    def __init__(self, before=lambda x: x, after=lambda y: y, context=torch.enable_grad):
        super().__init__()
        self.net, self.before, self.after, self.context = SmallNet().eval(), before, after, context

    def forward(self, images):
        with self.context() if torch.is_grad_enabled() else torch.no_grad():
            return self.after(self.net(self.before(images)))


class Moody(nn.Module):
    """Says the next class once it was asked about `patience` images; its gradient alone turns after `turn`."""

    def __init__(self, patience=10**9, turn=10**9):
        super().__init__()
        self.net, self.asked, self.patience, self.turn = SmallNet().eval(), 0, patience, turn

    def forward(self, images):
        self.asked += len(images)
        logits = self.net(images)
        if self.asked > self.turn:
            logits = 2 * logits.detach() - logits
        return logits.roll(1, 1) if self.asked > self.patience else logits


def suite(*attacks, norm="linf", eps=("8/255",)):
    return Suite(
        name="field", version=1, norm=norm, grid=parse_grid(eps, norm), mode="observed", chunk=512, attacks=attacks
    )


def run(module, tmp_path, *attacks, n=12, data=None, classes=5, **choice):
    data = data or labeled(SmallNet(), n)
    return evaluate(loaded(module, classes), suite(*attacks, **choice), data, Options(tmp_path, precision="exact"))


def cells(done):
    return {cell["attack"]: (cell["status"], cell["robust_accuracy"]) for cell in done.summary["cells"]}


def said(done, check):
    return [(f["level"], f["message"]) for f in done.summary["findings"] if f["check"] == check]


class TestStateOutsideBuffers:
    def constancy(self, module, n=64):
        data = labeled(SmallNet(), n)
        reference = ReferenceModel(loaded(module, 5)).__enter__()
        return reference, Constancy(reference, data.images, data.labels)

    def test_a_model_that_turns_within_a_run_is_grade_d(self, tmp_path):
        sound = run(SmallNet(), tmp_path / "sound", PGD, n=64)
        assert not said(sound, "P5")
        run(counted := Moody(), tmp_path / "counted", PGD, n=64)
        # Near the end of the attack: 80 images are asked after it.
        done = run(Moody(patience=counted.asked - 90), tmp_path / "moody", PGD, n=64)
        assert [level for level, _ in said(done, "P5")] == ["error"]
        assert "64 of 64 predictions changed" in said(done, "P5")[0][1]
        assert done.summary["grade"] == "D"

    def test_so_is_one_of_which_only_the_gradient_turns(self):
        reference, constancy = self.constancy(module := Moody())
        assert constancy.finding() is None
        module.turn = module.asked
        assert constancy.finding().level == "error"
        assert "16 of 16 input gradients" in constancy.finding().message
        module.turn = 10**9
        assert constancy.finding() is None
        reference.__exit__()

    def test_many_images_are_asked_of_randomized_models_alone(self):
        _, constancy = self.constancy(module := Moody(), n=300)
        assert module.asked == 16 + 16 + 128 + 16
        assert constancy.finding() is None
        _, constancy = self.constancy(Wrapped(after=lambda logits: logits + 0.02 * torch.randn_like(logits)), n=300)
        assert len(constancy.logits) == 300

    def test_of_randomized_models_only_how_often_they_are_right_is_compared(self):
        def noisy(logits):
            return logits + 0.02 * torch.randn_like(logits)

        module = Wrapped(after=noisy)
        _, constancy = self.constancy(module)
        assert constancy.randomized
        assert constancy.finding() is None
        module.after = lambda logits: noisy(logits).roll(1, 1)
        assert constancy.finding().level == "error"

    def test_the_doctor_refuses_one_that_turns_while_it_looks(self):
        data = labeled(SmallNet(), 128)
        found = [f for f in examine_model(loaded(Moody(patience=300), 5), data).findings if f.check == "P5"]
        assert [(f.level, "keeps a state" in f.message) for f in found] == [("refuse", True)]


def test_what_is_said_of_a_randomized_model(tmp_path):
    """Its number is too low, not an upper bound, and nothing advised makes it lower still."""
    data = labeled(SmallNet(), 64)
    module = Wrapped(after=lambda logits: logits + torch.randn_like(logits))
    (found,) = (f for f in examine_model(loaded(module, 5), data).findings if f.check == "P5")
    assert "too low" in found.message
    assert "upper bound" not in found.message
    assert "EOT" not in found.message


@pytest.mark.torchattacks
def test_a_run_of_a_randomized_model_repeats_itself_whatever_was_drawn_before(tmp_path):
    def facts_of(folder, drawn):
        torch.manual_seed(drawn)
        module = Wrapped(after=lambda logits: logits + 0.3 * torch.randn_like(logits))
        data = labeled(SmallNet(), 64)
        options = Options(tmp_path / folder, precision="exact", batch_size=64, force=True)
        done = evaluate(loaded(module, 5), suite(PGD), data, options)
        return done.summary["clean"], cells(done)["pgd"]

    first = facts_of("first", 0)
    assert facts_of("second", 1) == first
    assert first[0]["accuracy"] < 1  # it does draw


OF_QUANTIZING = (
    "ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor", "ignore:quantized::",
    "ignore:Please use quant_min", "ignore:must run observer",
)  # fmt: skip


def static_int8(layer, images):
    """A quantized linear layer whose scales are fixed, and float32 arithmetic that gives the same logits."""
    tool = torch.ao.quantization
    network = nn.Sequential(tool.QuantStub(), nn.Flatten(), layer, tool.DeQuantStub()).eval()
    network.qconfig = tool.get_default_qconfig(torch.backends.quantized.engine)
    tool.prepare(network, inplace=True)
    network(images)
    tool.convert(network, inplace=True)
    stub, _, linear, _ = network

    def rounded(values, scale, zero):
        return ((values / scale).round() + zero).clamp(0, 255).sub(zero) * scale

    def same(x):
        x = rounded(x, stub.scale, stub.zero_point).flatten(1)
        return rounded(x @ linear.weight().dequantize().T + linear.bias(), linear.scale, linear.zero_point)

    return network, same


class Same(nn.Module):
    """A function as a network, without a gradient."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images).detach()


@pytest.mark.torchattacks
@pytest.mark.autoattack
class TestNoGradient:
    @pytest.mark.parametrize(
        "module",
        [
            Wrapped(context=torch.no_grad),
            Wrapped(context=torch.inference_mode),
            Wrapped(after=torch.Tensor.detach),
            None,
        ],
        ids=["no_grad", "inference_mode", "detach", "int8"],
    )
    @pytest.mark.filterwarnings(*OF_QUANTIZING)
    def test_attacks_on_scores_run_and_the_others_say_why_not(self, module, tmp_path):
        data = labeled(SmallNet(), 8)
        quantized = module is None
        options = Options(tmp_path, force=quantized)  # its scales are those of the batch, which P5 refuses
        if quantized:
            module = torch.ao.quantization.quantize_dynamic(SmallNet().eval(), {nn.Linear}, dtype=torch.qint8)
        done = evaluate(loaded(module, 5), suite(SQUARE, PGD), data, options)
        plain = evaluate(loaded(SmallNet(), 5), suite(SQUARE), data, Options(tmp_path / "plain"))
        found = cells(done)
        assert found["square"][0] == "ok"
        if not quantized:
            assert found["square"] == cells(plain)["square"]
        assert found["pgd"][0] != "ok"
        (told,) = said(done, "exception")
        assert "has no gradient with respect to its images" in told[1]
        assert any("there is no gradient" in message for _, message in said(done, "P7"))

    @pytest.mark.filterwarnings(*OF_QUANTIZING)
    def test_int8_with_fixed_scales_breaks_as_its_arithmetic_in_float32_does(self, tmp_path):
        images = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        layer = nn.Linear(192, 2)
        layer.weight.data = torch.randn(2, 192, generator=torch.Generator().manual_seed(1)) / 10
        layer.bias.data = -(layer.weight.data @ images.flatten(1).mean(0))  # both classes occur
        network, same = static_int8(layer, images)
        assert torch.allclose(network(images), same(images), atol=1e-6)
        data = Toy(images, network(images).argmax(1), ["a", "b"])
        assert 0 < int(data.labels.sum()) < 16
        done = evaluate(loaded(network, 2), suite(SQUARE, PGD), data, Options(tmp_path / "int8"))  # not forced
        plain = evaluate(loaded(Same(same), 2), suite(SQUARE), data, Options(tmp_path / "float32"))
        assert cells(done)["square"] == cells(plain)["square"]
        assert 0 < cells(done)["square"][1] < 1
        assert cells(done)["pgd"][0] != "ok"
        assert any("there is no gradient" in message for _, message in said(done, "P7"))


@pytest.mark.torchattacks
@pytest.mark.autoattack
class TestWhatToolsAreHanded:
    @pytest.mark.parametrize("norm", ["linf", "l2"])
    @pytest.mark.parametrize(
        "before",
        [
            lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
            lambda x: x.contiguous(memory_format=torch.channels_last),
        ],
        ids=["permuted", "channels_last"],
    )
    def test_a_model_in_another_layout_breaks_as_the_plain_one_does(self, before, norm, tmp_path):
        attacks = [CASCADE] + (
            [AttackSpec("pgdl2", "torchattacks", "pgdl2", {**PGD.params})] if norm == "l2" else [PGD]
        )
        data = labeled(SmallNet(), 12)
        eps = ["8/255"] if norm == "linf" else [0.5]
        there = run(Wrapped(before=before), tmp_path / "other", *attacks, norm=norm, eps=eps, data=data)
        plain = run(SmallNet(), tmp_path / "plain", *attacks, norm=norm, eps=eps, data=data)
        assert {status for status, _ in cells(there).values()} == {"ok"}
        assert cells(there) == cells(plain)

    def test_images_in_another_layout_break_as_plain_ones_do(self, tmp_path):
        data = labeled(SmallNet(), 12)
        turned = replace(data, images=data.images.contiguous(memory_format=torch.channels_last))
        there = run(SmallNet(), tmp_path / "other", CASCADE, PGD, data=turned)
        assert cells(there) == cells(run(SmallNet(), tmp_path / "plain", CASCADE, PGD, data=data))

    @pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
    def test_logits_of_every_precision_are_attacked(self, kind, tmp_path):
        done = run(Wrapped(after=lambda logits: logits.to(kind)), tmp_path, CASCADE, PGD)
        assert {status for status, _ in cells(done).values()} == {"ok"}
        if kind == torch.float64:
            assert cells(done) == cells(run(SmallNet(), tmp_path / "plain", CASCADE, PGD))


@pytest.mark.autoattack
class TestSquareOnOddSizes:
    def data(self, side):
        images = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))
        return Toy(images, torch.zeros(4, dtype=torch.int64), tuple("abcde"))

    class Dim(nn.Module):
        def forward(self, images):
            score = 50 * (images.mean((1, 2, 3)) - 0.9)
            return torch.stack([-score, score, score - 1, score - 2, score - 3], 1)

    def test_a_cascade_goes_on_without_it(self, tmp_path):
        done = run(self.Dim(), tmp_path, CASCADE, data=self.data(24), norm="l2", eps=[0.5])
        assert cells(done)["short"] == ("ok", 1.0)
        assert any("square was left out" in message for _, message in said(done, "tool"))

    def test_alone_it_is_refused_before_the_run(self, tmp_path):
        with pytest.raises(BadSuite, match="tiles that leave images of 24x24"):
            run(self.Dim(), tmp_path, SQUARE, data=self.data(24), norm="l2", eps=[0.5])
        assert not list(tmp_path.iterdir())
        assert cells(run(self.Dim(), tmp_path, SQUARE, data=self.data(24)))["square"][0] == "ok"

    def test_among_others_its_own_cell_is_missing(self):
        images, labels = torch.full((2, 3, 24, 24), 0.5), torch.zeros(2, dtype=torch.int64)
        with pytest.raises(AttackFailed, match="24x24"):
            make("autoattack.square", "l2").perturb(self.Dim(), Problem(images, labels, "l2", 0.5, 0, 5, 2))
