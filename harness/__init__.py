"""Robustness harness: measures adversarial robustness with the standard tools, and keeps the evidence.

The public names are imported on first use, so that `import harness` (and with it `harness --help`) stays free of torch.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("robustness-harness")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
