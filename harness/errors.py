"""Every error the harness raises for its user, in one tree.

::

    HarnessError                 one line: what was wrong, the value, what to do
    ├── UsageError               the command line or a function was called with something unusable
    │   ├── SubjectNotFound      nobody said where the model or the data of a run are
    │   ├── UnknownName          no plugin of that name (lists near misses)
    │   ├── DuplicateName        two packages give the same name
    │   └── BadEpsilon           not a number, negative, or in the wrong unit
    ├── FileError                a file cannot be used: names the file and the reason
    │   ├── BadCard              a model card
    │   ├── BadSuite             a suite file (names key and line)
    │   ├── BadWeights           missing, corrupt, or not the weights the card names
    │   ├── BadData              a data set: missing root, corrupt file, images out of range
    │   └── BadRun               a results folder: not writable, torn, of another schema
    │       └── TornFile         one file of it is not whole
    ├── ModelRefused             the model cannot be measured: preflight found it mis-wired
    ├── PluginError              a plugin failed to import or broke its contract (names its package)
    ├── MissingPackage           a tool is not installed (says what to install)
    ├── TrainingFailed           training cannot go on, for instance the loss is not finite
    └── AttackFailed             an attack tool raised; the cell is missing, the others go on

The command line prints the message as one line and exits with 2; ``--debug`` shows the traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 1500
"""Characters of a message; a file from anywhere may have put more into it."""


class HarnessError(Exception):
    """Base of all errors meant for the user; the message is one line, and none that fills the screen."""

    check: str | None = None
    """Code of the doctor's check that refused, where one did."""

    def __str__(self) -> str:
        text = " ".join(super().__str__().split())
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


class UsageError(HarnessError):
    """The command line or a function was called with something unusable."""


class DuplicateName(UsageError):
    """Two packages give the same plugin name."""


class BadEpsilon(UsageError):
    """An epsilon that is not a number, is negative, or is in the wrong unit."""


class SubjectNotFound(UsageError):
    """Nobody said where the model or the data of a run are."""


class UnknownName(UsageError):
    """No plugin of that name."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            advice = f"did you mean {' or '.join(repr(n) for n in near)}?"
        else:
            advice = f"known: {', '.join(names) if names else 'none'}"
        super().__init__(f"unknown {kind} {name!r}; {advice}{' ' + hint if hint else ''}")


class FileError(HarnessError):
    """A file cannot be used."""


class BadCard(FileError):
    """A model card cannot be used."""


class BadSuite(FileError):
    """A suite file cannot be used."""


class BadWeights(FileError):
    """Weights are missing, corrupt, or not those the card names."""


class BadData(FileError):
    """A data set cannot be used."""


class BadRun(FileError):
    """A results folder cannot be used."""


class TornFile(BadRun):
    """A file of a results folder is not whole."""


class ModelRefused(HarnessError):
    """The model cannot be measured as it is wired."""


class PluginError(HarnessError):
    """A plugin failed to import or broke its contract."""


class MissingPackage(HarnessError):
    """A tool is not installed."""


class TrainingFailed(HarnessError):
    """Training cannot go on."""


class AttackFailed(HarnessError):
    """An attack tool raised."""
