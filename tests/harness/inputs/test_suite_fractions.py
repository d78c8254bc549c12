"""Strengths that are written as fractions, and files as editors save them."""

import pytest

from harness.attack import scaled
from harness.errors import BadSuite
from harness.inputs.suite_file import read_suite


def test_a_suite_with_a_byte_order_mark_and_fractions_as_steps(tmp_path):
    text = """name = "x"
version = 1
norm = "linf"
epsilons = ["8/255"]
[[attack]]
id = "pgd"
tool = "torchattacks"
method = "pgd"
params = { steps = 4, step_size = "2/255", random_start = true }
"""
    path = tmp_path / "x.toml"
    path.write_text("\ufeff" + text, encoding="utf-8")
    (attack,) = read_suite(path).resolve()
    assert attack.parameters(8 / 255)["step_size"] == 2 / 255
    path.write_text(text.replace("2/255", "2/0"), encoding="utf-8")
    with pytest.raises(BadSuite, match="2/0"):
        read_suite(path).resolve()


@pytest.mark.parametrize(
    ("text", "value"), [("2/255", 2 / 255), ("0.5/255", 0.5 / 255), ("epsilon/4", 0.02), (0.1, 0.1), ("ce", "ce")]
)
def test_a_strength_may_be_a_fraction(text, value):
    assert scaled(text, 0.08) == value
