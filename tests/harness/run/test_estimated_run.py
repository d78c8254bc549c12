"""A run whose dear attack sees a prefix: its summary, table, result and words."""

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from toys import CASCADE, SmallNet, labeled, loaded

from harness.base.estimates import Factor, join, monotone
from harness.base.threat import parse_grid
from harness.cli import main
from harness.cli.report import print_result
from harness.evidence.facts import BROKEN
from harness.evidence.store import RunStore
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.run.api import evaluate as api
from harness.run.job import Options, evaluate
from harness.run.result import Result
from harness.types import AttackSpec

PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 3, "step_size": "epsilon/4", "random_start": True})
N, PREFIX = 60, 24
DEAR = replace(CASCADE, n=PREFIX, chunk=8, after="all")


@pytest.fixture(scope="module")
def data():
    return labeled(SmallNet(), N, wrong=4)


def measured(folder, data, *attacks, **options):
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["1/255", "4/255", "8/255"]),
        mode="observed",
        chunk=16,
        attacks=attacks,
    )
    given = Options(folder, batch_size=16, device="cpu", precision="exact", **options)
    return evaluate(loaded(SmallNet(), 5), suite, data, given)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return measured(tmp_path_factory.mktemp("estimated"), data, PGD, DEAR)


def test_the_summary_is_the_product_of_what_the_facts_say(run, data):
    """Counted here with sets, from the facts alone."""
    assert run.complete
    assert run.summary["schema"] == 2
    for name in ("summary", "run"):
        schema = json.loads(files("harness").joinpath(f"schemas/{name}.json").read_text())
        jsonschema.validate(RunStore(run.folder).read_json(f"{name}.json"), schema)
    prefix = set(make_slice(data, None, 16).indices[:PREFIX].tolist())
    rows = [row for row in run.facts.to_pylist() if row["component"] is None]
    standing = {row["sample_id"] for row in rows if row["attack"] == "clean" and row["outcome"] == "survived"}
    left, expected = standing & prefix, []
    for worst in run.summary["worst_case"]:
        here = [row for row in rows if row["epsilon"] == worst["epsilon"] and row["outcome"] in BROKEN]
        standing -= {row["sample_id"] for row in here if row["attack"] == "pgd"}
        left -= {row["sample_id"] for row in here}
        full, further = worst["factors"]
        assert full == {"attacks": ["pgd"], "n": N, "kept": len(standing), "drawn": N}
        drawn = len(standing & prefix)
        assert further == {"attacks": ["short"], "n": PREFIX, "kept": len(left), "drawn": drawn}
        expected.append(join(Factor(len(standing), N), [Factor(len(left), drawn)]))
    assert min(row["factors"][1]["kept"] / row["factors"][1]["drawn"] for row in run.summary["worst_case"]) < 1
    for worst, shown in zip(run.summary["worst_case"], monotone(expected), strict=True):
        assert worst["status"] == "estimated"
        assert (worst["robust_accuracy"], tuple(worst["ci95"])) == (shown.accuracy, shown.interval)
    cells = [cell for cell in run.summary["cells"] if cell["attack"] == "short"]
    assert {(cell["n"], cell["status"]) for cell in cells} == {(PREFIX, "ok")}
    assert sum(cell["transferred"] for cell in cells) > 0


def test_without_a_prefix_nothing_changes(data, tmp_path):
    plain = measured(tmp_path, data, PGD, replace(CASCADE, chunk=8))
    assert plain.summary["schema"] == 1
    assert {tuple(row) for row in plain.summary["worst_case"]} == {
        ("epsilon", "epsilon_label", "robust_accuracy", "ci95")
    }
    assert "est." not in str(Result(plain, loaded(SmallNet(), 5), data))


def test_tables_and_results_say_est(run, data, capsys):
    print_result(run)
    printed = capsys.readouterr().out
    shown = run.summary["worst_case"][1]
    low, high = (f"{100 * bound:.1f}" for bound in shown["ci95"])
    words = f"{100 * shown['robust_accuracy']:.1f} [{low}, {high}] est."
    assert words in printed
    assert "short, n=24" in printed
    about = "est.: pgd ran on all 60 samples, short on the first 24; the worst case is the share that stands on all"
    assert about in printed
    result = Result(run, loaded(SmallNet(), 5), data)
    assert words in str(result)
    assert about in str(result)
    assert "est." in repr(result)
    assert result.robust_accuracy("4/255") == shown["robust_accuracy"]
    assert result.robust_accuracy("4/255", "short") is not None
    statuses = result.metrics.set_index("attack")["status"]
    assert set(statuses["worst case"]) == {"estimated"}
    assert set(statuses["pgd"]) == set(statuses["short"]) == {"ok"}


