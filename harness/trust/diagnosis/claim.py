"""Clean accuracy of the whole slice against the card: the doctor's check again, on all samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from harness.evidence.findings import against_claim
from harness.evidence.metrics import clean_accuracy
from harness.types import Claim, Finding


def claim(run: Mapping[str, Any], facts: pa.Table) -> list[Finding]:
    """P3, unless the doctor has said it already."""
    claims = (run["card"] or {}).get("claims", {})
    known = claims.get(run["data"]["name"])
    if known is None or any(finding["check"] == "P3" for finding in run["findings"]):
        return []
    right, n = clean_accuracy(facts)
    return against_claim(right, n, Claim(known["accuracy"], known["n"]), run["data"]["name"], "error")
