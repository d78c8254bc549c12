"""What stands behind the colon of ``--data NAME:ARGUMENT``: a path, and options after a question mark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.base.text import whole_number
from harness.errors import UsageError

LARGEST_SIDE = 99_999


def path_and_options(
    name: str, argument: str | None, known: Iterable[str], example: str = "FILE"
) -> tuple[str, dict[str, str]]:
    """``DIR?size=32&channels=1`` as its path and its options; a question mark without ``=`` after it is of the path.

    Raises:
        UsageError: no path, or an option that is unknown, empty or given twice.
    """
    text = argument or ""
    path, mark, query = text.rpartition("?")
    if not mark or "=" not in query:
        path, query = text, ""
    if not path:
        raise UsageError(f"data set {name} needs a path; write {name}:{example}")
    options: dict[str, str] = {}
    for part in query.split("&") if query else []:
        key, _, value = part.partition("=")
        if key not in known:
            raise UsageError(f"{name}:{path} has no option {key!r}; its options are {', '.join(sorted(known))}")
        if not value or key in options:
            raise UsageError(f"{name}:{path}: option {key} is given {'twice' if value else 'no value'}; give it one")
        options[key] = value
    return path, options


def choice(options: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str | None:
    """The option `key`, one of `choices`; None if it is not given.

    Raises:
        UsageError: it is another.
    """
    value = options.get(key)
    if value is not None and value not in choices:
        raise UsageError(f"option {key}={value} is none of {', '.join(choices)}")
    return value


def whole(options: Mapping[str, str], key: str, low: int, high: int) -> int | None:
    """The option `key`, a whole number from `low` to `high`; None if it is not given.

    Raises:
        UsageError: it is none.
    """
    value = options.get(key)
    if value is None:
        return None
    number = whole_number(value)
    if number is None or not low <= number <= high:
        raise UsageError(f"option {key}={value} is no whole number from {low} to {high}")
    return number


def size(options: Mapping[str, str]) -> tuple[int, int] | None:
    """The option ``size``: ``32`` or ``WIDTHxHEIGHT``, as height and width; None if it is not given.

    Raises:
        UsageError: it is neither.
    """
    value = options.get("size")
    if value is None:
        return None
    sides = [whole_number(part) or 0 for part in value.split("x")]
    if len(sides) > 2 or not all(0 < side <= LARGEST_SIDE for side in sides):
        raise UsageError(f"option size={value} is no size; write for instance size=32 or size=48x32")
    return sides[-1], sides[0]
