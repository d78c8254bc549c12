"""Runs by plugins of others that are not here any more: what is missing names its package, and nothing is refuted."""

import tomllib
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from repository import ROOT

from harness.cli import main
from harness.evidence.store import RunStore
from harness.inputs import registry
from harness.trust import ledger

EXAMPLE = ROOT / "tests" / "plugin_example"
PACKAGE = "harness-plugin-example"


@pytest.fixture
def example(monkeypatch):
    """Registers the example package, but for the groups that are told to be gone."""
    groups = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    here = registry.points
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from plugin_example.attack import Step

    monkeypatch.setattr(Step, "distribution", "torch")  # the package is not installed, only on the path

    def only(*gone):
        def points(group):
            found = []
            for name, value in groups.get(group, {}).items() if group not in gone else ():
                point = EntryPoint(name, value, group)
                vars(point)["dist"] = SimpleNamespace(name=PACKAGE, version="1.2.3")
                found.append(point)
            return [*(one for one in here(group=group) if one.dist.name != PACKAGE), *found]

        monkeypatch.setattr(registry, "points", points)

    return only


MODEL = """
from torch import nn

def tiny():
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 3)), {"num_classes": 3}
"""


def evaluated(folder, *words):
    assert main(["eval", *words, "--n", "32", "--device", "cpu", "--force", "--results", folder.name]) == 0
    (run,) = folder.glob("[!.]*")
    return run, RunStore(run).read_info()


def test_what_a_package_gave_is_asked_for_by_its_name(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_LEDGER", str(tmp_path / "ledger.jsonl"))
    (tmp_path / "mine.py").write_text(MODEL)
    example()
    here = f"{PACKAGE} 1.2.3"
    run, info = evaluated(tmp_path / "one", "--model", "example-means", "--suite", "example", "--eps", "1e-6")
    assert info.plugins == {"model": here, "suite": here, "attack example/fgsm": here}
    other, info = evaluated(tmp_path / "two", "--model", "mine.py:tiny", "--suite", "fgsm", "--data", "example-shades")
    assert info.plugins == {"data": here}
    capsys.readouterr()

    for group, folder, what in (
        ("models", run, "the run's model 'example-means', hash sha256:"),
        ("datasets", other, "the run's data 'example-shades', slice sha256:"),
        ("attacks", run, "--replay needs the attack example.step of package"),
    ):
        example(f"harness.{group}")
        assert main(["verify", str(folder), "--replay", "500", "--device", "cpu"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert what in line
        assert f"of package '{here}', which is not installed or gives none of this name" in line
        assert ledger.verified(folder) is None
    example()
    assert main(["verify", str(run), "--device", "cpu"]) == 0


def test_built_in_plugins_are_not_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "--model", "standard", "--suite", "fgsm", "--n", "8", "--device", "cpu"]) == 0
    (run,) = tmp_path.glob("results/[!.]*")
    assert RunStore(run).read_info().plugins is None
