"""What a row's own page says beyond the table, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A sample that was broken, as a gallery shows it; images are PNG files."""

    sample: int
    label: int
    attack: str
    epsilon_label: str
    distance: float
    clean_pred: int
    adv_pred: int
    clean_confidence: float | None
    """Softmax of the predicted class; None if the model was not there to ask."""
    adv_confidence: float | None
    gain: float
    """By how much the perturbation is magnified; gray is no change."""
    clean: bytes
    perturbation: bytes
    adversarial: bytes


@dataclass(frozen=True)
class ClassScore:
    """One class: how many of its samples are right, unperturbed and in the worst case."""

    label: int
    name: str
    n: int
    clean: int
    worst: tuple[float | None, ...]
    """Up the epsilon grid; None where the worst case is not complete. Of corruptions the mean number over kinds."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Samples of one class that are read as another."""

    epsilon_label: str
    """``0`` for unperturbed samples; else in the worst case at this epsilon, without those wrong unperturbed."""
    label: int
    read_as: int
    count: int
    danger: int
    """0 (the data set has no ranking) to 4; see `leaderboard.tables.danger`."""
    why: str
    """What the danger is, in a few words."""


@dataclass(frozen=True)
class Answer:
    """One point of the checklist for evaluations of robustness, answered from the run."""

    question: str
    answer: str
    """``yes``, ``partly`` or ``no``."""
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one attack cost at one epsilon, from the run's ledger; None where the run did not keep it."""

    attack: str
    epsilon_label: str
    forwards: int
    backwards: int
    """Passes of single images."""
    seconds: float | None
    peak_memory: int | None
    """Bytes."""
    useful_gradients: float | None
    """Share of backward passes whose gradient could still change a result."""


@dataclass(frozen=True, kw_only=True)
class Detail:
    """What a row's own page says beyond the table."""

    card: Mapping[str, Any]
    """The model card as the run kept it."""
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]
    """Most dangerous first at each epsilon."""
    checklist: tuple[Answer, ...]
    command: str
    """Measures the row again; empty where no command line can."""
    facts: Mapping[str, str]
    """How the run was made: name to value, in reading order."""
    spent: tuple[Spent, ...]
    pictures: tuple[Picture, ...]
    no_pictures: str
    """Why there are none."""
