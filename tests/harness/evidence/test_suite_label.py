"""What a suite is called: a built-in name stands for the built-in attacks, and everything else under it says so."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from harness.errors import UnknownName
from harness.evidence.run_info import DataInfo, RunInfo
from harness.evidence.store import RunStore
from harness.evidence.suite_info import AttackInfo, SuiteInfo
from harness.evidence.suite_label import definition, difference, shown_label
from harness.inputs.suite_file import load_suite, read_suite
from harness.inputs.suite_names import BUILT_IN
from harness.trust.diagnosis.names import names

N = 64
GOLDEN = next((Path(__file__).parents[2] / "golden").glob("fgsm-mini-*"))


def told(built_in: str, /, **changes) -> SuiteInfo:
    """A run's account of the built-in suite `built_in`, with `changes`."""
    suite = load_suite(built_in)
    attacks = tuple(
        AttackInfo(
            id=a.id, tool=a.tool, tool_version="1", method=a.method, kind="budget", iterative=True, components=(),
            params=dict(a.params), resolved={}, caveats=(),
            n=None if a.n is None else count, chunk=a.chunk, after=a.after,
        )
        for a, count in zip(suite.attacks, suite.counts(N), strict=True)
    )  # fmt: skip
    info = SuiteInfo(
        name=suite.name, version=suite.version, label=suite.label, norm=suite.norm,
        labels=tuple(e.label for e in suite.grid), epsilons=tuple(e.value for e in suite.grid), chunk=suite.chunk,
        attacks=attacks, other_threat=None if suite.threat == "ball" else suite.threat,
    )  # fmt: skip
    return structs.replace(info, **changes)


def of(suite: SuiteInfo, n: int = N) -> RunInfo:
    """A run of that suite on `n` samples."""
    return structs.replace(RunStore(GOLDEN).read_info(), suite=suite, data=DataInfo(name="d", slice="s", n=n))


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.toml")))
def test_a_built_in_suite_keeps_its_name_on_any_grid(name: str) -> None:
    version = load_suite(name).version
    for suite in (told(name), told(name, labels=("3/255",), epsilons=(3 / 255,))):
        assert shown_label(of(suite)) == f"{name.partition('@')[0]}@{version}"
    assert names(of(told(name))) == []


def test_another_n_is_told_beside_the_name_and_hidden_it_is_an_error(monkeypatch) -> None:
    """A suite's n is at most, so on a small slice it is the slice's."""
    first, second, third = load_suite("standard@1").attacks
    suite = replace(load_suite("standard@1"), attacks=(first, second, replace(third, n=1024, chunk=128)))
    monkeypatch.setattr("harness.evidence.suite_label.versions_of", lambda name: {1: suite})
    one, two, last = told("standard@1").attacks
    runs = {n: told("standard@1", attacks=(one, two, structs.replace(last, n=n, chunk=128))) for n in (200, 384, 1024)}
    assert shown_label(of(runs[1024], 2000)) == shown_label(of(runs[200], 200)) == "standard@1"
    assert names(of(runs[1024], 2000)) == names(of(runs[200], 200)) == []
    assert "(edited: " in shown_label(of(runs[384], 2000))
    (finding,) = names(of(runs[384], 2000))
    assert (finding.check, finding.level) == ("P27", "error")
    assert "autoattack ran on another n than the suite's" in finding.message
    said = structs.replace(runs[384], edited=("autoattack",))
    assert "(edited: " in shown_label(of(said, 2000))
    assert names(of(said, 2000)) == []


def test_a_weak_suite_under_a_built_in_name_says_so() -> None:
    (attack,) = told("pgd").attacks
    weak = told("pgd", attacks=(structs.replace(attack, params={**attack.params, "step_size": 1e-6}),))
    assert shown_label(of(weak)) == f"pgd@1 (edited: {definition(weak)[:4]})"
    assert definition(weak) != definition(told("pgd"))
    (finding,) = names(of(weak))
    assert (finding.check, finding.level) == ("P27", "error")
    assert "its attacks are not those of the built-in suite of that name" in finding.message


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
    suite = told("standard@1", name=name, label=f"{name}@1")
    assert ("(edited: " in shown_label(of(suite))) == shown
    assert (difference(suite) is not None) == shown
    assert bool(names(of(suite))) == shown


def test_versions_norms_chunks_and_labels_of_nobody_say_so() -> None:
    assert "no such version" in str(difference(told("standard", version=9, label="standard@9")))
    assert "not those of the built-in" in str(difference(told("standard", norm="l2")))
    assert "not those of the built-in" in str(difference(told("standard", chunk=64)))
    assert "label is not that of name 'mine'" in str(difference(told("fgsm", name="mine", label="standard@1")))


def test_an_attack_under_anothers_id_is_an_error() -> None:
    (attack,) = told("fgsm").attacks
    suite = told("fgsm", name="mine", label="mine@1", attacks=(structs.replace(attack, id="autoattack"),))
    assert [(f.check, f.level) for f in names(of(suite))] == [("P27", "error")]


def test_a_version_can_be_asked_for() -> None:
    assert load_suite("standard@2") == load_suite("standard")
    assert [attack.id for attack in load_suite("standard@1").attacks] == ["fgsm", "pgd-20", "autoattack"]
    with pytest.raises(UnknownName, match="did you mean 'standard@"):
        load_suite("standard@3")
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

    monkeypatch.setattr("harness.inputs.suite_file.Registry", Suites)
    assert load_suite("fgsm").version == load_suite("fgsm@2").version == 2
    assert load_suite("fgsm@1") == read_suite(BUILT_IN / "fgsm.toml")
    with pytest.raises(UnknownName, match="fgsm@3"):
        load_suite("fgsm@3")


@pytest.mark.parametrize(
    ("name", "letter"),
    [("tr\u0430des", "U+0430 (Cyrillic)"), ("s\u03bfund-8", "U+03BF (Greek)"), ("\uff53tandard", "U+FF53 (Fullwidth)")],
)
def test_a_models_name_that_may_pass_for_anothers_is_a_warning(name, letter) -> None:
    info = of(told("pgd"))
    (finding,) = names(structs.replace(info, model=structs.replace(info.model, name=name)))
    assert (finding.check, finding.level) == ("P27", "warn")
    assert f"the model's name has {letter} among Latin letters" in finding.message


@pytest.mark.parametrize(
    "name",
    ["trades", "\u03b2-vae", "\u043c\u043e\u0434\u0435\u043b\u044c-v2", "\u6a21\u578bA", "\u00b5net", "na\u00efve"],
)
def test_names_in_other_alphabets_are_names(name) -> None:
    info = of(told("pgd"))
    assert names(structs.replace(info, model=structs.replace(info.model, name=name))) == []
