"""Catastrophic overfitting on made-up histories."""

from __future__ import annotations

from model_zoo.recipe.overfitting import overfitting_epoch


def history(*rows: tuple[float, float]) -> list[dict[str, float]]:
    return [{"epoch": i + 1, "fgsm": fgsm, "pgd": pgd} for i, (fgsm, pgd) in enumerate(rows)]


def test_a_collapse_of_pgd_while_fgsm_rises_is_found_at_its_epoch() -> None:
    assert overfitting_epoch(history((0.3, 0.25), (0.4, 0.35), (0.8, 0.05), (0.9, 0.0))) == 3


def test_the_best_epoch_counts_not_the_last_one() -> None:
    assert overfitting_epoch(history((0.4, 0.4), (0.45, 0.3), (0.5, 0.19))) == 3


def test_steady_training_is_left_alone() -> None:
    assert overfitting_epoch(history((0.3, 0.25), (0.4, 0.35), (0.5, 0.45))) is None
    assert overfitting_epoch(history((0.3, 0.25), (0.4, 0.35), (0.45, 0.2))) is None


def test_a_model_that_gets_worse_altogether_is_not_overfitted() -> None:
    assert overfitting_epoch(history((0.5, 0.4), (0.1, 0.05))) is None


def test_what_never_was_robust_cannot_collapse() -> None:
    assert overfitting_epoch(history((0.2, 0.05), (0.4, 0.0))) is None
    assert overfitting_epoch([]) is None
