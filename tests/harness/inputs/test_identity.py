"""Which model it is: its tensors, its source files, and how it behaves; evidence of another one is not handed out."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn
from toys import SmallNet, labeled, loaded
from users_source import fresh, source

import harness
from harness.base.threat import parse_grid
from harness.evidence import earlier
from harness.inputs import fingerprint
from harness.inputs.find import find_model
from harness.inputs.identity import is_model, subject, weights_of
from harness.inputs.suite import Suite
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec, LoadedModel

__all__ = ["source"]
GRID = parse_grid(["4/255", "16/255"], "linf")
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": False})
FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
MODEL = SmallNet()
DATA = labeled(MODEL, 16, eight_bit=True)


class Round(torch.autograd.Function):
    """Rounds to 8 bits; its backward pass is zero or straight-through, as `mended` says."""

    mended = False

    @staticmethod
    def forward(context, images):
        return (images * 255).round() / 255

    @staticmethod
    def backward(context, gradient):
        return gradient * float(Round.mended)


class Quantized(SmallNet):
    def __init__(self):
        super().__init__()
        self.quantize = Round.apply

    def forward(self, images):
        return super().forward(self.quantize(images))


def run_of(folder, model, *attacks, name="net", **options):
    suite = Suite(name="toy", version=1, norm="linf", grid=GRID, mode="observed", chunk=16, attacks=attacks or (PGD,))
    chosen = {"device": "cpu", "batch_size": 16, "force": True, "progress": False} | options
    return harness.evaluate(model, suite, DATA, name=name, results=folder, **chosen).run


def accuracy(result):
    """Robust accuracy at 16/255."""
    (cell,) = [cell for cell in result.summary["cells"] if (cell["attack"], cell["epsilon_label"]) == ("pgd", "16/255")]
    return cell["robust_accuracy"]


def test_a_mended_backward_pass_is_not_handed_the_old_run(tmp_path, monkeypatch, capsys):
    masked = run_of(tmp_path / "results", Quantized())
    assert accuracy(masked) == 1.0
    monkeypatch.setattr(Round, "mended", True)
    capsys.readouterr()
    again = run_of(tmp_path / "results", Quantized())
    (line,) = capsys.readouterr().err.splitlines()
    # Images of 8 bits and steps of 4/255 stay on the quantizer's levels: mended, it attacks as the bare network.
    bare = run_of(tmp_path / "bare", SmallNet())
    assert accuracy(again) == accuracy(bare) < 1.0
    assert [cell["broken"] for cell in again.summary["cells"]] == [cell["broken"] for cell in bare.summary["cells"]]
    (kept,) = earlier.kept(again.folder)
    assert "has other gradients on 8 of 8 clean images" in line
    assert str(kept) in line
    old = json.loads((kept / "summary.json").read_text())
    assert [cell["robust_accuracy"] for cell in old["cells"]] == [1.0, 1.0]
    # Nor are single units, in a run that is new.
    run_of(tmp_path / "results", Quantized(), PGD, FGSM)
    monkeypatch.setattr(Round, "mended", False)
    other = run_of(tmp_path / "results", Quantized(), FGSM, PGD)
    assert other.info.reused == 0
    assert accuracy(other) == 1.0


def test_a_run_is_taken_back_when_its_model_is(tmp_path, monkeypatch, capsys):
    first = run_of(tmp_path, Quantized())
    monkeypatch.setattr(Round, "mended", True)
    second = run_of(tmp_path, Quantized())
    monkeypatch.setattr(Round, "mended", False)
    capsys.readouterr()
    third = run_of(tmp_path, Quantized())
    words, read = capsys.readouterr().err.splitlines()
    assert "is taken back" in words
    assert "nothing was measured now" in read
    assert third.summary["cells"] == first.summary["cells"] != second.summary["cells"]
    (kept,) = earlier.kept(third.folder)
    assert json.loads((kept / "summary.json").read_text())["cells"] == second.summary["cells"]


SCALE = 1.0


@dataclass
class Options:
    scale: float = 1.0


class Native:
    """Like a function of an extension: no Python code that could be read."""

    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, images):
        return images * self.scale


class Switched(nn.Module):
    """Multiplies by what the switch says."""

    def __init__(self, scale):
        super().__init__()
        self.net = SmallNet()
        self._scale = scale

    def forward(self, images):
        return self.net(self._scale(images))


def in_dataclass(value, monkeypatch, folder):
    options = Options(value)
    return lambda images: images * options.scale


def in_global(value, monkeypatch, folder):
    monkeypatch.setitem(globals(), "SCALE", value)
    return lambda images: images * SCALE


def in_closure(value, monkeypatch, folder):
    return lambda images: images * value


def in_environment(value, monkeypatch, folder):
    monkeypatch.setenv("SCALE", str(value))
    return lambda images: images * float(os.environ["SCALE"])


def in_file(value, monkeypatch, folder):
    (folder / "config.txt").write_text(str(value))
    return lambda images: images * float((folder / "config.txt").read_text())


def in_callable(value, monkeypatch, folder):
    return Native(value)


def in_partial(value, monkeypatch, folder):
    return partial(torch.mul, value)


def in_attribute_of_class(value, monkeypatch, folder):
    monkeypatch.setattr(Options, "scale", value)
    return lambda images: images * Options.scale


def in_weakly_held_table(value, monkeypatch, folder):
    table = {"deep": [{"er": (value,)}]}
    return lambda images: images * table["deep"][0]["er"][0]


@pytest.mark.parametrize(
    "place",
    [
        in_dataclass, in_global, in_closure, in_environment, in_file, in_callable, in_partial, in_attribute_of_class,
        in_weakly_held_table,
    ],
)  # fmt: skip
def test_switches_are_seen_wherever_they_are(tmp_path, monkeypatch, place):
    """The same tensors, the same source; twice as steep: another run, measured."""
    first = run_of(tmp_path / "results", Switched(place(1.0, monkeypatch, tmp_path)))
    assert run_of(tmp_path / "results", Switched(place(1.0, monkeypatch, tmp_path))).info.sessions == 2
    second = run_of(tmp_path / "results", Switched(place(0.5, monkeypatch, tmp_path)))
    assert second.folder == first.folder
    assert (second.info.sessions, second.info.reused) == (1, 0)
    assert second.info.subject == first.info.subject
    alone = run_of(tmp_path / "alone", Switched(place(0.5, monkeypatch, tmp_path)))
    assert second.summary["cells"] != first.summary["cells"]
    assert [c["broken"] for c in second.summary["cells"]] == [c["broken"] for c in alone.summary["cells"]]


def test_an_unchanged_model_is_read_from_disk_and_a_line_says_so(tmp_path, capsys):
    first = run_of(tmp_path, SmallNet())
    assert "read from disk" not in capsys.readouterr().err
    again = run_of(tmp_path, SmallNet())
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"read from disk: 3 of 3 units of {first.folder}; nothing was measured now; --fresh measures again"
    assert again.summary["cells"] == first.summary["cells"]
    more = run_of(tmp_path, SmallNet(), PGD, FGSM)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"read from disk: 2 of 5 units of {more.folder}; 3 were measured now"


class Restless(SmallNet):
    """Answers differently at every call, whatever the seed."""

    calls = 0

    def forward(self, images):
        Restless.calls += 1
        return super().forward(images) * (1 + 0.1 * (Restless.calls % 7))


def test_what_nobody_can_describe_is_measured_again(tmp_path, capsys):
    first = run_of(tmp_path, Restless())
    capsys.readouterr()
    second = run_of(tmp_path, Restless())
    assert second.info.sessions == 1
    assert "does not answer alike twice with the same seed" in capsys.readouterr().err
    assert len(earlier.kept(first.folder)) == 1


class Noisy(SmallNet):
    """Random, but by torch's generator."""

    def forward(self, images):
        return super().forward(images + 0.01 * torch.randn_like(images))


