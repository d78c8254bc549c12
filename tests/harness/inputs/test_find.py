"""What was typed after ``--model`` and ``--data``, taken apart."""

import pytest

from harness.inputs.find import parted


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("trades", (None, "trades")),
        ("mine:tiny=mine.py:tiny", ("mine:tiny", "mine.py:tiny")),
        ("a=weights.pt?arch=resnet18", ("a", "weights.pt?arch=resnet18")),
        ("weights.pt?arch=resnet18", (None, "weights.pt?arch=resnet18")),
        ("google/vit=vit.py:make", ("google/vit", "vit.py:make")),
        ("lr=0.1", (None, "lr=0.1")),
        ("lr=0.1/mine.py:tiny", (None, "lr=0.1/mine.py:tiny")),
        ("eps=8.py:make", (None, "eps=8.py:make")),
        ("a=lr=0.1", ("a", "lr=0.1")),
        ("a=", (None, "a=")),
        ("=b", (None, "=b")),
    ],
)
def test_a_name_is_parted_from_a_place_and_not_within_one(tmp_path, monkeypatch, text, parts):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=0.1").mkdir()
    (tmp_path / "eps=8.py").touch()
    assert parted(text) == parts
