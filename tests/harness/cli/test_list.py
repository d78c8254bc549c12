"""``harness list``: a screen of names, and everything about one."""

import json

import pytest

from harness.cli import main
from harness.inputs.registry import Registry


def test_attacks_fit_a_screen_and_every_one_is_named(capsys) -> None:
    assert main(["list", "attacks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    tool, tools = "", {}
    for word in " ".join(lines[:-1]).split():
        if word.endswith(":"):
            tool = word.removesuffix(":")
        else:
            tools.setdefault(tool, []).append(word.removesuffix(","))
    named = {f"{tool}.{method}" for tool, methods in tools.items() for method in methods}
    assert named == set(Registry("attacks").names())
    assert lines[-1] == f"{len(named)} attacks. One of them: harness list attacks {min(named)}"


def test_one_attack_has_its_norms_parameters_options_and_caveats(capsys) -> None:
    assert main(["list", "attacks", "art.boundary"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "norms l2" in lines
    assert "kind decision" in lines
    assert "parameters.trials a whole number, at least 1" in lines
    assert "options.restarts a whole number, at least 1; default 1" in lines
    assert any(line.startswith("caveats starts from an image drawn by the adapter") for line in lines)


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("suites", "standard", "attack[1].params.step_size epsilon/4"),
        ("datasets", "gtsrb", "pictures False"),
        ("models", "standard", "claims.gtsrb-test.n 12630"),
        ("defenses", "trades", "name trades"),
    ],
)
def test_one_of_every_kind(capsys, kind: str, name: str, line: str) -> None:
    assert main(["list", kind, name]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"name {name}" in lines
    assert line in lines
    assert not any("…" in line for line in lines), "nothing is cut"
    assert main(["list", kind, name, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["data"]
    assert found["name"] == name


def test_a_name_that_is_none_is_told_with_the_nearest(capsys) -> None:
    assert main(["list", "attacks", "torchattacks.pdg"]) == 2
    assert "unknown attack 'torchattacks.pdg'; did you mean 'torchattacks.pgd'" in capsys.readouterr().err