def test_another_n_is_said_to_be_edited(data, tmp_path, capsys):
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["4/255"]),
        mode="observed",
        chunk=16,
        attacks=(PGD, replace(PGD, id="more", n=16)),
    )
    given = Options(tmp_path, batch_size=16, device="cpu", precision="exact")
    edited = evaluate(loaded(SmallNet(), 5), suite.with_attack_n({"more": 32}), data, given)
    same = evaluate(loaded(SmallNet(), 5), suite.with_attack_n({"more": 16}), data, given)
    plain = evaluate(loaded(SmallNet(), 5), suite, data, given)
    assert edited.info.suite.edited == ("more",)
    assert same.info.key == plain.info.key != edited.info.key
    print_result(edited)
    assert "more, n=32 (edited)" in capsys.readouterr().out


def test_a_long_finding_stays_one_line_in_a_log(run, capsys):
    message = "word " * 60 + "end"
    finding = {"check": "P8", "level": "warn", "message": message}
    print_result(replace(run, summary={**run.summary, "findings": [finding]}))
    assert f"warn: P8: {message}" in capsys.readouterr().out.splitlines()


def test_on_a_smaller_slice_every_attack_runs_on_all(data, tmp_path):
    """The n of a suite means at most; then nothing is estimated."""
    found = measured(tmp_path, data, PGD, DEAR, n=20, until=2)
    assert found.info.drawn == {"pgd": 20, "short": 20}
    assert (found.summary["schema"], found.info.estimated) == (1, False)
    (said,) = [finding for finding in found.summary["findings"] if finding["check"] == "until"]
    assert "because the samples ended" in said["message"]


SUITE = """\
name = "mine"
version = 1
norm = "linf"
epsilons = ["8/255"]
chunk = 16

[[attack]]
id = "fgsm"
tool = "torchattacks"
method = "fgsm"

[[attack]]
id = "again"
tool = "torchattacks"
method = "fgsm"
n = 16
chunk = 8
"""


def test_the_options_of_the_command(tmp_path, capsys):
    """Two attacks that do the same: the second leaves all that stands, whatever prefix it is given."""
    (tmp_path / "s.toml").write_text(SUITE)
    (tmp_path / "mine.txt").write_text("\n".join(str(i) for i in range(3, 67, 2)))
    base = ["eval", "--model", "trades", "--suite", str(tmp_path / "s.toml"), "--results", str(tmp_path / "r")]
    base += ["--precision", "exact", "--force", "--json", "--ids", str(tmp_path / "mine.txt")]
    assert main([*base, "--attack-n", "again=8"]) == 0
    told = json.loads(capsys.readouterr().out)
    (worst,) = told["worst_case"]
    full, further = worst["factors"]
    assert (told["schema"], told["ids"]["name"], told["n"]) == (2, "mine", 32)
    assert (further["attacks"], further["n"], further["kept"]) == (["again"], 8, further["drawn"])
    assert worst["robust_accuracy"] == full["kept"] / 32
    assert main([*base, "--until", "20"]) == 0
    (worst,) = json.loads(capsys.readouterr().out)["worst_case"]
    assert worst["ci95"][1] - worst["ci95"][0] <= 0.4
    wrong = {
        ("--attack-n", "fgsm=8"): "no attack runs on all samples: the first, 'fgsm', has n = 8",
        ("--attack-n", "again=40"): "n = 40 of attack 'again' is more than the slice's 32 samples",
        ("--attack-n", "again=9"): "n = 9 of attack 'again' is no multiple of its chunk, 8; take 8 or 16",
        ("--attack-n", "other=8"): "the suite has no attack 'other'; it has fgsm, again",
        (
            "--until",
            "2",
            "--attack-n",
            "again=all",
        ): "--until 2 cannot be reached: every attack of suite 'mine'",
        ("--n", "8"): "--n 8 and --ids are two choices of samples; give one of them",
    }
    for words, message in wrong.items():
        assert main([*base, *words]) == 2
        err = capsys.readouterr().err.strip().splitlines()
        assert message in err[-1], err


def test_the_same_from_python(data, tmp_path):
    attacks, grid = (PGD, replace(PGD, id="more")), parse_grid(["4/255"])
    suite = Suite(name="toy", version=1, norm="linf", grid=grid, mode="observed", chunk=16, attacks=attacks)
    plain = (data.images, data.labels)
    options = {"device": "cpu", "batch_size": 16, "precision": "exact", "progress": False, "results": tmp_path}
    result = api(SmallNet(), suite, plain, attack_n={"more": 0.5}, **options)
    assert result.run.info.drawn == {"pgd": 60, "more": 32}
    assert result.summary["worst_case"][0]["status"] == "estimated"
