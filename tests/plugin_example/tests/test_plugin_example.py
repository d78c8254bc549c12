"""What a plugin's own tests look like."""

from harness.testing import check_attack, check_dataset, check_defense, check_model, check_suite


def test_the_attack():
    check_attack("example.step")


def test_the_data_set():
    check_dataset("example-shades")


def test_the_defense():
    check_defense("example-noise")


def test_the_model():
    check_model("example-means")


def test_the_suite():
    check_suite("example")
