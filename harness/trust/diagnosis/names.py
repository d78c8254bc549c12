"""Names that say more than is there: a suite under a built-in name, an attack under another's."""

from __future__ import annotations

from harness.evidence.findings import found
from harness.evidence.run_info import RunInfo
from harness.evidence.suite_label import difference, other_n, shown_label
from harness.inputs.attack_names import misnamed
from harness.types import Finding


def names(info: RunInfo) -> list[Finding]:
    """P27: the suite's name and its attacks' ids say what they are; else the table's headings are wrong.

    Another n that was given with the command and is told beside the name deceives nobody.
    """
    suite = info.suite
    said = [
        why
        for attack in suite.attacks
        if (why := misnamed(attack.id, attack.tool, attack.method, attack.params, attack.adaptations))
    ]
    if (why := difference(suite)) is not None:
        said.append(f"suite {shown_label(info)}: {why}; give a suite of your own a name of its own")
    elif others := set(other_n(info)) - set(suite.edited or ()):
        said.append(f"suite {shown_label(info)}: {', '.join(sorted(others))} ran on another n than the suite's")
    return [found("P27", "error", message) for message in said]
