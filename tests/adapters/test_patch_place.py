"""Patches at a place that the suite or the data name: in the key, in the witnesses, and in their proof."""

import msgspec
import numpy as np
import pytest
import torch
from toys import SmallNet, labeled, loaded

from harness.base.threat import parse_grid
from harness.errors import BadData
from harness.evidence.run_json import contradiction
from harness.inputs.boxes import masks_of
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec
from model_zoo.datasets.base import ArrayDataset

pytest.importorskip("art")
pytestmark = pytest.mark.art
N = 40
PGD = AttackSpec("masked-pgd-8", "art", "masked-pgd", {"steps": 8, "step_size": 0.25, "random_start": True})
SHARE = "7%"  # a square of 2 pixels a side


def suite(place, *grid):
    return Suite(
        name="toy", version=1, norm="linf", mode="observed", chunk=32, threat="patch", place=place,
        grid=parse_grid(grid, "linf", "patch"), attacks=(PGD,),
    )  # fmt: skip


def data(edges=None):
    """Whole 255ths, labeled by the model, with or without boxes."""
    model = SmallNet()
    images = (labeled(model, N).images * 255).round().to(torch.uint8)
    labels = model.eval()(images.float() / 255).argmax(1).numpy()
    return ArrayDataset("toy", images.permute(0, 2, 3, 1).numpy(), labels, list("abcde"), edges=edges)


def corner(left):
    return np.tile(np.array([left, 0.0, left + 2, 2.0]), (N, 1))


def measure(folder, place, part):
    options = Options(folder, device="cpu", precision="exact")
    return evaluate(loaded(SmallNet(), 5), suite(place, SHARE), part, options)


def test_runs_at_three_places_are_three_runs(tmp_path):
    """In one results folder, where units that are the same would be taken over."""
    boxed = data(corner(0))
    runs = [measure(tmp_path, place, boxed) for place in ("drawn", "center", "boxes")]
    runs.append(measure(tmp_path, "boxes", data(corner(4))))
    assert len({run.info.key for run in runs}) == 4
    assert [run.info.suite.ruler for run in runs] == ["patch", "patch at center", "patch at boxes", "patch at boxes"]
    assert [run.info.data.boxes is None for run in runs] == [True, True, False, False]
    assert measure(tmp_path, "drawn", data()).info.key == runs[0].info.key  # boxes that nobody asks for change nothing
    tables = [run.facts.to_pandas().query("attack != 'clean'") for run in runs]
    broken = [set(table[table["outcome"] == "witness"]["sample_id"]) for table in tables]
    assert min(map(len, broken)) > 3
    assert len(set(map(frozenset, broken))) > 2
    assert all(len(table) == N for table in tables)


def test_witnesses_lie_at_the_boxes_and_are_proved_by_them(tmp_path):
    boxed, model = data(corner(4)), loaded(SmallNet(), 5)
    run = measure(tmp_path, "boxes", boxed)
    verdict = verify(run.folder, model, boxed, VerifyOptions(replay=10, seed=1, device="cpu"))
    assert [finding.message for finding in verdict.problems] == []
    assert verdict.witnesses > 3
    assert verdict.replay.drawn == 10
    refuted = verify(run.folder, model, data(corner(0)), VerifyOptions(device="cpu"))
    (problem,) = refuted.problems
    assert problem.message.startswith(
        f"the run's patches lie by boxes {run.info.data.boxes[:19]}; here they are sha256:"
    )
    refuted = verify(run.folder, model, data(), VerifyOptions(device="cpu"))
    assert refuted.problems[0].message.startswith("the run's patches lie by boxes: data set 'toy' has no boxes")


def test_a_grid_inherits_as_squares_lie_in_each_other(tmp_path):
    whole = suite("boxes", "2%", SHARE, "15%")
    boxed = data(corner(4))
    run = evaluate(loaded(SmallNet(), 5), whole, boxed, Options(tmp_path, device="cpu"))
    outcomes = run.facts.to_pandas().query("attack != 'clean'").set_index(["epsilon", "sample_id"])["outcome"]
    assert (outcomes == "inherited").any()
    masks = masks_of("boxes", boxed, range(N), (3, 8, 8))
    assert not (masks.within(0.02) & ~masks.within(0.15)).any()
    verdict = verify(run.folder, loaded(SmallNet(), 5), boxed, VerifyOptions(device="cpu"))
    assert [finding.message for finding in verdict.problems] == []


def test_data_without_boxes_are_refused_before_the_run(tmp_path):
    with pytest.raises(BadData, match="data set 'toy' has no boxes"):
        measure(tmp_path, "boxes", data())
    assert not list(tmp_path.glob("*/run.json"))


def test_a_run_names_boxes_if_its_patches_lie_by_them(tmp_path):
    info = measure(tmp_path, "boxes", data(corner(0))).info
    assert contradiction(info) == ""
    bare = msgspec.structs.replace(info, data=msgspec.structs.replace(info.data, boxes=None))
    assert "data.boxes do not fit together" in contradiction(bare)
    ball = msgspec.structs.replace(info.suite, other_threat=None, labels=("0.07",), epsilons=(0.07,))
    assert "data.boxes do not fit together" in contradiction(msgspec.structs.replace(info, suite=ball))
