"""A user's Python file: its own name in argv, its own folder first on the path, its own modules."""

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from harness.errors import PluginError
from harness.inputs.find import find_model
from harness.inputs.identity import model_definition

NET = """
import sys
from torch import nn

ARGV = list(sys.argv)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, {classes})
    def forward(self, images):
        return self.layer(images.flatten(1)) {extra}
"""
BUILD = "from net import Net\n\ndef build():\n    return Net()\n"


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(content))
    return folder


def test_options_of_the_harness_are_not_the_file_s(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["harness", "eval", "--seed", "5", "--eps", "8/255"])
    write(
        tmp_path,
        mine="""
        import argparse, sys
        from torch import nn
        parser = argparse.ArgumentParser()
        parser.add_argument("--seed", type=int, default=3)
        AT_IMPORT = parser.parse_args().seed, list(sys.argv)

        def build():
            model = nn.Sequential(nn.Flatten(), nn.Linear(12, parser.parse_args().seed))
            model.seen = AT_IMPORT
            return model
        """,
    )
    model = find_model(f"{tmp_path}/mine.py:build")
    assert model.num_classes == 3
    assert model.module.seen == (3, [str(tmp_path / "mine.py")])
    assert sys.argv == ["harness", "eval", "--seed", "5", "--eps", "8/255"]


def test_a_file_that_wants_arguments_is_a_line(tmp_path):
    write(tmp_path, mine="import argparse\np = argparse.ArgumentParser()\np.add_argument('x')\np.parse_args()\n")
    with pytest.raises(PluginError, match=r"SystemExit: 2 \(arguments that it parses are none here"):
        find_model(f"{tmp_path}/mine.py:build")


def test_the_script_hides_its_options_from_models_that_run_later():
    code = "import sys, harness.cli as c\nc.main = lambda words, begun: print(words, sys.argv)\n"
    code += "sys.argv = ['harness', 'list', '--json']\nc.run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().startswith("['list', '--json'] ['harness']")


def test_two_folders_with_files_of_the_same_names(tmp_path):
    for folder, classes in (("a", 3), ("b", 7)):
        write(tmp_path / folder, net=NET.format(classes=classes, extra=""), mine=BUILD)
    first, second = (find_model(f"{tmp_path}/{folder}/mine.py:build") for folder in "ab")
    assert (first.num_classes, second.num_classes) == (3, 7)
    assert find_model(f"{tmp_path}/a/mine.py:build").num_classes == 3


def test_the_caller_s_module_of_the_same_name_stays_its_own(tmp_path, monkeypatch):
    write(tmp_path / "caller", net="WHOSE = 'the caller'\n")
    write(tmp_path / "model", net=NET.format(classes=4, extra=""), mine=BUILD)
    monkeypatch.delitem(sys.modules, "net", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "caller"))
    import net

    assert find_model(f"{tmp_path}/model/mine.py:build").num_classes == 4
    assert sys.modules["net"] is net
    assert net.WHOSE == "the caller"
    monkeypatch.delitem(sys.modules, "net")


def test_a_changed_module_beside_the_file_is_read_again(tmp_path):
    write(tmp_path, net=NET.format(classes=3, extra=""), mine=BUILD)
    assert find_model(f"{tmp_path}/mine.py:build").num_classes == 3
    write(tmp_path, net=NET.format(classes=11, extra="* 1"))
    assert find_model(f"{tmp_path}/mine.py:build").num_classes == 11


def test_packages_beside_the_file_and_in_the_working_folder(tmp_path, monkeypatch):
    write(tmp_path / "project" / "nets_here", small_cnn=NET.format(classes=6, extra=""))
    write(tmp_path / "project" / "config", mine="from nets_here.small_cnn import Net as build\n")
    write(tmp_path / "project", mine="def build():\n    from nets_here.small_cnn import Net\n    return Net()\n")
    assert find_model(f"{tmp_path}/project/mine.py:build").num_classes == 6
    monkeypatch.chdir(tmp_path / "project")
    assert find_model("config/mine.py:build").num_classes == 6


def test_where_a_file_lies_is_no_part_of_the_model(tmp_path):
    both = []
    for folder in "ab":
        write(tmp_path / folder, mine=NET.format(classes=3, extra="") + "\ndef build():\n    return Net()\n")
        both.append(find_model(f"{tmp_path}/{folder}/mine.py:build"))
    assert type(both[0].module).__module__ != type(both[1].module).__module__
    assert model_definition(both[0]) == model_definition(both[1])


def test_attributes_named_as_hooks_and_train_that_returns_nothing(tmp_path):
    write(
        tmp_path,
        mine="""
        from torch import nn
        class Net(nn.Linear):
            def __init__(self):
                super().__init__(12, 3)
                self.use_hooks, self._my_hooks = False, True
            def train(self, mode=True):
                super().train(mode)
            def forward(self, images):
                return super().forward(images.flatten(1))
        """,
    )
    model = find_model(f"{tmp_path}/mine.py:Net")
    assert isinstance(model.module, nn.Module)
    assert not model.module.training
    with torch.no_grad():
        assert model.module(torch.rand(2, 3, 2, 2)).shape == (2, 3)
    off = model_definition(model)
    model.module.use_hooks = True
    assert model_definition(model) != off
