"""Robustness harness: measures adversarial robustness with the standard tools, and keeps the evidence.

The public names are imported on first use, so that `import harness` (and with it `harness --help`) stays free of torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import Result, evaluate
    from harness.resolve import find_data, find_model

try:
    __version__ = version("robustness-harness")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

_PUBLIC = {
    "Result": "harness.api",
    "evaluate": "harness.api",
    "find_data": "harness.resolve",
    "find_model": "harness.resolve",
}
__all__ = ["Result", "__version__", "evaluate", "find_data", "find_model"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
