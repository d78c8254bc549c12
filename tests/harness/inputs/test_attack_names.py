"""Ids of attacks: a name that says more than the attack is, is refused; names that are true are not."""

from pathlib import Path

import pytest

from harness.errors import BadSuite
from harness.inputs.attack_names import misnamed
from harness.inputs.suite_file import read_suite
from harness.inputs.suite_names import BUILT_IN

TRUE = [
    ("autoattack", "autoattack", "standard", {}),
    ("autoattack-standard", "autoattack", "standard", {"individual": True}),
    ("autoattack/square-5000", "autoattack", "square", {"queries": 5000}),
    ("autoattack/custom", "autoattack", "custom", {"components": ["apgd-ce"]}),
    ("pgd", "torchattacks", "pgd", {"steps": 40}),
    ("PGD-20", "art", "pgd", {"steps": 20}),
    ("art/pgd-20", "art", "pgd", {"steps": 20}),
    ("pgd-20x3", "torchattacks", "pgd", {"steps": 20, "restarts": 3}),
    ("pgd-50-runner-up", "torchattacks", "pgd", {"steps": 50, "target": "kth:1"}),
    ("pgd-7", "torchattacks", "pgdl2", {"steps": 7}),
    ("fgsm-2", "torchattacks", "fgsm", {}),
    ("cw", "art", "cw-linf", {"steps": 10}),
    ("apgd-t", "torchattacks", "apgdt", {"steps": 10}),
    ("torchattacks/apgd-ce", "torchattacks", "apgd", {"steps": 100, "loss": "ce"}),
    ("apgd-square", "autoattack", "custom", {"components": ["apgd-ce", "square"]}),
    ("strongest", "torchattacks", "fgsm", {}),
    ("standard-pgd", "torchattacks", "pgd", {"steps": 1}),
    ("mine/pgd-20", "mine", "step", {}),
    ("step", "mine", "step", {}),
]
FALSE = [
    ("autoattack", "torchattacks", "pgd", {"steps": 1}, "says AutoAttack, which is autoattack.standard"),
    ("auto-attack", "autoattack", "apgd-ce", {}, "all four parts together; this is autoattack.apgd-ce"),
    ("AutoAttack_lite", "autoattack", "custom", {"components": ["square"]}, "this is autoattack.custom"),
    ("autoattack-custom", "autoattack", "custom", {"components": ["square"]}, "says AutoAttack"),
    ("art/autoattack", "art", "cascade", {}, "this is art.cascade"),
    ("aa", "torchattacks", "cascade-10", {}, "this is torchattacks.cascade-10"),
    ("autoattack/square-5000", "autoattack", "square", {"queries": 50}, "says 5000, and its queries are 50"),
    ("pgd-20", "torchattacks", "pgd", {"steps": 1}, "says 20, and its steps are 1"),
    ("pgd-20x3", "torchattacks", "pgd", {"steps": 20}, "says 3 restarts, and it has 1"),
    ("pgd20", "torchattacks", "fgsm", {}, "says pgd; this is torchattacks.fgsm"),
    ("strong-pgd", "torchattacks", "fgsm", {}, "says pgd; this is torchattacks.fgsm"),
    ("pgd-20", "autoattack", "standard", {}, "says pgd; this is autoattack.standard"),
    ("square", "autoattack", "custom", {"components": ["apgd-ce"]}, "says square; this is autoattack.custom"),
    ("art/pgd-20", "torchattacks", "pgd", {"steps": 20}, "says it is of art; this is torchattacks.pgd"),
    ("torchattacks/apgd-ce", "torchattacks", "apgd", {"loss": "dlr"}, "says loss ce, and its loss is 'dlr'"),
    ("pgd-20", "mine", "step", {}, "is a name of art, torchattacks; call mine.step mine/pgd-20"),
    ("pgd\u201020", "torchattacks", "pgd", {"steps": 20}, "is none: letters, digits"),
    ("\u0440gd-20", "torchattacks", "fgsm", {}, "is none: letters, digits"),
]


@pytest.mark.parametrize("attack", TRUE, ids=lambda attack: attack[0])
def test_a_true_name_is_allowed(attack) -> None:
    assert misnamed(*attack) is None


@pytest.mark.parametrize("attack", FALSE, ids=lambda attack: attack[0])
def test_a_name_that_says_more_than_is_there_is_refused(attack) -> None:
    *told, why = attack
    said = misnamed(*told)
    assert said is not None
    assert why in said


def test_the_built_in_suites_are_named_truly() -> None:
    files = sorted(BUILT_IN.glob("*.toml"))
    assert len(files) == 17  # two of them are older versions
    for path in files:
        for attack in read_suite(path).attacks:
            assert misnamed(attack.id, attack.tool, attack.method, attack.params) is None


def test_a_suite_file_with_such_an_id_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "weak.toml"
    path.write_text(
        'name = "weak"\nversion = 1\nnorm = "linf"\nepsilons = ["8/255"]\n[[attack]]\nid = "autoattack"\n'
        'tool = "torchattacks"\nmethod = "fgsm"\n'
    )
    with pytest.raises(BadSuite, match=r"weak\.toml, line 6: attack id 'autoattack' says AutoAttack"):
        read_suite(path)
