"""``--until``: dear attacks go on chunk by chunk until every half-width is small enough, and say what it cost."""

from dataclasses import replace

import msgspec
import numpy as np
import pyarrow.compute as pc
import pytest
from toys import SmallNet, StopAfter, labeled, loaded

from harness.base.deadline import Deadline
from harness.base.threat import parse_grid
from harness.errors import UsageError
from harness.evidence.metrics import Drawn, WorstCase, _shown, worst_case
from harness.evidence.run_info import RunInfo
from harness.evidence.until import ENDED, OUT_OF_REACH, REACHED, grow, state, stop, widest, words
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

PGD = {"steps": 10, "step_size": "epsilon/4", "random_start": True}
WEAK = AttackSpec("weak", "torchattacks", "pgd", {"steps": 1, "step_size": "epsilon/2", "random_start": False})
DEAR = AttackSpec("dear", "torchattacks", "pgd", PGD, 16, 16, "all")
N = 240


@pytest.fixture(scope="module")
def data():
    return labeled(SmallNet(), N, wrong=6)


def measured(folder, data, until, *attacks, reporter=None, **options):
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["8/255", "16/255"]),
        mode="observed",
        chunk=64,
        attacks=attacks or (WEAK, DEAR),
    )
    given = Options(folder, batch_size=64, device="cpu", precision="exact", until=until, **options)
    return evaluate(loaded(SmallNet(), 5), suite, data, given, reporter)


def on(run, data, n):
    """The worst case with the dear attack on the first n samples only."""
    drawn = make_slice(data, None, 64).indices[:n]
    mine = pc.or_(pc.not_equal(run.facts["attack"], "dear"), pc.is_in(run.facts["sample_id"], pc.cast(drawn, "int64")))
    return worst_case(run.facts.filter(mine), N, drawn={"weak": N, "dear": n})


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return measured(tmp_path_factory.mktemp("until"), data, 9)


def test_it_stops_at_the_first_chunk_that_is_narrow_enough(run, data):
    reached = run.info.reached["dear"]
    assert 16 < reached < N
    assert run.info.drawn == {"weak": N, "dear": reached}
    assert widest(on(run, data, reached)) <= 0.09
    for n in range(16, reached, 16):
        assert widest(on(run, data, n)) > 0.09
    for row in run.summary["worst_case"]:
        assert (row["ci95"][1] - row["ci95"][0]) / 2 <= 0.09
        assert row["factors"][1]["n"] == reached
    assert {cell["n"] for cell in run.summary["cells"] if cell["attack"] == "dear"} == {reached}
    (said,) = [finding.message for finding in run.info.findings if finding.check == "until"]
    mine = [row for row in run.facts.to_pylist() if row["attack"] == "dear"]
    forwards, backwards = (sum(row[name] for row in mine) for name in ("forwards", "backwards"))
    assert said.startswith("every half-width is at most 9 points (")
    assert said.endswith(
        f"with dear on {reached} of 240 samples, for {forwards:,} forwards and {backwards:,} backwards"
    )


def test_the_rule_is_in_the_key_and_the_same_command_finds_the_run(run, data, tmp_path):
    again = measured(run.folder.parent, data, 9)
    assert again.info.key == run.info.key
    assert again.summary["worst_case"] == run.summary["worst_case"]
    assert measured(tmp_path, data, 10).info.key != run.info.key
    plain = measured(tmp_path, data, None)
    assert plain.info.suite.until is None
    assert plain.info.reached is None
    assert plain.info.drawn["dear"] == 16


