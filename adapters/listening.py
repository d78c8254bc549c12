"""From a tool's log to the harness: what it warns of becomes a `ToolWarning`, the rest is silence."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from harness.attack import ToolWarning


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.texts[record.getMessage()] = None


@contextmanager
def listening(logger: str) -> Iterator[None]:
    """Collect warnings of `logger` and its children while the tool runs; afterwards issue each text once.

    The logger's handlers, level and propagation come back, also when the tool is stopped by an exception.
    """
    target = logging.getLogger(logger)
    before = target.handlers, target.level, target.propagate
    collector = _Collector()
    target.handlers, target.propagate = [collector], False
    target.setLevel(logging.WARNING)
    try:
        yield
    finally:
        target.handlers, target.propagate = before[0], before[2]
        target.setLevel(before[1])
        for text in collector.texts:
            warnings.warn(ToolWarning(text), stacklevel=3)
