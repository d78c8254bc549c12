"""Options behind a model's name: ``name?key=value&key=value``."""

from __future__ import annotations

from urllib.parse import parse_qsl


def options(text: str) -> dict[str, str]:
    """The options of ``name?key=value&key=value``, without the name."""
    return dict(parse_qsl(text.partition("?")[2], keep_blank_values=True))
