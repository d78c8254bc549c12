"""`check_suite`: a suite is read, its attacks are there, and its step sizes fit its balls."""

from __future__ import annotations

from pathlib import Path

from harness.attack import BrokenAttack
from harness.errors import MissingPackage
from harness.inputs.suite_file import load_suite
from harness.testing.faults import Faults
from harness.trust.doctor import units


def check_suite(suite: str | Path) -> None:
    """Hold a suite to its format, and its attacks to what is installed.

    Args:
        suite: The name it is registered as, or its file.

    Raises:
        NotConformant: lists every fault.
    """
    with Faults(f"suite {str(suite)!r}") as faults:
        with faults.running("file", "the suite cannot be read"):
            found = load_suite(str(suite))
        with faults.running("attacks", "an attack cannot be built"):
            attacks = found.resolve()
        facts = []
        for spec, attack in zip(found.attacks, attacks, strict=True):
            if isinstance(attack, BrokenAttack):
                faults.expect(False, "attacks", f"{spec.id}: {attack.error}")
                continue
            try:
                attack.tool_version()
            except MissingPackage as error:
                faults.expect(False, "attacks", f"{spec.id}: {error}, and name it in your package's dependencies")
            resolved = {epsilon.label: attack.parameters(epsilon.value) for epsilon in found.grid}
            facts.append((spec.id, attack.kind, resolved))
        for finding in units(facts, found.norm, found.grid, found.threat):
            faults.expect(False, finding.check, finding.message)