def test_a_run_that_is_stopped_between_rounds_shows_the_last_one_and_goes_on(run, data, tmp_path):
    chunks, first = 4, 4 + 4 * 2 + 2  # clean passes, the weak attack, one chunk of the dear one at two epsilons
    assert chunks == -(-N // 64)
    early = measured(tmp_path, data, 9, reporter=StopAfter(first + 3))  # in the middle of the third round
    assert early.info.status == "interrupted"
    assert early.info.reached == {"dear": 32}
    assert [row["factors"][1]["n"] for row in early.summary["worst_case"]] == [32, 32]
    assert {row["status"] for row in early.summary["worst_case"]} == {"estimated"}
    whole = measured(tmp_path, data, 9)
    assert whole.info.status == "complete"
    by = [(name, "ascending") for name in ("attack", "epsilon", "sample_id")]
    assert whole.facts.sort_by(by).equals(run.facts.sort_by(by))
    assert whole.info.reached == run.info.reached


def test_where_even_all_samples_are_too_few_it_stops_and_says_so(data, tmp_path):
    run = measured(tmp_path, data, 1)
    assert run.info.status == "complete"
    assert run.info.reached == {"dear": 16}
    (said,) = [finding.message for finding in run.info.findings if finding.check == "until"]
    assert "half-widths of 1 points are out of reach, all 240 samples would leave at least" in said


def test_why_it_ends(run):
    """Half of 240 standing is +-6.3 points by Wilson; half of 12,000 +-0.9."""
    row = WorstCase(epsilon=0.1, epsilon_label="0.1", n=N, surviving=120, complete=True)
    everyone, some = {"weak": N, "dear": N}, {"weak": N, "dear": 32}
    assert widest([row]) == pytest.approx(0.0628, abs=1e-4)
    asked = msgspec.structs.replace(run.info, suite=msgspec.structs.replace(run.info.suite, until=0.06))
    assert state(asked, [row], everyone) == ENDED
    told = words(asked, [row], run.facts, everyone, ENDED)
    assert told.startswith("half-widths of 6 points were not reached, they are up to 6.28, because the samples ended: ")
    first = {"weak": N, "dear": 16}
    assert state(asked, [row], first) == OUT_OF_REACH  # surely: at 43.7 %, the far end of its interval, it is 6.2
    assert state(asked, [row], some) == ""  # asked again and again, it would select
    assert state(run.info, [row], some) == REACHED  # 9 points
    large = replace(row, n=12_000, surviving=6_000, full=("weak",), further=(Drawn(("dear",), 32, 20, 32),))
    assert state(asked, _shown([large]), some) == ""  # it goes on: all 12,000 would be enough


def test_verify_goes_through_the_rule_again(run, data, tmp_path):
    order = make_slice(data, None, 64).indices
    assert stop(run.info, run.facts, order)["dear"] == run.info.reached["dear"]
    verdict = verify(run.folder, loaded(SmallNet(), 5), data, VerifyOptions(device="cpu"))
    assert [finding.message for finding in verdict.problems] == []
    # The author goes on until he likes what he sees, or stops before the rule does.
    longer = measured(tmp_path, data, 7)
    wider = msgspec.structs.replace(longer.info.suite, until=0.09)
    told = msgspec.structs.replace(longer.info, suite=wider)
    assert stop(told, longer.facts, order)["dear"] == run.info.reached["dear"] < longer.info.reached["dear"]
    narrower = msgspec.structs.replace(run.info, suite=msgspec.structs.replace(run.info.suite, until=0.07))
    assert stop(narrower, run.facts, order) is None


def test_a_run_that_did_not_stop_by_its_rule_is_refused(data, tmp_path):
    from forgery import Forger

    longer = measured(tmp_path / "a", data, 7)
    forge = Forger(longer.folder, tmp_path / "forged", data)
    forge.edit_json("run.json", lambda info: info["suite"].update(until=0.09))
    forge.rehash()
    verdict = verify(forge.folder, loaded(SmallNet(), 5), data, VerifyOptions(device="cpu"))
    assert [finding.check for finding in verdict.problems] == ["draw"]
    assert "the rule, until 9 points, stops at" in verdict.problems[0].message


def test_prefixes_stay_in_order_while_they_grow(run):
    def attack(name, **fields):
        return msgspec.structs.replace(run.info.suite.attacks[1], id=name, **fields)

    weak = run.info.suite.attacks[0]
    chosen = (weak, attack("a", n=48, chunk=16), attack("b", n=32, chunk=32), attack("c", n=32, chunk=32))
    info: RunInfo = msgspec.structs.replace(run.info, suite=msgspec.structs.replace(run.info.suite, attacks=chosen))
    counts = {"weak": 240, "a": 48, "b": 32, "c": 32}
    seen = []
    while grow(info, counts) != counts:
        counts = grow(info, counts)
        seen.append(tuple(counts.values()))
    assert seen[0] == (240, 64, 64, 64)
    assert seen[1] == (240, 80, 64, 64)  # b would outrun a
    assert seen[2] == (240, 96, 96, 96)
    assert seen[-1] == (240, 240, 240, 240)
    assert all(list(row) == sorted(row, reverse=True) for row in seen)
    assert all(row[2] % 32 == 0 or row[2] == 240 for row in seen)
    assert np.all(np.diff(np.array(seen), axis=0) >= 0)


@pytest.mark.parametrize(
    ("until", "attacks", "message"),
    [
        (0, (WEAK, DEAR), "--until 0 is no half-width in points"),
        (50, (WEAK, DEAR), "--until 50 is no half-width in points"),
        (2, (WEAK,), "--until 2 cannot be reached: every attack of suite 'toy' runs on all samples"),
    ],
)
def test_what_cannot_be_reached_is_one_line(data, tmp_path, until, attacks, message):
    with pytest.raises(UsageError, match=message):
        measured(tmp_path, data, until, *attacks)


@pytest.mark.torchattacks
def test_a_budget_that_ends_within_a_round_shows_the_one_before_and_the_next_start_goes_on(
    run, data, tmp_path, monkeypatch
):
    class Late(StopAfter):
        def stop(self):
            return False

    first = 4 + 4 * 2 + 2  # clean passes, the weak attack, one chunk of the dear one at two epsilons
    late = Late(first + 3)  # in the middle of the third round
    monkeypatch.setattr(Deadline, "over", property(lambda deadline: deadline.known and late.left <= 0))
    early = measured(tmp_path, data, 9, reporter=late, budget=1e6)
    assert early.info.status == "interrupted"
    assert early.info.reached == {"dear": 32}
    assert [row["factors"][1]["n"] for row in early.summary["worst_case"]] == [32, 32]
    (said,) = [finding.message for finding in early.info.findings if finding.check == "budget"]
    assert said.startswith("the budget ran out; missing: dear at 16/255 (1 of 3 chunks); about ")
    assert not [finding for finding in early.info.findings if finding.check == "until"]
    monkeypatch.undo()
    whole = measured(tmp_path, data, 9)
    assert whole.info.status == "complete"
    assert whole.info.reached == run.info.reached
    by = [(name, "ascending") for name in ("attack", "epsilon", "sample_id")]
    assert whole.facts.sort_by(by).equals(run.facts.sort_by(by))
    assert not [finding for finding in whole.info.findings if finding.check == "budget"]
