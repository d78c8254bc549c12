"""The built-in suites: they resolve, and they ask for what their names promise."""

from importlib.resources import files

import pytest

from adapters.autoattack.budget import standard
from harness.inputs.suite_file import load_suite, read_suite

SUITES = sorted(files("harness").joinpath("suites").iterdir(), key=str)
GRID = ["1/255", "2/255", "4/255", "8/255"]
FRONTS = {
    "standard": ["fgsm", "pgd-20", "apgd-dlr-20", "apgd-t-20"],
    "autoattack": ["apgd-ce-20", "apgd-dlr-20", "apgd-t-10"],
    "l2": ["fgm", "pgd-20", "apgd-t-20"],
    "l1": ["apgd-ce-20", "apgd-t-20"],
}
"""What runs before AutoAttack's parts in the suites that give its verdict."""


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_every_attack_resolves_with_all_its_parameters(path):
    suite = read_suite(path)
    assert path.name in (f"{suite.name}.toml", f"{suite.label}.toml")
    for attack, spec in zip(suite.resolve(), suite.attacks, strict=True):
        for epsilon in suite.grid:
            record = attack.parameters(epsilon.value)
            assert set(spec.params) <= set(record)
            assert not [key for key, value in record.items() if "epsilon" in str(value)]


@pytest.mark.parametrize("name", ["fgsm", "pgd", "autoattack", "standard", "crosstool", "blackbox"])
def test_built_in_suites(name):
    suite = read_suite(files("harness").joinpath("suites", f"{name}.toml"))
    attacks = {spec.id: f"{spec.tool}.{spec.method}" for spec in suite.attacks}
    assert {spec.params["step_size"] for spec in suite.attacks if "step_size" in spec.params} <= {"epsilon/4"}
    assert [epsilon.label for epsilon in suite.grid] == GRID
    assert (suite.norm, suite.chunk) == ("linf", 512)
    assert suite.description
    assert suite.mode_is_set == (name == "crosstool")  # elsewhere the user may choose
    for label, method in attacks.items():
        assert ("autoattack" in label) == (method == "autoattack.standard")  # nothing else bears the name


@pytest.mark.parametrize(("name", "grid"), [("l2", [0.25, 0.5, 1.0]), ("l1", [4.0, 8.0, 12.0])])
def test_suites_of_the_other_norms(name, grid):
    suite = read_suite(files("harness").joinpath("suites", f"{name}.toml"))
    assert (suite.norm, suite.threat, [epsilon.value for epsilon in suite.grid]) == (name, "ball", grid)
    assert suite.attacks[0].n is None
    assert suite.counts(1290)[-4:] == (192,) * 4  # a tenth, in whole chunks of 64
    own = [attack.budget.larger_radii for attack in suite.resolve() if attack.spec.method.startswith("apgd")]
    assert own == [name == "l1"] * len(own)  # as in the paper on l1


@pytest.mark.parametrize("name", FRONTS)
def test_the_verdict_is_that_of_the_four_standard_parts(name):
    """Parts at the strength of version standard, each on what is left, on one prefix: together they are AutoAttack."""
    suite = load_suite(name)
    front, parts = suite.attacks[: len(FRONTS[name])], suite.attacks[len(FRONTS[name]) :]
    assert [spec.id for spec in front] == FRONTS[name]
    budget = standard(suite.norm)
    assert tuple(spec.method for spec in parts) == budget.components
    for spec, attack in zip(parts, suite.resolve()[len(front) :], strict=True):
        kind = "minimum" if spec.method == "fab-t" else "budget"  # one run of FAB-T serves all epsilons
        assert (spec.after, spec.n, attack.kind) == ("all", parts[0].n, kind)
        told, own = attack.budget.as_dict(), budget.as_dict()
        assert {key: told[key] for key in spec.params if key in told} == {
            key: own[key] for key in spec.params if key in own
        }
        targets = {"apgd-t": budget.apgd_targets, "fab-t": budget.fab_targets}.get(spec.method)
        assert spec.params.get("target_classes") == targets
        assert spec.params["restarts"] == (budget.apgd_restarts if spec.method == "apgd-ce" else 1)
    assert suite.counts(64) == (64,) * len(suite.attacks)


@pytest.mark.parametrize("name", ["standard", "autoattack"])
def test_the_first_version_has_autoattack_as_one_attack(name):
    whole = load_suite(f"{name}@1").attacks[-1]
    assert (f"{whole.tool}.{whole.method}", whole.n) == ("autoattack.standard", None)


def test_crosstool_pairs_have_the_same_parameters():
    suite = read_suite(files("harness").joinpath("suites", "crosstool.toml"))
    assert suite.mode == "faithful"
    params = {spec.id: dict(spec.params) for spec in suite.attacks}
    for label, given in params.items():
        tool, _, plain = label.rpartition("/")
        if tool:
            shared = set(given) & set(params[plain])
            assert {key: given[key] for key in shared} == {key: params[plain][key] for key in shared}
            assert set(given) - shared <= {"random_start", "loss", "rho"}
    assert not any(given.get("random_start") for given in params.values())
