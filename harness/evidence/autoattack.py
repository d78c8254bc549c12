"""When a worst case may be called AutoAttack's verdict: when all four parts of its standard version stand in it."""

from __future__ import annotations

from harness.evidence.run_info import RunInfo
from harness.evidence.suite_info import AttackInfo

STANDARD = {
    "apgd-ce": {"steps": 100},
    "apgd-t": {"steps": 100, "target_classes": 9},
    "fab-t": {"steps": 100, "target_classes": 9},
    "square": {"queries": 5000},
}
"""AutoAttack's four standard parts and the least strength under which a part alone is the standard's."""
_IN_L1 = STANDARD | {"apgd-ce": {"steps": 100, "restarts": 5}, "apgd-t": {"steps": 100, "target_classes": 5}}
"""The same in l1, as its authors set it there (arXiv:2103.01208)."""
WORST_CASE, VERDICT = "worst case", "AutoAttack's verdict"


def is_verdict(*infos: RunInfo) -> bool:
    """Whether the worst case of these runs together is what AutoAttack says, and no single attack's row says it.

    It is not where AutoAttack as one attack ran on all samples of a run: then its row has the name, and the worst case
    counts the other attacks, too.
    """
    parts = [_parts(attack, info.suite.norm) for info in infos for attack in info.suite.attacks]
    estimated = len(infos) > 1 or any(info.estimated for info in infos)
    whole = any({*STANDARD} <= own for own in parts)
    return {*STANDARD} <= {part for own in parts for part in own} and (estimated or not whole)


def worst_name(info: RunInfo) -> str:
    """What the worst case of a run is called where somebody reads it."""
    return VERDICT if is_verdict(info) else WORST_CASE


def _parts(attack: AttackInfo, norm: str) -> set[str]:
    if attack.tool != "autoattack" or attack.adapt:
        return set()
    if attack.method == "standard":
        return {*attack.components} & {*STANDARD}
    least = (_IN_L1 if norm == "l1" else STANDARD).get(attack.method)
    if least is None or not attack.resolved:
        return set()
    told = [params.get(name) for params in attack.resolved.values() for name in least]
    wanted = [value for _ in attack.resolved for value in least.values()]
    strong = all(isinstance(value, int) and value >= asked for value, asked in zip(told, wanted, strict=True))
    return {attack.method} if strong else set()
