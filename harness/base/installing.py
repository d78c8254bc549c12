"""How a package that is not here is installed here: the one home of every such line of advice."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from packaging.specifiers import SpecifierSet

from harness.errors import MissingPackage

OURS = "robustness-harness"
OLD_REQUESTS = SpecifierSet("~=2.25.1")
"""What torchattacks 3.5.1 asks for; nothing that the harness uses of it imports requests."""
WITHOUT_PINS = "pip install --no-deps torchattacks"


def extra(name: str) -> str:
    """The command that installs the extra `name` of the harness."""
    return f"pip install '{OURS}[{name}]'"


def advice(distribution: str) -> str:
    """What to run to get `distribution`, in words that fit behind ``run:``.

    torchattacks asks for a `requests` of 2020; beside a newer one only ``--no-deps`` keeps the environment whole.
    """
    if distribution == "torchattacks":
        return f"{extra(distribution)} (beside a newer requests: {WITHOUT_PINS})"
    return f"pip install {distribution}"


def advice_here(distribution: str) -> str:
    """The one command of `advice` that is right in this environment."""
    if distribution != "torchattacks":
        return advice(distribution)
    return WITHOUT_PINS if has_newer_requests() else extra(distribution)


def has_newer_requests() -> bool:
    """Whether another requests is installed than torchattacks' pin allows."""
    try:
        return not OLD_REQUESTS.contains(version("requests"), prereleases=True)
    except PackageNotFoundError:
        return False


def check_installed(module: str, extra_name: str, what: str) -> None:
    """Refuse `what` in one line where `module`, which the extra `extra_name` brings, is not installed.

    Raises:
        MissingPackage: it is not.
    """
    try:
        there = find_spec(module) is not None
    except ValueError:  # blocked by whoever put None into sys.modules
        there = False
    if not there:
        raise MissingPackage(f"{what} needs {module}, which is not installed; run: {extra(extra_name)}")
