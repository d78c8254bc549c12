"""Slices of others: which files of ids are read, and in which order their samples come."""

import dataclasses
import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from forgery import Forger
from toys import SmallNet, labeled, loaded

from harness.base.threat import parse_grid
from harness.cli.report import print_result
from harness.errors import UsageError
from harness.inputs.ids import id_set, read_ids
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.run.api import evaluate as api
from harness.run.job import Options, evaluate
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

ORDER_SEED = 20110701
FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 3, "step_size": "epsilon/2", "random_start": True}, 16, 8)


@pytest.fixture(scope="module")
def data():
    return labeled(SmallNet(), 60)


def test_the_files_order_cannot_choose_the_prefix(tmp_path, data):
    ids = np.random.default_rng(1).choice(60, 24, replace=False)
    orders = []
    for number, given in enumerate((ids, ids[::-1], np.sort(ids))):
        path = tmp_path / f"{number}.txt"
        path.write_text("# mine\n\n" + "\n".join(f"{i}  # a sample" for i in given) + "\n")
        np.save(tmp_path / f"{number}.npy", given.astype(np.int32))
        for file in (path, tmp_path / f"{number}.npy"):
            found = read_ids(file)
            assert found.name == str(number)
            orders.append((found.sha256, make_slice(data, None, 8, found).indices.tolist()))
    assert len({sha for sha, _ in orders}) == 1
    # By hand: ascending ids, then the permutation of 24 places.
    expected = np.sort(ids)[np.random.default_rng(ORDER_SEED).permutation(24)].tolist()
    assert [order for _, order in orders] == [expected] * 6
    assert expected != sorted(expected)


def test_all_ids_are_the_whole_data_set(data):
    every = id_set("all", range(60))
    assert make_slice(data, None, 8, every).indices.tolist() == make_slice(data, None, 8).indices.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\nx\n", r"ids\.txt, line 3: 'x' is no id"),
        ("1\n-2\n", r"line 2: '-2' is no id"),
        ("1.0\n", r"line 1: '1.0' is no id"),
        ("1 2\n", r"line 1: '1 2' is no id"),
        ("9" * 30, r"line 1: '9{30}' is no id"),
        ("# nothing\n", "'ids' holds no id"),
        ("4\n5\n4\n", "'ids' holds 4 twice"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, text, message):
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_ids(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1.0, 2.0]), "holds float64 of shape"),
        (np.array([[1, 2]]), r"holds int64 of shape \(1, 2\)"),
        (np.array([3, -1]), "holds -1; ids count from 0"),
        (np.array([True]), "holds bool"),
        (np.array([2**63], np.uint64), "holds uint64"),
        (np.array([{}], object), "cannot be read"),
    ],
)
def test_arrays_that_are_none(tmp_path, array, message):
    path = tmp_path / "ids.npy"
    np.save(path, array)
    with pytest.raises(UsageError, match=message):
        read_ids(path)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY\x01")
    for name in ("torn.npy", "absent.npy", "absent.txt"):
        with pytest.raises(UsageError, match=f"{name} cannot be read"):
            read_ids(tmp_path / name)
    with pytest.raises(UsageError, match=r"absent\.txt cannot be read: No such file or directory$"):
        read_ids(tmp_path / "absent.txt")


def test_ids_and_n_are_two_choices(data):
    with pytest.raises(UsageError, match="--n 5 and --ids are two choices of samples"):
        make_slice(data, 5, 8, id_set("mine", [1, 2]))
    with pytest.raises(UsageError, match="'mine' holds 60, but data set 'toy' has 60 samples"):
        make_slice(data, None, 8, id_set("mine", [1, 60]))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return measured(tmp_path_factory.mktemp("ids"), data, id_set("theirs", range(0, 60, 2)))


def measured(folder, data, ids):
    suite = Suite(
        name="toy", version=1, norm="linf", grid=parse_grid(["8/255"]), mode="observed", chunk=16, attacks=(FGSM, PGD)
    )
    given = Options(folder, device="cpu", batch_size=16, precision="exact", ids=ids)
    return evaluate(loaded(SmallNet(), 5), suite, data, given)


def test_the_row_names_the_set_and_verifies(run, data, capsys, tmp_path):
    clean = [row["sample_id"] for row in run.facts.to_pylist() if row["attack"] == "clean"]
    assert sorted(clean) == list(range(0, 60, 2))
    chosen = {row["sample_id"] for row in run.facts.to_pylist() if row["attack"] == "pgd"}
    expected = np.arange(0, 60, 2)[np.random.default_rng(ORDER_SEED).permutation(30)][:16]
    assert chosen == set(expected.tolist())
    sha = id_set("theirs", range(0, 60, 2)).sha256
    assert run.summary["ids"] == {"name": "theirs", "sha256": sha}
    for name in ("summary", "run"):
        content = json.loads((run.folder / f"{name}.json").read_text())
        jsonschema.validate(content, json.loads(files("harness").joinpath(f"schemas/{name}.json").read_text()))
    print_result(run)
    assert f"on toy (ids theirs, {sha[:19]}), n=30" in capsys.readouterr().out
    verdict = verify(run.folder, loaded(SmallNet(), 5), data, VerifyOptions(device="cpu"))
    assert [finding.message for finding in verdict.problems] == []
    other = measured(tmp_path, data, id_set("theirs", range(1, 60, 2)))
    assert other.info.key != run.info.key


def test_another_set_of_ids_told_is_refused(run, data, tmp_path):
    forge = Forger(run.folder, tmp_path / "run", data)
    forge.edit_json("run.json", lambda info: info["data"]["ids"].update(sha256="sha256:" + "0" * 64))
    forge.rehash()
    verdict = verify(forge.folder, loaded(SmallNet(), 5), data, VerifyOptions(device="cpu"))
    assert [finding.check for finding in verdict.problems] == ["data"]
    assert "are not the set of ids 'theirs' that run.json names" in verdict.problems[0].message
    small = dataclasses.replace(data, images=data.images[:40], labels=data.labels[:40])
    verdict = verify(run.folder, loaded(SmallNet(), 5), small, VerifyOptions(device="cpu"))
    assert "data" in {finding.check for finding in verdict.problems}


def test_ids_from_python(data, tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("3\n1\n2\n")
    options = {"device": "cpu", "batch_size": 8, "precision": "exact", "progress": False, "eps": ["8/255"]}
    plain = (data.images, data.labels)
    given = api(SmallNet(), "fgsm", plain, ids=[2, 3, 1], results=tmp_path / "a", **options)
    file = api(SmallNet(), "fgsm", plain, ids=path, results=tmp_path / "b", **options)
    assert given.summary["ids"]["sha256"] == file.summary["ids"]["sha256"]
    assert (given.summary["ids"]["name"], file.summary["ids"]["name"]) == ("given", "some")
    assert given.table.equals(file.table)
