"""Settings of the loop: which are refused, and the learning rate that they give."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from model_zoo.training.loop import Settings, one_cycle


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    shares = [one_cycle(step, 100, 0.2) for step in range(100)]
    assert shares[0] == pytest.approx(0.05)
    assert shares[19] == 1
    assert shares[:20] == sorted(shares[:20])
    assert shares[20:] == sorted(shares[20:], reverse=True)
    assert shares[60] == pytest.approx(0.5)
    assert 0 < shares[-1] < 0.001


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"weight_decay": -1.0},
        {"warmup": 1.0},
        {"seed": -1},
        {"seed": 10**19},
    ],
)
def test_unusable_settings_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="is "):
        Settings(**changes)  # type: ignore[arg-type]
