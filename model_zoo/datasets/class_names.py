"""Class names: numbers in the order of their values, and which numbers a set of labels means."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.base.text import whole_number

MOST_EMPTY = 0.5
"""Share of absent numbers up to which numbers are taken for labels."""


def is_number(name: str) -> bool:
    """Whether a class name is a plain whole number, such as ``7`` or ``00007``."""
    return whole_number(name) is not None


def in_order(names: Collection[str]) -> list[str]:
    """`names` sorted: as numbers by value where all are, else as text."""
    if all(is_number(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def with_absent(names: Sequence[str]) -> list[str]:
    """Class names from numbers in order, with those that are absent up to the highest; else as they are.

    A set without images of a class keeps the numbers of the others: ``0 1 3`` are the labels 0, 1 and 3 of four.
    They count from 1 if that is the lowest, otherwise from 0.
    """
    if not names or not all(is_number(name) for name in names):
        return list(names)
    values = [int(name) for name in names]
    first = 1 if values[0] == 1 else 0
    span = values[-1] - first + 1
    if len(set(values)) < len(values) or span - len(values) > MOST_EMPTY * span:
        return list(names)
    width = len(names[0]) if len({len(name) for name in names}) == 1 else 0
    by_value = dict(zip(values, names, strict=True))
    return [by_value.get(value, str(value).zfill(width)) for value in range(first, first + span)]
