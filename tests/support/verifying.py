"""``harness verify`` as a call."""

from harness.cli import main


def verified(*words, model="mine.py:tiny"):
    return main(["verify", "--model", model, "--device", "cpu", *words])
