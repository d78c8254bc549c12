"""A cheap run on many samples and a dear one on the first of them, as one estimated row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.base.estimates import Factor, join, monotone
from harness.base.order import fixed_order
from leaderboard.estimates import ESTIMATED
from leaderboard.rows import WORST
from leaderboard.runs.collect import collect
from leaderboard.runs.joined import NotJoined, join_runs
from leaderboard.tables.joining import with_joined
from leaderboard.tables.tables import make_tables

E2, E4, E8 = "2/255", "4/255", "8/255"
SIZE, N, M = 400, 200, 50
ORDER = fixed_order(SIZE)
CHEAP, DEAR = sorted(ORDER[:N].tolist()), sorted(ORDER[:M].tolist())
SLICES = {N: "sha256:" + "a" * 64, M: "sha256:" + "b" * 64}


def attacks(runs, *names: str):
    tools = {"autoattack": {"tool": "autoattack"}, "fgsm": {"iterative": False}}
    return [runs.attack(name, **tools.get(name, {})) for name in names]


def cheap_run(runs, model: str = "m", falls=None, **options):
    told = {"attacks": attacks(runs, "fgsm", "pgd-20"), "grid": (E2, E4, E8), "ids": CHEAP, "slice_": SLICES[N]}
    return runs.write(model, falls or {}, **{**told, **options})


def dear_run(runs, model: str = "m", falls=None, **options):
    told = {"attacks": attacks(runs, "pgd-20", "strong"), "grid": (E4, E8), "ids": DEAR, "slice_": SLICES[M]}
    return runs.write(model, falls or {}, **{"suite": "dear@1", **told, **options})


def one(runs):
    (found,) = [record for record in with_joined(collect([runs.folder])) if record.joined is not None]
    return found


def factors(record, label: str) -> list[tuple[int, int, int]]:
    return [(part.n, part.kept, part.drawn) for part in record.scores[WORST, label].estimate.factors]


def test_the_estimate_by_hand(runs) -> None:
    """PGD breaks 80 of 200, 20 of them among the first 50; of the 30 that stand there the strong attack breaks 6."""
    first, rest = ORDER[:M].tolist(), ORDER[M:N].tolist()
    pgd = dict.fromkeys([*first[:20], *rest[:60]], E4)
    cheap_run(runs, falls={"pgd-20": pgd})
    dear_run(runs, falls={"strong": dict.fromkeys(first[14:26], E4)})
    record = one(runs)
    assert factors(record, E4) == [(200, 120, 200), (50, 24, 30)]
    score = record.scores[WORST, E4]
    assert (score.status, score.correct, score.n) == (ESTIMATED, None, N)
    assert score.accuracy == pytest.approx(120 / 200 * 24 / 30)
    assert score.ci95 == join(Factor(120, 200), [Factor(24, 30)]).interval
    assert score.estimate.of_slice == join(Factor(120, 200), [Factor(24, 30)], "set").interval
    assert score.estimate.of_slice[1] == pytest.approx(0.6 * 28 / 30, abs=0.02), "of 120 standing, 30 are known"
    assert record.scores["pgd-20", E4].correct == 120, "the cheap run's own cell stays a count on all samples"


def test_what_breaks_at_a_smaller_common_epsilon_stays_broken(runs) -> None:
    first = ORDER[:M].tolist()
    cheap_run(runs, falls={"fgsm": {first[0]: E2, first[1]: E4}})
    dear_run(runs, falls={"strong": {first[2]: E8}})
    record = one(runs)
    assert list(record.info.suite.labels) == [E4, E8]
    assert factors(record, E4) == [(N, N - 2, N), (M, M - 2, M - 2)]
    assert factors(record, E8) == [(N, N - 2, N), (M, M - 3, M - 2)]


def test_a_break_at_an_epsilon_that_is_not_common_does_not_count(runs) -> None:
    """A single step can break at 2/255 what it does not break at 4/255; a finer grid must not make a model weaker."""
    record_of = {}
    for grid in ((E4, E8), (E2, E4, E8)):
        here = runs.elsewhere(f"grid-{len(grid)}")
        path = cheap_run(here, falls={}, grid=grid)
        (record,) = collect([path])
        if E2 in grid:
            record.survivors["fgsm", E2][:5] = False
        (dear,) = collect([dear_run(here)])
        record_of[grid] = join_runs(record, dear)
    assert [factors(record, E4) for record in record_of.values()] == [[(N, N, N), (M, M, M)]] * 2


def test_estimates_are_shown_monotone_and_say_so(runs) -> None:
    """At 8/255 the cheap attack breaks those that the strong one had broken at 4/255, and the product rises."""
    first = ORDER[:M].tolist()
    cheap_run(runs, falls={"pgd-20": dict.fromkeys(first[:10], E8)})
    dear_run(runs, falls={"strong": dict.fromkeys(first[:10], E4)})
    record = one(runs)
    low, high = (record.scores[WORST, label].estimate for label in (E4, E8))
    raw = [join(Factor(200, 200), [Factor(40, 50)]), join(Factor(190, 200), [Factor(40, 40)])]
    assert raw[1].accuracy > raw[0].accuracy
    assert [low.lowered, high.lowered] == [False, True]
    assert high.accuracy == low.accuracy == pytest.approx(0.8)
    assert high.ci95 == monotone(raw)[1].interval


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ids": sorted(ORDER[1 : M + 1].tolist())}, "are not the first 50"),
        ({"ids": sorted(ORDER[N : N + M].tolist())}, "are not the first 50"),
        ({"wrong": [DEAR[0]]}, "1 of 50 clean predictions are right in one and wrong in the other, more than 0.1 %"),
        ({"without": [("strong", E8)]}, "are not complete"),
    ],
)
def test_what_does_not_belong_together_is_not_joined_and_says_why(runs, changed, words) -> None:
    cheap_run(runs)
    dear_run(runs, **changed)
    told: list[str] = []
    assert all(record.joined is None for record in with_joined(collect([runs.folder]), told))
    (line,) = told
    assert words in line
    assert "\n" not in line


def test_a_set_of_samples_has_an_order_of_its_own(runs) -> None:
    """Ids that are the first of no data set, measured whole, and of those the first in the order of so many."""
    chosen = np.arange(3, 603, 3)
    cheap_run(runs, ids=chosen.tolist())
    dear_run(runs, ids=sorted(chosen[fixed_order(len(chosen))[:M]].tolist()))
    assert factors(one(runs), E4) == [(200, 200, 200), (M, M, M)]


def test_other_labels_are_not_joined(runs) -> None:
    (cheap,), (dear,) = collect([cheap_run(runs)]), collect([dear_run(runs)])
    dear.labels[0] += 1
    with pytest.raises(NotJoined, match="other labels"):
        join_runs(cheap, dear)


@pytest.mark.parametrize(
    "changed",
    [
        {"data": "other"}, {"norm": "l2", "grid": ("0.5",)}, {"mode": "watch"}, {"seed": 1},
        {"sha256": "sha256:" + "1" * 64},
        {"grid": ("1/255",)}, {"ids": CHEAP, "slice_": SLICES[N]},
        {"attacks": [{"id": "pgd-20", "tool": "torchattacks", "method": "pgd", "params": {"steps": 20, "step_size":
         "epsilon/4", "random_start": True, "restarts": 1}, "kind": "budget", "iterative": True, "components": [],
         "resolved": {}, "caveats": [], "tool_version": "3.5.1"}]},
    ],
)  # fmt: skip
def test_runs_of_other_things_are_not_looked_at(runs, changed) -> None:
    """Another data set, norm, mode, seed or model, no common epsilon, the same samples, no attack that is new."""
    cheap_run(runs)
    dear_run(runs, **changed)
    told: list[str] = []
    assert len(with_joined(collect([runs.folder]), told)) == 2
    assert told == []


def test_flips_within_the_limit_count_as_wrong_and_are_said(runs) -> None:
    size, n = 4000, 1000
    order = fixed_order(size)
    flip = int(order[0])
    cheap_run(runs, ids=sorted(order[:2000].tolist()))
    dear_run(runs, ids=sorted(order[:n].tolist()), wrong=[flip])
    record = one(runs)
    assert factors(record, E4) == [(2000, 1999, 2000), (1000, 999, 999)]
    assert record.scores["clean", "0"].correct == 1999
    assert [note.message for note in record.findings if note.check == "joined"] == [
        "1 clean predictions are right in one run and wrong in the other; they count as wrong"
    ]


def test_the_longest_prefix_speaks(runs) -> None:
    """Of one dear suite on 50 and on 80 samples, and one cheap suite on 200 and on 400, the largest are joined."""
    cheap_run(runs)
    cheap_run(runs, ids=list(range(SIZE)), slice_="sha256:" + "c" * 64)
    dear_run(runs)
    dear_run(runs, ids=sorted(ORDER[:80].tolist()), slice_="sha256:" + "d" * 64)
    assert [(n, drawn) for n, _, drawn in factors(one(runs), E4)] == [(400, 400), (80, 80)]


def test_a_joined_row_is_believed_as_far_as_the_weaker_run(runs) -> None:
    (cheap,), (dear,) = collect([cheap_run(runs)]), collect([dear_run(runs)])
    told = join_runs(replace(cheap, verified="replayed 5", grade="A"), replace(dear, verified="claimed", grade="B"))
    assert (told.verified, told.grade, told.claim) == ("claimed", "B", True)
    refuted = [replace(cheap, verified="no"), dear]
    assert with_joined(refuted) == refuted


def test_only_all_four_parts_are_autoattack(runs) -> None:
    whole = runs.attack("aa", tool="autoattack") | {
        "method": "standard", "components": ["apgd-ce", "apgd-t", "fab-t", "square"],
    }  # fmt: skip
    strength = {"apgd-ce": {"steps": 100}, "apgd-t": {"steps": 100, "target_classes": 9},
                "fab-t": {"steps": 100, "target_classes": 9}, "square": {"queries": 5000}}  # fmt: skip
    parts = [
        runs.attack(name, tool="autoattack", **told) | {"method": name, "resolved": {E4: told, E8: told}}
        for name, told in strength.items()
    ]
    weak = [*parts[:3], parts[3] | {"resolved": {E4: {"queries": 5000}, E8: {"queries": 100}}}]
    for number, (suite, is_it) in enumerate([([whole], True), (parts, True), (parts[:3], False), (weak, False)]):
        here = runs.elsewhere(str(number))
        cheap_run(here)
        dear_run(here, attacks=suite, suite="aa@1")
        (table,) = make_tables([one(here)])
        assert table.autoattack is is_it
