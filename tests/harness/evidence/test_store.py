"""Shards and JSON on disk: round trips, and files that were torn or altered."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.base.files import key_of
from harness.errors import BadRun
from harness.evidence import facts, witnesses
from harness.evidence.run_info import run_name
from harness.evidence.store import RunStore, Unit


def one_fact(**changes):
    columns = {"sample_id": [3], "label": [1], "attack": "a", "epsilon": 0.1, "epsilon_label": "0.1",
               "outcome": ["survived"], "forwards": [2], "backwards": [1]}  # fmt: skip
    return facts.table(1, {**columns, **changes})


@given(st.integers(0, 2**31), st.integers(0, 5))
def test_witness_bits_survive(seed, n):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(n, 3, 4, 5, generator=generator)
    images = (clean + torch.randn(clean.shape, generator=generator) * 0.03).clamp(0, 1)
    back = witnesses.decode(witnesses.encode(images, clean), clean)
    assert torch.equal(back, images)
    assert back.shape == clean.shape


def test_a_witness_of_another_size_is_refused():
    with pytest.raises(ValueError, match="has 12 bytes"):
        witnesses.decode([b"x" * 12], torch.zeros(1, 3, 4, 4))


def test_the_clean_image_matters():
    clean = torch.rand(1, 3, 4, 4)
    blobs = witnesses.encode(clean * 0.5, clean)
    assert not torch.equal(witnesses.decode(blobs, clean + 0.1), clean * 0.5)


def test_facts_round_trip_with_nulls(tmp_path):
    table = one_fact(distance=np.ma.array([0.5], mask=[True]), margin=np.ma.array([0.25], mask=[False]))
    facts.write(tmp_path / "f.parquet", table)
    back = facts.read(tmp_path / "f.parquet")
    assert back.equals(table)
    assert back["distance"].to_pylist() == [None]
    assert back["margin"].to_pylist() == [0.25]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"outcome": ["robust"]}, "unknown outcome"), ({"outcome": ["witness"]}, "has no distance")],
)
def test_altered_facts_are_refused(tmp_path, changes, message):
    facts.write(tmp_path / "f.parquet", one_fact(**changes))
    with pytest.raises(BadRun, match=message):
        facts.read(tmp_path / "f.parquet")


def test_files_that_are_no_facts_are_refused(tmp_path):
    path = tmp_path / "f.parquet"
    for content in (b"", b"PAR1", b"\x00" * 100):
        path.write_bytes(content)
        with pytest.raises(BadRun, match=r"f\.parquet is not a readable"):
            facts.read(path)
    witnesses.write(path, witnesses.empty())
    with pytest.raises(BadRun, match="schema"):
        facts.read(path)


def test_unit_names_do_not_collide():
    units = [Unit(a, e, c) for a in ("x", "x/y", "x@1", "art/pgd") for e in ("1/255", "0.1", "grid") for c in (0, 1)]
    assert len({unit.filename for unit in units}) == len(units)
    assert all("/" not in unit.filename for unit in units)


def test_run_names_are_safe_and_keys_are_stable():
    name = run_name("../../etc/<x>", "pgd", key_of({"b": 1, "a": [1.5]}))
    assert "/" not in name
    assert not name.startswith(".")
    assert key_of({"b": 1, "a": [1.5]}) == key_of({"a": [1.5], "b": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 99}', "null"])
def test_bad_run_json_is_one_line(tmp_path, content):
    store = RunStore.create(tmp_path, "r")
    (store.folder / "run.json").write_text(content)
    with pytest.raises(BadRun) as error:
        store.read_json("run.json")
    assert "\n" not in str(error.value)


def test_json_is_written_whole_or_not_at_all(tmp_path):
    store = RunStore.create(tmp_path, "r")
    store.write_json("run.json", {"schema": 1, "x": 1})
    with pytest.raises(ValueError, match="Out of range"):
        store.write_json("run.json", {"schema": 1, "x": float("nan")})
    assert json.loads((store.folder / "run.json").read_text()) == {"schema": 1, "x": 1}
    assert [path.name for path in store.folder.glob("*.json")] == ["run.json"]
