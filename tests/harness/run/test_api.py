"""The Python API: what it takes, what it gives back, and that it agrees with the core and the command line."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset
from toys import Linear, SmallNet, StopAfter, labeled, loaded

import harness
from harness.errors import BadData, MissingPackage, ModelRefused, UsageError
from harness.inputs.objects import as_data, as_model, name_classes
from harness.inputs.samples import make_slice
from harness.inputs.suite_file import load_suite
from harness.run.job import Options
from harness.run.job import evaluate as run
from harness.run.result import WORST, Result

MODEL = SmallNet()
TOY = labeled(MODEL, 40, wrong=3)
PAIR = (TOY.images, TOY.labels)
EPS = ["1/255", "8/255"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return harness.evaluate(
        MODEL, "fgsm", PAIR, eps=EPS, name="small", results=tmp_path_factory.mktemp("results"), progress=False
    )


def test_the_numbers_are_the_core_s(result, tmp_path):
    core = run(loaded(MODEL, 5, "small"), load_suite("fgsm").with_grid(EPS), TOY, Options(tmp_path))
    assert result.complete
    for mine, other in zip(result.summary["cells"], core.summary["cells"], strict=True):
        assert (mine["broken"], mine["clean_correct"]) == (other["broken"], other["clean_correct"])
    assert result.clean_accuracy == 37 / 40
    assert result.folder.parent.name.startswith("results")


def test_facts_and_metrics_are_data_frames(result):
    facts, metrics = result.facts, result.metrics
    assert len(facts) == result.table.num_rows == 40 * 3
    counted = facts[(facts.attack == "fgsm") & (facts.epsilon_label == "8/255")]
    share = (counted.outcome == "survived").mean()
    row = metrics[(metrics.attack == "fgsm") & (metrics.epsilon_label == "8/255")].iloc[0]
    assert row.accuracy == share == result.robust_accuracy("8/255", "fgsm") == result.robust_accuracy(8 / 255)
    assert row.low < row.accuracy < row.high
    assert row.broken == (counted.outcome == "witness").sum() > 0
    assert list(metrics.attack) == ["clean", "fgsm", "fgsm", WORST, WORST]


def test_what_is_not_there_is_an_error(result):
    with pytest.raises(UsageError, match="attack 'pgd' is not in this run; it has fgsm"):
        result.robust_accuracy("8/255", "pgd")
    with pytest.raises(UsageError, match="epsilon 4/255 is not in this run; its grid is 1/255, 8/255"):
        result.robust_accuracy("4/255")


def test_an_epsilon_is_a_number_however_it_is_written(tmp_path):
    half = harness.evaluate(MODEL, "fgsm", PAIR, eps=["1/2"], results=tmp_path, progress=False)
    assert half.robust_accuracy(0.5) == half.robust_accuracy("1/2", "fgsm") is not None


def test_what_an_interrupted_run_has_not_begun_is_not_known(tmp_path):
    part = run(loaded(MODEL, 5), load_suite("fgsm").with_grid(EPS), TOY, Options(tmp_path), StopAfter(2))
    partial = Result(part, loaded(MODEL, 5), TOY)
    assert partial.robust_accuracy("1/255", "fgsm") is not None
    assert partial.robust_accuracy("8/255", "fgsm") is partial.robust_accuracy("8/255") is None
    with pytest.raises(UsageError, match="epsilon 4/255 is not in this run"):
        partial.robust_accuracy("4/255", "fgsm")


def test_it_verifies_and_notices_a_changed_model(result):
    assert result.verify().ok
    other = SmallNet(seed=1)
    again = type(result)(result.run, loaded(other, 5, "small"), result.data)
    assert not again.verify().ok


def test_it_shows_itself_as_text_html_and_picture(result):
    share = 100 * result.robust_accuracy("8/255")
    assert repr(result) == (
        f"Result(model='small', suite='fgsm@1', data={result.summary['data']!r}, n=40, clean=92.5 %,"
        f" worst case at linf 8/255={share:.1f} %)"
    )
    html = type(result)(result.run, result.model, result.data)._repr_html_()
    assert html.count("<tr>") == 2
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    axes = result.plot()
    (line,) = axes.get_lines()
    assert line.get_ydata()[0] == result.clean_accuracy
    assert line.get_ydata()[-1] == result.robust_accuracy("8/255")
    pyplot.close(axes.figure)


def test_text_from_strangers_is_escaped(result):
    sneaky = type(result)(result.run, result.model, result.data)
    sneaky.run.summary["model"], kept = "<script>", sneaky.run.summary["model"]
    try:
        assert "<script>" not in sneaky._repr_html_()
    finally:
        sneaky.run.summary["model"] = kept


def test_missing_pandas_names_the_extra(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackage, match="notebook"):
        _ = result.facts


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loader_keeps_its_samples_numbers(shuffle):
    loader = DataLoader(TensorDataset(*PAIR), batch_size=7, shuffle=shuffle)
    data = as_data(loader)
    images, labels = data.take([5, 0, 39])
    assert torch.equal(images, TOY.images[[5, 0, 39]])
    assert torch.equal(labels, TOY.labels[[5, 0, 39]])
    assert len(data) == 40


def test_a_sampler_of_its_own_and_plain_batches_are_read_once():
    loader = DataLoader(TensorDataset(*PAIR), batch_size=4, sampler=SubsetRandomSampler(range(10)))
    assert len(as_data(loader)) == 10
    batches = ((TOY.images[i : i + 10].numpy(), TOY.labels[i : i + 10].tolist()) for i in (0, 10))
    data = as_data(batches)
    assert len(data) == 20
    assert torch.equal(data.take([19])[0], TOY.images[[19]])


def test_a_loader_gives_the_run_of_its_tensors(result):
    loader = DataLoader(TensorDataset(*PAIR), batch_size=7, shuffle=True)
    same = harness.evaluate(
        MODEL, "fgsm", loader, eps=EPS, name="small", data_name="tensors", results=result.folder.parent, progress=False
    )
    assert same.folder == result.folder


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((np.zeros((4, 3, 8, 8), np.int64), [0, 1, 0, 1]), r"expected float32 \[n,C,H,W\]"),
        ((np.zeros((4, 8, 8, 8), np.uint8), [0, 1, 0, 1]), "neither the second nor the last axis has 1 or 3 channels"),
        ((np.zeros((4, 3, 8, 3), np.uint8), [0, 1, 0, 1]), "second or the last axis; give float32"),
        ((torch.rand(4, 8, 8), [0, 1, 0, 1]), r"expected float32 \[n,C,H,W\]"),
        ((torch.rand(4, 3, 8, 8), [0, 1, 0]), "expected 4 whole numbers"),
        ((torch.rand(4, 3, 8, 8), torch.rand(4)), "expected 4 whole numbers"),
        ([torch.rand(4)], "expected pairs"),
        ([], "no samples"),
    ],
)
def test_data_of_another_kind_is_refused(data, message):
    with pytest.raises(BadData, match=message):
        as_data(data)
    with pytest.raises(UsageError, match="data is a int"):
        as_data(3)


def test_bytes_are_taken_as_an_npz_file_has_them(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(6) % 2
    np.savez(tmp_path / "some.npz", images=pixels, labels=labels)
    for images in (pixels, torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())):
        data, file = as_data((images, labels)), as_data(str(tmp_path / "some.npz"))
        name_classes(data, 2)
        assert make_slice(data, None, 4).digest() == make_slice(file, None, 4).digest()


def test_images_outside_the_box_and_wrong_labels_are_refused(tmp_path):
    options = {"results": tmp_path, "progress": False}
    with pytest.raises(BadData, match=r"expected \[0,1\]"):
        harness.evaluate(MODEL, "fgsm", (TOY.images * 2 - 1, TOY.labels), **options)
    with pytest.raises(ModelRefused, match="has 5 classes, data set 'tensors' has 6"):
        harness.evaluate(MODEL, "fgsm", (TOY.images, TOY.labels + 1), **options)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, UsageError, "model is a int"),
        (nn.Linear(7, 2), ModelRefused, r"fails on an image \(3, 8, 8\): RuntimeError"),
        (nn.Flatten(0), ModelRefused, r"returned \(192,\) for one image"),
        (nn.Conv2d(3, 2, 3), ModelRefused, "expected logits"),
    ],
)
def test_models_of_another_kind_are_refused(model, error, message):
    if isinstance(model, nn.Linear):
        message = r"fails on an image \(1, 3, 8, 8\)"
    with pytest.raises(error, match=message):
        as_model(model, TOY)


def test_classes_are_the_model_s_where_the_data_names_none():
    data = as_data((TOY.images[:2], torch.tensor([0, 1])))
    name_classes(data, 5)
    assert len(data.classes) == 5


def test_the_model_comes_back_as_it_was(tmp_path):
    model = SmallNet().train()
    model.body[5].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    harness.evaluate(model, "fgsm", PAIR, n=8, results=tmp_path, progress=False)
    assert model.training
    assert model.body[1].training
    assert not model.body[5].weight.requires_grad
    assert model.body[5].bias.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Scaled(nn.Module):
    """A linear model whose answers depend on a constant that no state dict holds."""

    def __init__(self, factor):
        super().__init__()
        self.inner, self.factor = Linear(), factor

    def forward(self, images):
        return self.inner(1 - images if self.factor < 0 else images)


class FromOutside(Scaled):
    """A linear model that asks its surroundings."""

    def __init__(self):
        super().__init__(1)

    def forward(self, images):
        return self.inner(1 - images if float(os.environ["TOY_FACTOR"]) < 0 else images)


def test_changed_code_does_not_continue_another_model_s_run(tmp_path):
    data = labeled(Linear(), 40)
    options = {"n": 40, "eps": EPS, "results": tmp_path, "progress": False, "force": True}
    first = harness.evaluate(Scaled(1), "fgsm", (data.images, data.labels), **options)
    assert harness.evaluate(Scaled(1), "fgsm", (data.images, data.labels), **options).folder == first.folder
    other = harness.evaluate(Scaled(-1), "fgsm", (data.images, data.labels), **options)
    assert other.folder != first.folder
    assert other.clean_accuracy < first.clean_accuracy


def test_other_answers_do_not_continue_a_run_either(tmp_path, monkeypatch, capsys):
    data = labeled(Linear(), 40)
    options = {"n": 40, "eps": EPS, "results": tmp_path, "progress": False, "force": True}
    monkeypatch.setenv("TOY_FACTOR", "1")
    first = harness.evaluate(FromOutside(), "fgsm", (data.images, data.labels), **options)
    assert first.clean_accuracy == 1
    monkeypatch.setenv("TOY_FACTOR", "-1")  # which no hash of code can see
    other = harness.evaluate(FromOutside(), "fgsm", (data.images, data.labels), **options)
    assert other.clean_accuracy < 1
    assert "model 'FromOutside' answers" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / ".earlier").iterdir()] == [f"{first.folder.name}-1"]


def test_importing_harness_imports_no_torch():
    code = "import sys, harness; assert 'torch' not in sys.modules; harness.evaluate; assert callable(harness.evaluate)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        harness.evaluat  # noqa: B018


def test_speed_budget_and_transfer_are_passed_on(tmp_path):
    other = copy.deepcopy(MODEL)
    with torch.no_grad():
        next(other.parameters()).mul_(1.01)

    def ask(name, model=MODEL, **options):
        return harness.evaluate(
            model, "fgsm", PAIR, eps=EPS, name=name, results=tmp_path, batch_size=8, progress=False, **options
        )

    first = ask("first", other, precision="exact")
    assert first.run.info.plan.speedups == ()
    second = ask("second", precision="float32", transfer=[first.folder])
    assert second.run.info.plan.channels_last or second.run.info.plan.speedups
    assert [f["check"] for f in second.summary["findings"] if f["check"] == "P26"] == ["P26"]
    cut = ask("cut", budget=1e-9)
    assert not cut.complete
    assert any(finding["check"] == "budget" for finding in cut.summary["findings"])
    with pytest.raises(UsageError, match="--precision exact forbids it"):
        ask("both", precision="exact", compile="on")
