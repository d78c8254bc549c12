"""What is installed, what is missing, and what stands in each other's way."""

from importlib.metadata import PackageNotFoundError

import torch

from harness.errors import PluginError
from harness.inputs.registry import Registry
from harness.trust.doctor import environment


class Package:
    def __init__(self, name, version, requires=(), files=()):
        self.metadata, self.version, self.requires, self.files = {"Name": name}, version, list(requires), list(files)


def installed(monkeypatch, *packages):
    def find(name):
        for package in packages:
            if package.metadata["Name"] == name:
                return package
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "distribution", find)


def test_broken_requirements_are_found(monkeypatch):
    old = Package("torchattacks", "3.5.1", ["requests (~=2.25.1)", "torch>=1.7", "pytest; extra == 'dev'", "gone"])
    installed(monkeypatch, old, Package("requests", "2.32.0"), Package("torch", "2.11.0"))
    messages = [finding.message for finding in environment.conflicts()]
    assert messages == [
        "torchattacks asks for requests~=2.25.1, but requests 2.32.0 is installed: harmless, for nothing that runs here"
        " imports requests",
        "torchattacks needs gone, which is not installed: pip install 'gone'",
    ]
    assert [finding.level for finding in environment.conflicts()] == ["info", "warn"]
    installed(monkeypatch, old, Package("torch", "2.11.0"), Package("gone", "1"))
    assert environment.conflicts() == []  # nor is it missed where it is absent
    ours = Package("robustness-harness", "0.1.0", ["torch>=2.11"])
    installed(monkeypatch, ours, Package("torch", "2.0.1"))
    assert [finding.level for finding in environment.conflicts()] == ["error"]


def test_the_stray_robustbench_is_found(monkeypatch):
    stray = Package("torchattacks", "3.5.1", files=["robustbench/__init__.py", "torchattacks/__init__.py"])
    installed(monkeypatch, stray)
    assert [finding.level for finding in environment.conflicts()] == ["info"]
    installed(monkeypatch, stray, Package("robustbench", "1.1"))
    (finding,) = environment.conflicts()
    assert finding.level == "warn"
    assert "over each other" in finding.message
    installed(
        monkeypatch, Package("torchattacks", "9", files=["torchattacks/__init__.py"]), Package("robustbench", "1.1")
    )
    assert environment.conflicts() == []


def test_the_environment_names_what_is_missing_and_what_is_broken(monkeypatch, tmp_path):
    real = Registry.load

    def load(self, name):
        if (self.kind, name) == ("datasets", "mnist"):
            raise PluginError("dataset 'mnist' of package some-package cannot be imported: ImportError: no such thing")
        return real(self, name)

    monkeypatch.setattr(Registry, "load", load)
    monkeypatch.setitem(environment.TOOLS, "imaginary", ("no-such-distribution",))
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "absent"))
    report, findings = environment.environment()
    told = {finding.check: finding for finding in findings}
    assert "some-package" in told["plugin"].message
    assert told["plugin"].level == told["data"].level == "error"
    assert "no-such-distribution" in told["tool"].message
    assert report["tools"]["imaginary"] is None
    assert report["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert [row["error"] is None for row in report["plugins"]["datasets"] if row["name"] == "mnist"] == [False]
    assert report["device"]["auto"] in ("cpu", "cuda:0", "cuda")


def test_a_system_that_is_not_served_is_told(monkeypatch):
    monkeypatch.setattr(environment.sys, "platform", "win32")
    (finding,) = [finding for finding in environment.environment()[1] if finding.check == "system"]
    assert finding.level == "error"
    assert "Linux or macOS" in finding.message
    monkeypatch.setattr(environment.sys, "platform", "darwin")
    assert not [finding for finding in environment.environment()[1] if finding.check == "system"]
