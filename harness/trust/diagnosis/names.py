"""Names that say more than is there: a suite under a built-in name, an attack or a model under another's."""

from __future__ import annotations

import re
import unicodedata

from harness.evidence.findings import found
from harness.evidence.run_info import RunInfo
from harness.evidence.suite_label import difference, other_n, shown_label
from harness.inputs.attack_names import misnamed
from harness.types import Finding

_ALIKE = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "FULLWIDTH")
"""Alphabets with letters that look like Latin ones."""


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
    model = [found("P27", "warn", why)] if (why := _mixed(info.model.name)) else []
    return [*(found("P27", "error", message) for message in said), *model]


def _mixed(name: str) -> str | None:
    """Why a model's name may pass for another's: letters that look Latin among Latin ones; None if it does not."""
    for word in re.findall(r"[^\W\d_]+", name):
        alphabets = {letter: unicodedata.name(letter, "").partition(" ")[0] for letter in word}
        strange = [letter for letter, alphabet in alphabets.items() if alphabet in _ALIKE]
        if strange and "LATIN" in alphabets.values():
            told = ", ".join(f"U+{ord(letter):04X} ({alphabets[letter].title()})" for letter in strange[:3])
            return f"the model's name has {told} among Latin letters, and may pass for another's; rename it"
    return None
