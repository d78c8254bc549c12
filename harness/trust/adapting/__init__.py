"""Which adapted attacks the findings of a run suggest, tried in small on the model before they are proposed."""

from __future__ import annotations

from harness.trust.adapting.propose import BUDGET, Plan, propose

__all__ = ["BUDGET", "Plan", "propose"]
