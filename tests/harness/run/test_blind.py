"""Models that give no gradient at all: attacks that need one are missing, and adapted ones answer in the worst case."""

import pytest
from masked import linear_problem, loaded, masked
from observed import suite
from torch import nn

from harness.evidence.metrics import worst_case
from harness.run.adaptive import evaluate
from harness.run.job import Options
from harness.types import AttackSpec
from leaderboard.runs.collect import read_run
from leaderboard.runs.published import dump, read_published
from leaderboard.tables.tables import make_tables


class Detached(nn.Module):
    def forward(self, images):
        return images.detach()


@pytest.fixture
def problem():
    model, data, needed = linear_problem(40)
    return masked(mask=Detached(), net=model), data, needed, float(needed.median())


def run_on(problem, folder, *adapt, mode="observed"):
    whole, data, _, epsilon = problem
    square = AttackSpec("square", "autoattack", "square", {"queries": 5})
    made = suite((epsilon / 4, epsilon), mode=mode, chunk=64)
    made = type(made)(**{**vars(made), "attacks": (*made.attacks, square)})
    return evaluate(loaded(whole, 2), made, data, Options(folder, device="cpu", adapt=adapt))


@pytest.mark.parametrize("mode", ["observed", "worst-case", "bisection"])
def test_adapted_attacks_answer_for_those_that_find_no_gradient(tmp_path, problem, mode):
    _, _, needed, epsilon = problem
    run = run_on(problem, tmp_path, "entry:net", mode=mode)
    status = {(cell["attack"], cell["epsilon_label"]): cell["status"] for cell in run.summary["cells"]}
    assert [status["attack", label] for label in run.info.suite.labels] == [
        "missing",
        "partial",
    ]  # chance, where it starts
    assert not run.complete
    assert run.summary["grade"] is None
    for row, radius in zip(run.summary["worst_case"], (epsilon / 4, epsilon), strict=True):
        assert row["without"] == ["attack"]
        low, high = (int((needed > factor * radius).sum()) for factor in (1.01, 0.99))
        assert low <= round(40 * row["robust_accuracy"]) <= high
    (told,) = [f["message"] for f in run.summary["findings"] if f["check"] == "P30" and "without" in f["message"]]
    assert told.startswith("adaptation: the worst case is without attack, for which the model has no gradient")


@pytest.mark.parametrize("adapt", [(), ("scores",)])
def test_nothing_else_answers(tmp_path, problem, adapt):
    """Square alone, with few queries or many, is not what a search with gradients would have found."""
    run = run_on(problem, tmp_path, *adapt)
    assert [row["robust_accuracy"] for row in run.summary["worst_case"]] == [None, None]
    assert not any("without" in row for row in run.summary["worst_case"])
    assert {c["status"] for c in run.summary["cells"] if c["attack"] == "square"} == {"ok"}


def test_the_board_counts_the_same_and_so_does_a_published_file(tmp_path, problem):
    run = run_on(problem, tmp_path, "entry:net")
    record = read_run(run.folder)
    path = tmp_path / "x.run.json"
    path.write_text(dump(record))
    for one in (record, read_published(path)):
        (row,) = make_tables([one], claims=True)[0].rows
        shown = [score.accuracy for score in row.worst]
        assert shown == [worst["robust_accuracy"] for worst in run.summary["worst_case"]]
        assert row.rank == (1, 1)
        assert not row.complete
        assert {score.status for score in row.cells if score.attack == "attack"} == {"missing", "partial"}
        assert sum(one.survivors["worst", run.info.suite.labels[-1]]) == round(shown[-1] * 40)
    # A published worst case above what its cells leave is refused.
    told = path.read_text().replace(_packed(record, 0), _packed(record, -1))
    path.write_text(told)
    with pytest.raises(Exception, match="its worst case at"):
        read_published(path)


def _packed(record, place):
    import base64
    import zlib

    import numpy as np

    alive = record.survivors["worst", record.info.suite.labels[-1]]
    bits = np.packbits(alive if place == 0 else record.survivors["clean", "0"])
    return f'"status": "ok", "survivors": "{base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode()}"'


def test_what_failed_otherwise_is_no_excuse(tmp_path, problem):
    import pyarrow as pa

    run = run_on(problem, tmp_path, "entry:net")
    adapted = run.info.suite.adapted
    rows = worst_case(run.facts, 40, adapted=adapted)
    assert all(row.complete for row in rows)
    assert not any(row.complete for row in worst_case(run.facts, 40))
    place = run.facts.schema.get_field_index("reason")
    other = pa.array(["timeout" if one == "no_gradient" else one for one in run.facts["reason"].to_pylist()])
    changed = run.facts.set_column(place, "reason", other)
    assert not any(row.complete for row in worst_case(changed, 40, adapted=adapted))
    drawn = dict.fromkeys(("attack", "square"), 40) | {adapted[0]: 20}
    assert not any(row.complete for row in worst_case(run.facts, 40, drawn=drawn, adapted=adapted))
