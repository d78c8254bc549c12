"""Tools that fail, and what cannot be measured."""

import pytest
import torch
from observed import suite
from toys import Linear, SmallNet, Toy, labeled, loaded, scripted

from harness.base.threat import parse_grid
from harness.errors import BadData, BadRun, ModelRefused, UsageError
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec


def test_a_failing_tool_leaves_a_missing_cell_and_the_others_go_on(tmp_path, monkeypatch):
    model = SmallNet()
    data = labeled(model, 20, wrong=2)
    both = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["4/255"]),
        mode="observed",
        chunk=16,
        attacks=(
            AttackSpec("bad", "test", "x", {}),
            AttackSpec("good", "torchattacks", "fgsm", {}),
        ),
    )

    def explode(model, problem):
        model(problem.images)
        raise ValueError("tool\nfell over")

    good = both.attacks[1]
    real = Suite(name="t", version=1, norm="linf", grid=both.grid, mode="observed", chunk=16, attacks=(good,)).resolve()
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(explode), *real))
    run = evaluate(loaded(model, 5), both, data, Options(tmp_path))
    bad, fine = run.summary["cells"]
    assert (bad["status"], bad["robust_accuracy"], bad["ci95"]) == ("missing", None, None)
    assert fine["status"] == "ok"
    assert run.summary["worst_case"][0]["robust_accuracy"] is None
    assert not run.complete
    assert any("ValueError: tool fell over" in f["message"] for f in run.summary["findings"])
    assert "fell over" in (run.folder / "log.txt").read_text()


def test_witnesses_found_before_a_failure_stand(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 20)

    def half(observer, problem):
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = problem.images + problem.epsilon * (sign * model.weight.detach().sign()).view_as(problem.images)
        observer(moved.clamp(0, 1))
        raise RuntimeError("after the best query")

    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(half),))
    run = evaluate(loaded(model, 2), suite(("8/255",), method="fgsm"), data, Options(tmp_path))
    (cell,) = run.summary["cells"]
    assert cell["status"] == "partial"
    assert cell["broken"] > 0


def test_images_outside_the_box_are_refused(tmp_path):
    model = SmallNet()
    data = labeled(model, 8)
    normalized = Toy(data.images * 4 - 2, data.labels, data.classes)
    with pytest.raises(BadData, match=r"expected \[0,1\]"):
        evaluate(loaded(model, 5), suite(), normalized, Options(tmp_path))
    broken = Toy(data.images.clone(), data.labels, data.classes)
    broken.images[3, 0, 0, 0] = float("nan")
    with pytest.raises(BadData):
        evaluate(loaded(model, 5), suite(), broken, Options(tmp_path))


def test_a_wrong_class_count_is_refused(tmp_path):
    model = SmallNet(classes=5)
    data = labeled(model, 8)
    with pytest.raises(ModelRefused, match="7 classes, data set 'toy' has 9"):
        evaluate(loaded(model, 7), suite(), Toy(data.images, data.labels, list("abcdefghi")), Options(tmp_path))
    with pytest.raises(ModelRefused, match="expected logits"):
        evaluate(loaded(model, 6), suite(), data, Options(tmp_path))
    wrong = Toy(data.images, data.labels + 90, data.classes)
    with pytest.raises(BadData, match="labels from"):
        evaluate(loaded(model, 5), suite(), wrong, Options(tmp_path))


def test_unusable_options_are_refused(tmp_path):
    model = SmallNet()
    data = labeled(model, 8)
    for options in (Options(tmp_path, n=0), Options(tmp_path, n=9), Options(tmp_path, batch_size=0),
                    Options(tmp_path, device="cuda:99"), Options(tmp_path, witnesses="some")):  # fmt: skip
        with pytest.raises(UsageError):
            evaluate(loaded(model, 5), suite(), data, options)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadRun, match="cannot be written"):
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "file"))
