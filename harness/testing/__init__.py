"""The conformance kit: what a plugin promises, as checks for the plugin's own test suite.

::

    from harness.testing import check_attack

    def test_my_attack() -> None:
        check_attack("mytool.myattack", {"steps": 10})

Each check raises `NotConformant`, an `AssertionError` that lists every fault with what to change. They need seconds
on a CPU, no network and no results folder. ``docs/plugins.md`` says what each one looks at.
"""

from harness.testing.attacks import check_attack
from harness.testing.datasets import check_dataset
from harness.testing.defenses import check_defense
from harness.testing.faults import NotConformant
from harness.testing.models import check_model
from harness.testing.suites import check_suite

__all__ = ["NotConformant", "check_attack", "check_dataset", "check_defense", "check_model", "check_suite"]
