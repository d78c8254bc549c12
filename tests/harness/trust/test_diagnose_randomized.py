"""Of a randomized model a longer attack breaks more by its draws alone: no advice to go longer, no blame."""

import numpy as np
from book import AUTO, PGD, SQUARE, Book, N, info

RANDOMIZED = {"check": "P5", "level": "warn", "message": "determinism: the model is randomized"}
STATEFUL = {"check": "P5", "level": "error", "message": "determinism: asked again at the end"}
TWICE = info("pgd", restarts=2)


def first_hundred(values):
    return np.ma.masked_array(values, np.arange(N) >= 100)


def told(*findings):
    """Three runs that break more the longer they go: by the last steps, the last restart, a cascade."""
    late = first_hundred(np.where(np.arange(N) < 50, 19, 3))
    last = {"restart": first_hundred(np.ones(N, np.int64)), "forwards": np.full(N, 40)}
    books = (
        Book(PGD, findings=findings).cell(PGD, range(100), query_index=late),
        Book(TWICE, findings=findings).cell(TWICE, range(100), **last),
        Book(PGD, AUTO, findings=findings).cell(PGD, range(60)).cell(AUTO, range(100)),
    )
    return [check for book in books for check, _ in book.said()]


def test_nothing_is_advised_that_only_draws_more():
    assert told() == ["P22", "P23", "P16"]
    assert told(RANDOMIZED) == []
    assert told(STATEFUL) == ["P22", "P23", "P16"]


def test_an_attack_without_gradients_names_both_causes():
    def masked(*findings):
        return Book(PGD, SQUARE, findings=findings).cell(PGD, range(40)).cell(SQUARE, range(80), backwards=0)

    assert masked().said() == masked(RANDOMIZED).said() == [("P8", "error")]
    assert "gradients are masked, so" in masked().message("P8")
    assert "may be its many draws alone" in masked(RANDOMIZED).message("P8")
    assert "more queries" not in masked(RANDOMIZED).message("P8")
