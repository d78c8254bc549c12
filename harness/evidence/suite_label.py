"""What a run's suite is called where somebody reads it: a built-in suite's name only if it is that suite."""

from __future__ import annotations

from harness.base.files import key_of
from harness.evidence.run_info import RunInfo
from harness.evidence.structs import as_json
from harness.evidence.suite_info import SuiteInfo
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
    """Hash, 12 digits, of all that makes the attacks what they are; versions of tools are told apart by row.

    Adapted attacks stand beside the suite's, each model its own, and are left out.
    """
    attacks = [
        {name: content for name, content in as_json(attack).items() if name in _PARTS}
        for attack in suite.attacks
        if not attack.adapt
    ]
    return key_of({"attacks": attacks, "chunk": suite.chunk})[:12]


def shown_label(info: RunInfo) -> str:
    """``standard@1``, or ``standard@1 (edited: 3f2a)`` where that is or looks like a built-in suite and is none.

    The digits begin the suite's `definition`.
    """
    suite = info.suite
    same = difference(suite) is None and not other_n(info)
    return suite.label if same else f"{suite.label} (edited: {definition(suite)[:4]})"


def difference(suite: SuiteInfo) -> str | None:
    """In what way a suite's attacks are not what its name says, or None."""
    if suite.label != f"{suite.name}@{suite.version}":
        return f"the label is not that of name {suite.name!r:.80} and version {suite.version}"
    known = taken_for(suite.name)
    if known is None:
        return None
    if known != suite.name:
        return f"the name is not {known!r}, the built-in suite for which it could be taken"
    built_in = versions_of(known).get(suite.version)
    if built_in is None:
        return f"this harness has no such version of suite {known!r}"
    told = content_of(suite.norm, suite.chunk, suite.attacks, suite.threat, suite.place)
    if told != content_of(built_in.norm, built_in.chunk, built_in.attacks, built_in.threat, built_in.place):
        return "its attacks are not those of the built-in suite of that name"
    return None


def other_n(info: RunInfo) -> tuple[str, ...]:
    """Attacks of a built-in suite that began with another n than the suite has for a slice of this size."""
    suite, n = info.suite, info.data.n
    built_in = versions_of(suite.name).get(suite.version)
    if built_in is None or len(built_in.attacks) != len(suite.attacks):
        return ()
    told = [n if attack.n is None else attack.n for attack in suite.attacks]
    return tuple(a.id for a, here, own in zip(suite.attacks, told, built_in.counts(n), strict=True) if here != own)
