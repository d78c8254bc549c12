"""How model, suite and data of a run were given, so that somebody else can measure it again."""

from __future__ import annotations

import re

from msgspec import Struct


class Given(Struct, frozen=True, kw_only=True):
    """How model, suite and data were given, as it was typed; null where that was an object in Python."""

    model: str | None = None
    """As for ``--model``."""
    name: str | None = None
    """As for ``--name``."""
    suite: str | None = None
    """As for ``--suite``."""
    data: str | None = None
    """As for ``--data``."""
    data_root: str | None = None
    """As for ``--data-root``."""
    transfer: tuple[str, ...] = ()
    """As for ``--transfer``."""

    adapt: tuple[str, ...] = ()
    """As for ``--adapt``."""

    @property
    def public(self) -> Given:
        """The same without the folders that absolute paths go through: they are nobody's business, and only here."""
        words = {name: None if (text := getattr(self, name)) is None else _short(text) for name in _TYPED}
        return Given(
            **words, name=self.name, transfer=tuple(map(_short, self.transfer)), adapt=tuple(map(_short, self.adapt))
        )


_TYPED = ("model", "suite", "data", "data_root")
_ABSOLUTE = re.compile(r"(^|[:,=])(?:[A-Za-z]:)?[/\\](?![/\\])(?:[^:,?]*[/\\](?=[^:,?/\\]))?")


def _short(text: str) -> str:
    return _ABSOLUTE.sub(r"\1", text)
