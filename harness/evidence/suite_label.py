"""What a run's suite is called where somebody reads it: a built-in suite's name only if it is that suite."""

from __future__ import annotations

import msgspec

from harness.base.files import key_of
from harness.evidence.run_info import AttackInfo, SuiteInfo, as_json
from harness.inputs.suite import Suite
from harness.inputs.suite_names import content_of, taken_for, versions_of

_PARTS = (
    "id",
    "tool",
    "method",
    "kind",
    "iterative",
    "components",
    "params",
    "resolved",
    "code",
    "n",
    "chunk",
    "after",
)


def definition(suite: SuiteInfo) -> str:
    """Hash, 12 digits, of all that makes the attacks what they are; versions of tools are told apart by row."""
    attacks = [
        {name: content for name, content in as_json(attack).items() if name in _PARTS} for attack in suite.attacks
    ]
    return key_of({"attacks": attacks, "chunk": suite.chunk})[:12]


def shown_label(suite: SuiteInfo) -> str:
    """``standard@1``, or ``standard@1 (edited: 3f2a)`` where that is or looks like a built-in suite and is none.

    The digits begin the suite's `definition`.
    """
    return suite.label if difference(suite) is None else f"{suite.label} (edited: {definition(suite)[:4]})"


def difference(suite: SuiteInfo) -> str | None:
    """In what way a suite is not what its name says, or None."""
    if suite.label != f"{suite.name}@{suite.version}":
        return f"the label is not that of name {suite.name!r:.80} and version {suite.version}"
    known = taken_for(suite.name)
    if known is None:
        return None
    if known != suite.name:
        return f"the name is not {known!r}, the built-in suite for which it could be taken"
    versions = versions_of(known)
    if suite.version not in versions:
        return f"this harness has no such version of suite {known!r}"
    filed = versions[suite.version]
    content = content_of(filed.norm, filed.chunk, filed.attacks, filed.threat)
    if content != content_of(suite.norm, suite.chunk, _as_filed(suite, filed), suite.threat):
        return "its attacks are not those of the built-in suite of that name"
    return None


def _as_filed(suite: SuiteInfo, filed: Suite) -> list[AttackInfo]:
    """The run's attacks, each with the share of the slice from which its n came; n is told beside the suite's name."""
    shares = {spec.id: spec.n for spec in filed.attacks if isinstance(spec.n, float)}
    return [
        msgspec.structs.replace(attack, n=shares[attack.id])
        if attack.n is not None and attack.id in shares and attack.id not in (suite.edited or ())
        else attack
        for attack in suite.attacks
    ]
