"""What a suite is called: a built-in name stands for the built-in attacks, and everything else under it says so."""

import msgspec
import pytest

from harness.errors import UnknownName
from harness.evidence.run_info import AttackInfo, SuiteInfo
from harness.evidence.suite_label import definition, difference, shown_label
from harness.inputs.suite import load_suite, read_suite
from harness.inputs.suite_names import BUILT_IN
from harness.trust.diagnosis.names import names


def told(built_in: str, /, **changes) -> SuiteInfo:
    """A run's account of the built-in suite `built_in`, with `changes`."""
    suite = load_suite(built_in)
    attacks = tuple(
        AttackInfo(
            id=a.id, tool=a.tool, tool_version="1", method=a.method, kind="budget", iterative=True, components=(),
            params=dict(a.params), resolved={}, caveats=(), n=count if a.n is not None else None, chunk=a.chunk,
        )
        for a, count in zip(suite.attacks, suite.counts(2000), strict=True)
    )  # fmt: skip
    info = SuiteInfo(
        name=suite.name, version=suite.version, label=suite.label, norm=suite.norm,
        labels=tuple(e.label for e in suite.grid), epsilons=tuple(e.value for e in suite.grid), chunk=suite.chunk,
        attacks=attacks, other_threat=None if suite.threat == "ball" else suite.threat,
    )  # fmt: skip
    return msgspec.structs.replace(info, **changes)


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.toml")))
def test_a_built_in_suite_keeps_its_name_on_any_grid(name: str) -> None:
    assert shown_label(told(name)) == f"{name}@1"
    assert shown_label(told(name, labels=("3/255",), epsilons=(3 / 255,))) == f"{name}@1"
    assert names(told(name)) == []


def test_a_weak_suite_under_a_built_in_name_says_so() -> None:
    (attack,) = told("pgd").attacks
    weak = told("pgd", attacks=(msgspec.structs.replace(attack, params={**attack.params, "step_size": 1e-6}),))
    assert shown_label(weak) == f"pgd@1 (edited: {definition(weak)[:4]})"
    assert definition(weak) != definition(told("pgd"))
    (finding,) = names(weak)
    assert (finding.check, finding.level) == ("P27", "error")
    assert "its attacks are not those of the built-in suite of that name" in finding.message


def test_what_a_share_came_to_is_no_edit_and_an_n_that_was_given_is() -> None:
    *cheap, dear = told("l2").attacks
    assert dear.n == 256  # a tenth of 2,000, in chunks of 64
    given = (*cheap, msgspec.structs.replace(dear, n=64))
    assert shown_label(told("l2", attacks=given)) == "l2@1"  # a tenth of another slice
    assert "not those of the built-in" in str(difference(told("l2", attacks=given, edited=(dear.id,))))
    assert "not those of the built-in" in str(difference(told("l2", attacks=tuple(cheap))))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Standard", True), ("STANDARD", True), ("stan-dard", True), ("standard ", True),
        ("standard@1 (verified)", True), ("st\u0430ndard", True), ("\uff53tandard", True), ("fgsm_pgd", True),
        ("standards", False), ("mine", False),
        ("\u0441\u0442\u0430\u043d\u0434\u0430\u0440\u0442", False),
    ],
)  # fmt: skip
def test_a_name_that_could_be_taken_for_a_built_in_one_says_so(name: str, shown: bool) -> None:
    suite = told("standard", name=name, label=f"{name}@1")
    assert ("(edited: " in shown_label(suite)) == shown
    assert (difference(suite) is not None) == shown
    assert bool(names(suite)) == shown


def test_versions_norms_chunks_and_labels_of_nobody_say_so() -> None:
    assert "no such version" in str(difference(told("standard", version=2, label="standard@2")))
    assert "not those of the built-in" in str(difference(told("standard", norm="l2")))
    assert "not those of the built-in" in str(difference(told("standard", chunk=64)))
    assert "label is not that of name 'mine'" in str(difference(told("fgsm", name="mine", label="standard@1")))


def test_an_attack_under_anothers_id_is_an_error() -> None:
    (attack,) = told("fgsm").attacks
    suite = told("fgsm", name="mine", label="mine@1", attacks=(msgspec.structs.replace(attack, id="autoattack"),))
    assert [(f.check, f.level) for f in names(suite)] == [("P27", "error")]


def test_a_version_can_be_asked_for() -> None:
    assert load_suite("standard@1") == load_suite("standard")
    with pytest.raises(UnknownName, match="did you mean 'standard@1'"):
        load_suite("standard@2")
    with pytest.raises(UnknownName):
        load_suite("nosuch@1")


def test_an_older_version_is_read_from_its_own_file(tmp_path, monkeypatch) -> None:
    package = tmp_path / "shelf" / "suites"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    text = (BUILT_IN / "fgsm.toml").read_text()
    (package / "fgsm.toml").write_text(text.replace("version = 1", "version = 2"))
    (package / "fgsm@1.toml").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    class Entry:
        module, package = "shelf", "shelf"

    class Suites:
        def __init__(self, kind: str) -> None: ...
        def __contains__(self, name: object) -> bool:
            return name in ("fgsm", "torchattacks.fgsm")

        def get(self, name: str) -> Entry:
            return Entry()

    monkeypatch.setattr("harness.inputs.suite.Registry", Suites)
    assert load_suite("fgsm").version == load_suite("fgsm@2").version == 2
    assert load_suite("fgsm@1") == read_suite(BUILT_IN / "fgsm.toml")
    with pytest.raises(UnknownName, match="fgsm@3"):
        load_suite("fgsm@3")
