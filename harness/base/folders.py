"""The user's own folders: caches, and what is to be remembered."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path, user_state_path

APP = "robustness-harness"


def cache_folder() -> Path:
    """``HARNESS_CACHE`` if set, else ``robustness-harness`` in the user's cache folder; not made here."""
    own = os.environ.get("HARNESS_CACHE")
    return Path(own) if own else user_cache_path(APP, appauthor=False)


def state_folder() -> Path:
    """``robustness-harness`` in the user's state folder; not made here."""
    return user_state_path(APP, appauthor=False)
