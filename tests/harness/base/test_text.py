"""Numbers as people write them, and text as their terminals can show it."""

import io

import pytest

from harness.base.text import printable, whole_number


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("007", 7), ("0", 0), ("9" * 18, 10**18 - 1)])
def test_plain_digits_are_a_number(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", " 7", "-7", "+7", "7.0", "1_000", "\u00b2", "\u0667", "9" * 19, "1" * 5000])
def test_all_else_is_none(text):
    assert whole_number(text) is None


def test_text_that_a_terminal_lacks_is_spelled_out():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    printable(stream, io.StringIO())
    stream.write("grade – é \u0416 ≥ 1…")
    stream.flush()
    assert raw.getvalue().decode("latin-1") == r"grade - é \u0416 >= 1..."
