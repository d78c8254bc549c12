"""What the code writes is what the schemas say."""

import json
import tomllib
from importlib.resources import files

import jsonschema
import pytest
from repository import ROOT
from toys import SmallNet, labeled, loaded

from harness.base.threat import parse_grid
from harness.cli import main
from harness.evidence import facts, witnesses
from harness.evidence.store import RunStore
from harness.evidence.structs import as_json
from harness.inputs.registry import Registry
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.run.progress import Silent
from harness.types import AttackSpec, Finding

NAMES = ("card", "suite", "run", "summary", "fact", "witness", "envelope")


def schema(name):
    return json.loads(files("harness").joinpath(f"schemas/{name}.json").read_text())


def validate(value, name):
    jsonschema.Draft202012Validator(schema(name)).validate(value)


@pytest.mark.parametrize("name", NAMES)
def test_the_schemas_are_valid_and_documented(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert f"`{name}.json`" in (ROOT / "docs" / "contracts.md").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = SmallNet()
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["1/255", "8/255"]),
        mode="observed",
        chunk=16,
        attacks=(
            AttackSpec("fgsm", "torchattacks", "fgsm", {}),
            AttackSpec("pgd", "torchattacks", "pgd", {"steps": 3, "step_size": "epsilon/2", "random_start": True}),
        ),
    )
    return evaluate(loaded(model, 5), suite, labeled(model, 20, wrong=2), Options(tmp_path_factory.mktemp("results")))


def test_run_and_summary(run):
    store = RunStore(run.folder)
    info, summary = store.read_json("run.json"), store.read_json("summary.json")
    validate(info, "run")
    validate(summary, "summary")
    assert summary == run.summary
    assert {cell["status"] for cell in summary["cells"]} == {"ok"}


def test_an_interrupted_run_is_valid_too(tmp_path):
    class Stop(Silent):
        def stop(self):
            return True

    model = SmallNet()
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["1/255"]),
        mode="observed",
        chunk=16,
        attacks=(AttackSpec("f", "torchattacks", "fgsm", {}),),
    )
    run = evaluate(loaded(model, 5), suite, labeled(model, 20), Options(tmp_path), Stop())
    validate(as_json(run.info), "run")
    validate(run.summary, "summary")
    assert run.info.status == "interrupted"


def test_facts_and_witnesses(run):
    store = RunStore(run.folder)
    rows = store.all_facts().to_pylist()
    for row in rows:
        validate(row, "fact")
    assert {row["outcome"] for row in rows} >= {"clean_wrong", "witness", "survived"}
    assert set(schema("fact")["properties"]) == {field.name for field in facts.SCHEMA}
    assert tuple(schema("fact")["properties"]["outcome"]["enum"]) == facts.OUTCOMES
    rows = [row for table in store.all_witnesses() for row in table.to_pylist()]
    for row in rows:
        validate(row, "witness")
    assert witnesses
    assert set(schema("witness")["properties"]) == {field.name for field in witnesses.SCHEMA_VOTED}
    assert set(schema("witness")["required"]) == {field.name for field in witnesses.SCHEMA}


@pytest.mark.parametrize("name", Registry("suites").names())
def test_suites(name):
    validate(tomllib.loads((ROOT / "harness" / "suites" / f"{name}.toml").read_text()), "suite")


@pytest.mark.parametrize("path", sorted((ROOT / "model_zoo" / "cards" / "models").glob("*.toml")), ids=lambda p: p.stem)
def test_cards(path):
    validate(tomllib.loads(path.read_text()), "card")


@pytest.mark.parametrize("kind", ["models", "defenses", "attacks", "suites", "datasets"])
def test_list_prints_the_envelope(kind, capsys):
    assert main(["list", kind, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    validate(value, "envelope")
    assert value["command"] == "list"
    assert {row["name"] for row in value["data"]} == set(Registry(kind).names())


def test_findings_fit_their_schema():
    wrapped = {
        "schema": 1,
        "command": "x",
        "ok": True,
        "data": None,
        "findings": [Finding("P1", "warn", "m").as_dict()],
    }
    validate(wrapped, "envelope")
    with pytest.raises(jsonschema.ValidationError):
        validate({**wrapped, "findings": [{"check": "P1", "level": "loud", "message": ""}]}, "envelope")
