"""run.json's types: what was written before is read and written again as it was, and its key is the same."""

import copy
import json
import tomllib

import jsonschema
import pytest
from repository import ROOT

from harness.errors import BadRun
from harness.evidence import run_schema
from harness.evidence.run_info import run_name
from harness.evidence.run_json import parse
from harness.evidence.store import RunStore
from harness.evidence.structs import as_json

FOLDERS = sorted(path.parent for path in (ROOT / "tests" / "golden").glob("*/run.json"))
PUBLISHED = sorted((ROOT / "leaderboard" / "published").glob("*.run.json"))
BEFORE = [
    *((folder.name, json.loads((folder / "run.json").read_text())) for folder in FOLDERS),
    *((path.name.removesuffix(".run.json"), json.loads(path.read_text())["info"]) for path in PUBLISHED),
]
"""Runs that earlier versions wrote, by the name of their folder."""


def test_there_are_runs_from_before():
    listed = tomllib.loads((ROOT / "leaderboard" / "published" / "board.toml").read_text(encoding="utf-8"))["run"]
    assert len(FOLDERS) == 2
    assert {path.name for path in PUBLISHED} == {entry["file"] for entry in listed}


@pytest.mark.parametrize(("name", "content"), BEFORE, ids=[name for name, _ in BEFORE])
def test_runs_from_before_are_read_and_written_as_they_were(name, content):
    info = parse(content)
    assert json.dumps(as_json(info)) == json.dumps(content)  # in this order, and every digit
    assert info.determined() == content["key"]
    assert run_name(info.model.name, info.suite.name, info.determined()) == content["run_name"] == name


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_the_file_itself_is_written_as_it_was(folder, tmp_path):
    store = RunStore.create(tmp_path, "again")
    store.write_info(RunStore(folder).read_info())
    assert (tmp_path / "again" / "run.json").read_bytes() == (folder / "run.json").read_bytes()


def test_the_grid_is_one_list():
    info = parse(BEFORE[0][1])
    assert [(epsilon.label, epsilon.value) for epsilon in info.suite.grid] == [
        ("1/255", 1 / 255),
        ("4/255", 4 / 255),
        ("8/255", 8 / 255),
    ]


def attack(info, at=0):
    return info["suite"]["attacks"][at]


WRONG = [
    (lambda info: info.pop("seed"), "seed is missing"),
    (lambda info: info["suite"].pop("grid"), "suite.grid is missing"),
    (lambda info: attack(info, 1).pop("tool"), "suite.attacks[1].tool is missing"),
    (lambda info: attack(info).update(id=3), "suite.attacks[0].id is 3, expected str"),
    (lambda info: attack(info).update(components=["a", 1]), "suite.attacks[0].components[1] is 1, expected str"),
    (lambda info: attack(info).update(kind="odd"), "suite.attacks[0].kind is 'odd', which it cannot be"),
    (lambda info: attack(info, 1).update(id=attack(info)["id"]), "expected different names"),
    (lambda info: info.update(mode="loud"), "mode is 'loud', which it cannot be"),
    (lambda info: info.update(suite=[]), "suite is [], expected object"),
    (lambda info: info.update(seed=True), "seed is True, expected int"),
    (lambda info: info["data"].update(n=0), "data.n is 0, expected int >= 1"),
    (lambda info: info["suite"].update(chunk=0), "suite.chunk is 0, expected int >= 1"),
    (lambda info: info["plan"].update(batch_size=0), "plan.batch_size is 0, expected int >= 1"),
    (lambda info: info["suite"]["grid"].pop(), "do not fit together"),
    (lambda info: info["suite"]["epsilons"].reverse(), "do not fit together"),
    (lambda info: info["suite"]["grid"].__setitem__(0, "2/255"), "do not fit together"),
    (lambda info: attack(info)["params"].update(steps=float("inf")), "a value is not possible"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_is_wrong_is_said_in_one_line_with_its_place(change, words):
    content = copy.deepcopy(BEFORE[0][1])
    change(content)
    with pytest.raises(BadRun) as error:
        parse(content, "x/run.json")
    text = str(error.value)
    assert text.startswith("x/run.json: ")
    assert words in text
    assert "\n" not in text


def test_fields_of_a_newer_version_are_passed_over():
    content = copy.deepcopy(BEFORE[0][1])
    content["new"], content["plan"]["newer"] = 1, {"a": []}
    assert parse(content) == parse(BEFORE[0][1])


def test_schema_and_documentation_are_made_from_the_types():
    """Mend with: python -m harness.evidence.run_schema, and --table for the table."""
    assert (ROOT / "harness" / "schemas" / "run.json").read_text() == run_schema.text()
    assert run_schema.table() in (ROOT / "docs" / "contracts.md").read_text()
    assert all(said for part in run_schema.PARTS for _, said in run_schema.docs(part))


@pytest.mark.parametrize(("name", "content"), BEFORE, ids=[name for name, _ in BEFORE])
def test_runs_from_before_are_valid(name, content):
    jsonschema.Draft202012Validator(run_schema.schema()).validate(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.update(new=1),
        lambda info: info["plan"].update(new=1),
        lambda info: info.pop("plan"),
        lambda info: info.pop("schema"),
        lambda info: info["model"].update(code=None),
        lambda info: info.update(compute=None),
        lambda info: info["data"].update(n=0),
        lambda info: info["suite"]["attacks"][0].update(kind="odd"),
        lambda info: info["findings"].append({"check": "P1", "level": "loud", "message": ""}),
    ],
)
def test_what_the_harness_would_not_write_is_not_valid(change):
    content = copy.deepcopy(BEFORE[0][1])
    change(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(run_schema.schema()).validate(content)