def test_random_models_are_recognized_by_seeded_draws(tmp_path):
    run_of(tmp_path, Noisy())
    torch.rand(3)
    assert run_of(tmp_path, Noisy()).info.sessions == 2


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PK")])
def test_a_lost_fingerprint_is_no_licence(tmp_path, damage, capsys):
    first = run_of(tmp_path, SmallNet())
    damage(first.folder / fingerprint.FILE)
    again = run_of(tmp_path, SmallNet())
    assert again.info.sessions == 1
    assert "whose fingerprint is lost" in capsys.readouterr().err


def test_runs_of_versions_without_fingerprints_go_on(tmp_path):
    first = run_of(tmp_path, SmallNet())
    (first.folder / fingerprint.FILE).unlink()
    info = json.loads((first.folder / "run.json").read_text())
    del info["subject"]
    (first.folder / "run.json").write_text(json.dumps(info))
    again = run_of(tmp_path, SmallNet())
    assert again.info.sessions == 2
    assert again.info.subject == first.info.subject
    assert (first.folder / fingerprint.FILE).exists()


def test_the_subject_is_the_same_however_the_tensors_came_in(source):
    notebook = fresh("users_net").build()
    file = find_model(f"{source}/users_net.py:build")
    torch.save(notebook.state_dict(), source / "weights.pt")
    weights = find_model(f"{source}/weights.pt?arch={source}/users_net.py:build&num_classes=5&shape=3x8x8")
    parallel = nn.DataParallel(fresh("users_net").build())
    assert subject(file.module) == subject(weights.module) == subject(notebook) == subject(parallel)
    assert len({weights_of(model) for model in (file, weights, loaded(notebook, 5))}) == 3
    other = fresh("users_net").build()
    other.mean += 1e-3  # a buffer that no state dict holds
    assert subject(other) != subject(notebook)


def test_a_notebooks_run_is_verified_with_the_file(source):
    result = run_of(source / "results", fresh("users_net").build())
    file = find_model(f"{source}/users_net.py:build")
    assert file.weights_sha256 != result.info.model.sha256
    assert is_model(file, result.info.model.sha256, result.info.subject)
    verdict = verify(result.folder, file, DATA, VerifyOptions(device="cpu"))
    assert [finding.check for finding in verdict.problems] == []
    file.module.body[1].bias.data[0] += 1e-3
    verdict = verify(
        result.folder, LoadedModel("net", file.module, 5, None, "0" * 64), DATA, VerifyOptions(device="cpu")
    )
    assert [finding.check for finding in verdict.problems] == ["model"]
