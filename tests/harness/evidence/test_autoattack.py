"""When a worst case is called AutoAttack's verdict."""

from pathlib import Path

import pytest
from msgspec import structs

from harness.evidence.autoattack import STANDARD, is_verdict, worst_name
from harness.evidence.run_info import DataInfo, RunInfo
from harness.evidence.store import RunStore
from harness.evidence.suite_info import AttackInfo
from harness.inputs.suite_file import load_suite

GOLDEN = next((Path(__file__).parents[2] / "golden").glob("fgsm-mini-*"))


def run_of(suite: str, n: int, **changes: int) -> RunInfo:
    """A run of a built-in suite on `n` samples; `changes` are numbers of a part's parameters, by name."""
    found = load_suite(suite)
    attacks = [
        AttackInfo(
            id=spec.id, tool=spec.tool, tool_version="1", method=spec.method, kind="budget", iterative=True,
            components=tuple(name for name in attack.components if name), params=dict(spec.params), caveats=(),
            resolved={"8/255": {**attack.parameters(8 / 255), **changes}}, n=None if spec.n is None else count,
            chunk=spec.chunk, after=spec.after,
        )
        for spec, attack, count in zip(found.attacks, found.resolve(), found.counts(n), strict=True)
    ]  # fmt: skip
    info = RunStore(GOLDEN).read_info()
    suite_info = structs.replace(info.suite, attacks=tuple(attacks), norm=found.norm)
    return structs.replace(info, suite=suite_info, data=DataInfo(name="d", slice="s", n=n))


@pytest.mark.parametrize("suite", ["standard", "autoattack", "l2", "l1"])
@pytest.mark.parametrize("n", [64, 12_630])
def test_four_standard_parts_are_the_verdict_counted_or_estimated(suite: str, n: int) -> None:
    info = run_of(suite, n)
    assert info.estimated == (n > 64)
    assert worst_name(info) == "AutoAttack's verdict"
    for part in STANDARD:
        rest = tuple(attack for attack in info.suite.attacks if attack.id != part)
        less = structs.replace(info, suite=structs.replace(info.suite, attacks=rest))
        assert worst_name(less) == "worst case"


def test_weaker_parts_are_not() -> None:
    assert not is_verdict(run_of("standard", 64, queries=4999))
    assert not is_verdict(run_of("standard", 64, target_classes=8))
    assert is_verdict(run_of("standard", 64, queries=5001))


def test_in_l1_the_parts_are_those_of_its_authors() -> None:
    assert not is_verdict(run_of("l1", 64, restarts=4))
    assert not is_verdict(run_of("l1", 64, target_classes=4))
    assert is_verdict(run_of("l1", 64, target_classes=9, restarts=5))


def test_beside_a_row_of_autoattack_the_worst_case_keeps_its_name() -> None:
    whole, cheap = run_of("standard@1", 64), run_of("fgsm-pgd", 2000)
    assert worst_name(whole) == "worst case"
    assert is_verdict(cheap, whole)  # joined, it is an estimate for all samples
    assert not is_verdict(cheap)
