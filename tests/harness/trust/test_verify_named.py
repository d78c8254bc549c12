"""What a run names of models and data is taken from nowhere that a stranger could have put it."""

import json

import numpy as np
import pytest
from verifying import verified

from harness.cli import main
from harness.trust import ledger


def test_code_that_a_run_names_is_not_run(work, capsys):
    """A stranger's run may name a file that came with it; only installed names are taken from a run."""
    (run,) = work.glob("results/[!.]*")
    (run / "evil.py").write_text(f"open({str(work / 'ran')!r}, 'w')\ndef make():\n    raise SystemExit\n")
    info = json.loads((run / "run.json").read_text())
    (work / "mine.py:tiny").mkdir()
    (work / "mine.py:tiny" / "card.toml").write_text('weights = {file = "card.toml"}')
    for name in (
        f"{run}/evil.py:make",
        f"results/{run.name}/evil.py:make",
        "mine.py:tiny",
        "mine.py:tiny/card.toml",
        "",
    ):
        info["model"]["name"] = info["given"]["model"] = name
        (run / "run.json").write_text(json.dumps(info))
        assert main(["verify", str(run)]) == 2
        assert "say where it is with --model" in capsys.readouterr().err
    assert not (work / "ran").exists()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("shapes.npz", 0, "breaks verified"),
        ("HERE/shapes.npz", 2, "data 'arrays-shapes-test', slice"),
        ("../work/shapes.npz", 2, "data 'arrays-shapes-test', slice"),
        ("gone.npz", 2, "data 'arrays-shapes-test', slice"),
        ("others.npz", 2, "data 'arrays-shapes-test', slice"),
    ],
)
def test_data_that_a_run_names_are_taken_by_their_hash_alone_from_below_here(work, capsys, given, code, said):
    drawn = np.random.default_rng(0)
    for name in ("shapes", "others"):
        images = drawn.integers(0, 256, (90, 32, 32, 3), dtype=np.uint8)
        np.savez(f"{name}.npz", images=images, labels=np.arange(90) % 43)
    words = ["--suite", "fgsm", "--device", "cpu", "--force", "--results", "own"]
    assert main(["eval", "--model", "mine.py:tiny", "--data", "shapes.npz", *words]) == 0
    (run,) = work.glob("own/[!.]*")
    info = json.loads((run / "run.json").read_text())
    info["given"]["data"] = given.replace("HERE", str(work))
    (run / "run.json").write_text(json.dumps(info))
    capsys.readouterr()
    assert verified(str(run)) == code
    told = capsys.readouterr()
    assert said in told.out + told.err
    assert verified(str(run), "--data", "shapes.npz") == 0
    assert ledger.verified(run).verdict == "breaks verified"
