"""Where downloads and renderings are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``HARNESS_CACHE`` if set, else ``robustness-harness`` in the user's cache folder; not made here."""
    own = os.environ.get("HARNESS_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robustness-harness"
