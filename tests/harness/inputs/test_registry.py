"""Plugins by entry points: listed without importing, errors that name packages and near misses."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints, PathDistribution
from types import SimpleNamespace

import pytest

from harness.errors import DuplicateName, PluginError, UnknownName
from harness.inputs import registry as module
from harness.inputs.registry import Registry


def point(name, value, package):
    made = EntryPoint(name, value, "harness.models")
    vars(made)["dist"] = SimpleNamespace(name=package, version="1.0")
    return made


@pytest.fixture
def plugins(monkeypatch):
    points = [
        point("robust", "json:loads", "alpha"),
        point("shared", "json:loads", "alpha"),
        point("shared", "json:dumps", "beta"),
        point("absent", "no_such_module_here:model", "gamma"),
        point("broken", "json:no_such_function", "gamma"),
    ]
    monkeypatch.setattr(module, "points", lambda group: points)
    return Registry("models")


def test_a_plugin_is_loaded_by_name(plugins):
    import json

    assert plugins.load("robust") is json.loads
    assert plugins.get("robust").package == "alpha"


def test_an_unknown_name_suggests_near_misses(plugins):
    with pytest.raises(UnknownName, match=r"unknown model 'rubust'; did you mean 'robust'"):
        plugins.load("rubust")
    with pytest.raises(UnknownName, match="known: absent, broken, robust, shared"):
        plugins.load("xyzzy-quux")


def test_a_name_given_twice_names_both_packages(plugins):
    with pytest.raises(DuplicateName, match=r"alpha \(json:loads\) and beta \(json:dumps\)"):
        plugins.load("shared")
    assert plugins.names().count("shared") == 1
    assert [entry.package for entry in plugins.entries() if entry.name == "shared"] == ["alpha", "beta"]


@pytest.mark.parametrize("name", ["absent", "broken"])
def test_a_failing_import_names_its_package(plugins, name):
    with pytest.raises(PluginError, match=f"model {name!r} of package gamma cannot be imported"):
        plugins.load(name)


def test_the_same_package_seen_twice_is_no_conflict(monkeypatch):
    twice = [point("robust", "json:loads", "alpha")] * 2
    monkeypatch.setattr(module, "points", lambda group: twice)
    assert Registry("models").get("robust").package == "alpha"


def test_metadata_of_a_package_are_read_once_however_many_names_it_has(monkeypatch):
    class Package:
        asked = 0

        @property
        def name(self):
            Package.asked += 1
            return "alpha"

        version = "1.0"

    points = [point(f"name-{i}", "json:loads", "") for i in range(5)]
    package = Package()
    for made in points:
        vars(made)["dist"] = package
    monkeypatch.setattr(module, "points", lambda group: points)
    assert {entry.package for entry in Registry("models").entries()} == {"alpha"}
    assert Package.asked == 1


@pytest.mark.parametrize(
    "words", [["--help"], *(["list", kind] for kind in ("models", "defenses", "attacks", "suites", "datasets"))]
)
def test_listing_and_help_import_no_torch(words):
    code = (
        "import sys\nfrom harness.cli import main\n"
        f"assert main({words!r}) == 0\n"
        "heavy = {'torch', 'art', 'torchattacks', 'autoattack', 'torchvision', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_builtin_can_be_loaded():
    for kind in module.GROUPS:
        registry = Registry(kind)
        if kind != "weights":  # a checkout has its own; data distributions register theirs
            assert registry.names(), kind
        for name in registry.names():
            if kind != "suites":
                assert registry.load(name) is not None


def test_a_package_that_comes_while_the_process_runs_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "latecomer" not in Registry("models")
    about = tmp_path / "late-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[harness.models]\nlatecomer = json:loads\n", encoding="utf-8")
    assert Registry("models").get("latecomer").package == "late"


def test_a_package_is_asked_for_its_name_once(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    about = tmp_path / "told-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[harness.models]\nonce = json:loads\n", encoding="utf-8")
    assert Registry("models").get("once").version == "1.0"
    monkeypatch.setattr(PathDistribution, "read_text", lambda *_: pytest.fail("asked again"))
    assert Registry("models").get("once").version == "1.0"


def test_packages_are_looked_at_once_for_all_kinds(monkeypatch):
    module._read.cache_clear()
    looks = []
    monkeypatch.setattr(module, "entry_points", lambda: looks.append(1) or EntryPoints([]))
    for kind in module.GROUPS:
        assert not Registry(kind).names()
    assert len(looks) == 1
    module._read.cache_clear()
