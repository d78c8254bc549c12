"""Transfer from other models: their witnesses show what a model with masked gradients hides."""

from dataclasses import replace

import pytest
from toys import Linear, labeled, loaded, uniform_images

from harness.base.threat import parse_grid
from harness.cli import main
from harness.errors import UsageError
from harness.evidence.pool import find_runs
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.testing.selftest.masks import Around, with_gradient, zeroed
from harness.types import AttackSpec

PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/2", "random_start": True})
SUITE = Suite(
    name="toy", version=1, norm="linf", grid=parse_grid(["1/255", "4/255"]), mode="observed", chunk=64, attacks=(PGD,)
)


def measure(module, name, data, folder, suite=SUITE, **options):
    return evaluate(loaded(module.eval(), 2, name), suite, data, Options(folder, device="cpu", **options))


def masked():
    return Around(Linear(), before=with_gradient(zeroed))


def transfers(run):
    return [finding for finding in run.summary["findings"] if finding["check"] == "P26"]


@pytest.fixture(scope="module")
def data():
    return labeled(Linear(), 64, low=0.2, high=0.8)


@pytest.fixture
def open_run(data, tmp_path):
    run = measure(Linear(), "open", data, tmp_path / "open")
    assert run.summary["cells"][-1]["broken"] > 32
    return run


def test_a_masked_model_falls_to_the_witnesses_of_its_open_twin(open_run, data, tmp_path):
    alone = measure(masked(), "masked", data, tmp_path / "masked")
    assert transfers(alone) == []
    cells = alone.summary["cells"]
    told = measure(masked(), "masked", data, tmp_path / "masked", transfer=[tmp_path / "open"])
    assert told.summary["cells"] == cells  # continued, and no number changed
    (finding,) = transfers(told)
    assert finding["level"] == "error"
    assert (
        f"survive every attack at 4/255, but not the witnesses found against open ({open_run.info.run_name})"
        in (finding["message"])
    )
    hidden = open_run.summary["cells"][-1]["broken"] - cells[-1]["broken"]
    assert finding["figure"] == pytest.approx(hidden / 64, abs=0.05)
    assert told.summary["grade"] == "D"
    again = measure(masked(), "masked", data, tmp_path / "masked", transfer=[open_run.folder])
    assert transfers(again) == [finding]  # said once


def test_a_model_that_was_attacked_well_has_nothing_to_hide(open_run, data, tmp_path):
    class Scaled(Linear):
        def forward(self, images):
            return 2 * super().forward(images)

    run = measure(Scaled(), "scaled", data, tmp_path / "scaled", transfer=[tmp_path / "open"])
    (finding,) = transfers(run)
    assert finding["level"] == "info"
    assert f"of {open_run.summary['cells'][-1]['broken']} witnesses" in finding["message"]


def test_runs_that_cannot_be_compared_are_passed_over(open_run, data, tmp_path):
    other = replace(data, images=uniform_images(64, 5))
    measure(Linear(seed=3), "elsewhere", labeled(Linear(seed=3), 64, seed=9), tmp_path / "others")
    measure(Linear(seed=4), "silent", replace(other, labels=data.labels), tmp_path / "others", force=True)
    measure(masked(), "unstored", data, tmp_path / "others", witnesses="none")
    run = measure(Linear(), "open", data, tmp_path / "open", transfer=[tmp_path / "others", tmp_path / "open"])
    assert transfers(run) == []


def test_torn_witnesses_are_told_and_cost_no_run(open_run, data, tmp_path):
    for path in (open_run.folder / "witnesses").iterdir():
        path.write_bytes(b"torn")
    run = measure(masked(), "masked", data, tmp_path / "masked", transfer=[open_run.folder])
    (finding,) = transfers(run)
    assert finding["level"] == "info"
    assert "could not be offered" in finding["message"]
    assert run.complete


def test_a_place_without_runs_is_told_before_anything_is_measured(tmp_path, capsys):
    with pytest.raises(UsageError, match="holds no run"):
        find_runs([tmp_path])
    words = ["--suite", "fgsm", "--n", "8", "--device", "cpu", "--results", str(tmp_path / "r")]
    assert main(["eval", "--model", "standard", *words, "--transfer", str(tmp_path)]) == 2
    assert "holds no run; name a run's folder" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
