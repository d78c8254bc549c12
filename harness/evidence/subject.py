"""What a run.json says of whose tensors were measured; read by verification and leaderboard alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def subject_told(info: Mapping[str, Any]) -> str:
    """The run's subject (`harness.inputs.identity.subject`); older versions told the hash of the weights alone."""
    return str(info.get("subject") or info["model"]["sha256"])
