"""Robustness harness: measures adversarial robustness with the standard tools, and keeps the evidence.

The public names are imported on first use, so that `import harness` (and with it `harness --help`) stays free of torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.inputs.find import find_data, find_model
    from harness.run.api import Result, evaluate

try:
    __version__ = version("robustness-harness")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

_PUBLIC = {
    "Result": "harness.run.api",
    "evaluate": "harness.run.api",
    "find_data": "harness.inputs.find",
    "find_model": "harness.inputs.find",
}
_MODULES = ("attack", "errors", "testing", "types")
"""What plugins import; the other rooms are the harness's own."""
__all__ = ["Result", "__version__", "evaluate", "find_data", "find_model"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in _MODULES:
        return import_module(f"harness.{name}")
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
