"""The definition of a model is its user's source files, and the versions of packages; it is a part of the run's key."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import textwrap

import pytest
from repository import ROOT
from torch import nn
from toys import SmallNet, labeled, loaded
from users_source import fresh, source

import harness
from harness.base.files import key_of
from harness.base.threat import parse_grid
from harness.inputs import identity
from harness.inputs.find import find_model
from harness.inputs.identity import class_definition, model_definition, weights_of
from harness.inputs.suite import Suite
from harness.types import AttackSpec

__all__ = ["source"]
DATA = labeled(SmallNet(), 16)
KEYED = ("schema", "facts_schema", "model", "suite", "data", "mode", "seed", "asked", "threads")


def run_of(folder):
    attacks = (AttackSpec("fgsm", "torchattacks", "fgsm", {}),)
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["4/255"], "linf"),
        mode="observed",
        chunk=16,
        attacks=attacks,
    )
    chosen = {"device": "cpu", "batch_size": 16, "force": True, "progress": False}
    return harness.evaluate(fresh("users_net").build(), suite, DATA, name="net", results=folder, **chosen).run


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("users_net.py", "self.mean)", "self.mean * 1)"),  # the class's own file
        ("doubled_here.py", "2 * x", "x + x"),  # one that it imports
    ],
)
def test_the_definition_is_that_of_the_source_files(source, file, old, new):
    before = model_definition(find_model(f"{source}/users_net.py:build"))
    fresh("users_net")
    assert model_definition(find_model(f"{source}/users_net.py:build")) == before
    path = source / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert model_definition(find_model(f"{source}/users_net.py:build")) != before


def test_the_definition_does_not_depend_on_the_place(source, tmp_path_factory, monkeypatch):
    before = model_definition(find_model(f"{source}/users_net.py:build"))
    there = tmp_path_factory.mktemp("there")
    for path in source.glob("*.py"):
        shutil.copy(path, there)
    for name in ("users_net", "doubled_here", "harness_model_users_net"):
        sys.modules.pop(name, None)
    sys.path.remove(str(source))
    monkeypatch.syspath_prepend(str(there))
    assert model_definition(find_model(f"{there}/users_net.py:build")) == before


def test_two_files_of_one_name_are_two(tmp_path):
    models = []
    for folder, factor in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        text = f"from torch import nn\nclass Net(nn.Linear):\n    def forward(self, x): return {factor} * x\n"
        (tmp_path / folder / "net.py").write_text(f"{text}def build(): return Net(2, 2)\n")
        models.append(find_model(f"{tmp_path}/{folder}/net.py:build"))
    assert model_definition(models[0]) != model_definition(models[1])


def test_interactive_code_counts_by_what_it_was_compiled_to():
    def typed(text):
        space = {"__name__": "__main__", "nn": nn}
        exec(compile(textwrap.dedent(text), "<cell>", "exec"), space)
        return loaded(space["Net"](), 2)

    text = """
    class Net(nn.Linear):
        def __init__(self): super().__init__(2, 2)
        def forward(self, x): return 2 * x
    """
    main = sys.modules["__main__"]
    path = main.__dict__.pop("__file__", None)
    try:
        assert model_definition(typed(text)) == model_definition(typed(text))
        assert model_definition(typed(text)) != model_definition(typed(text.replace("2 * x", "3 * x")))
    finally:
        if path is not None:
            main.__file__ = path


def test_an_edit_is_another_run_and_a_line_names_the_old_one(source, capsys):
    first = run_of(source / "results")
    path = source / "users_net.py"
    path.write_text(path.read_text() + "\n# a comment\n")
    capsys.readouterr()
    second = run_of(source / "results")
    assert second.folder != first.folder
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"the code of model 'net' is not that of {first.folder}: it is measured again"


def test_values_beside_the_tensors_and_hooks_count():
    plain, steep = (model_definition(loaded(nn.LeakyReLU(slope), 2)) for slope in (0.1, 0.2))
    assert plain != steep
    hooked = nn.LeakyReLU(0.1)
    hooked.register_full_backward_hook(lambda module, grad, out: None)
    assert model_definition(loaded(hooked, 2)) != plain


def test_packages_are_known_by_version():
    assert class_definition(nn.Linear) is None
    assert class_definition(SmallNet) is not None
    zoo = find_model("standard")
    assert model_definition(zoo) is None


def test_what_is_installed_is_looked_at_once_for_all_classes_of_a_model(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    layers = "".join(f"class Layer{k}(nn.Identity):\n    pass\n\n\n" for k in range(5))
    (folder / "stranger.py").write_text(f"from torch import nn\n\n\n{layers}__version__ = '7'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    stranger = importlib.import_module("stranger")
    looks, look = [], identity.metadata.packages_distributions
    monkeypatch.setattr(identity.metadata, "packages_distributions", lambda: looks.append(1) or look())
    parts = [getattr(stranger, f"Layer{k}")() for k in range(5)]
    before = model_definition(loaded(nn.Sequential(*parts), 2))
    assert len(looks) == 1
    stranger.__version__ = "8"
    assert model_definition(loaded(nn.Sequential(*parts), 2)) != before
    sys.modules.pop("stranger")


PUBLISHED = sorted((ROOT / "leaderboard" / "published").glob("*.run.json"))


def test_keys_of_zoo_models_are_those_that_were_published():
    names = {}
    for path in PUBLISHED:
        info = json.loads(path.read_text())["info"]
        model = names.setdefault(info["model"]["name"], find_model(info["model"]["name"]))
        told = {"name": model.name, "sha256": weights_of(model)}
        assert model_definition(model) is None
        key = key_of({name: info[name] for name in KEYED} | {"model": told})
        assert path.name == f"{info['run_name']}.run.json"
        assert info["run_name"].endswith(key[:12])
    assert len(names) == 7
