"""One BLAS thread, and hypothesis profiles: ``ci`` is derandomized, so that a red test is red again."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

collect_ignore = ["plugin_example"]  # a package of its own, with tests of its own

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see no data root but the ones they set, and no calibration of the user's."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    if "HARNESS_DATA" in os.environ:
        monkeypatch.setenv("HARNESS_TEST_DATA", os.environ["HARNESS_DATA"])
    monkeypatch.delenv("HARNESS_DATA", raising=False)
