"""What can be hosted: a small wheel that measures offline, and data distributions with the other checkpoints."""

import hashlib
import tomllib
import zipfile

import pytest
from fresh import ROOT, Fresh

pytestmark = [pytest.mark.install, pytest.mark.slow, pytest.mark.timeout(1800)]
CARDS = ROOT / "model_zoo" / "cards" / "models"
DATA = ("robustness-harness-zoo-more", "robustness-harness-zoo-study")
MB = 1e6


def shipped() -> dict[str, str]:
    """File of weights to its sha256, by the cards."""
    cards = [tomllib.loads(path.read_text(encoding="utf-8")) for path in CARDS.glob("*.toml")]
    return {card["weights"]["file"]: card["weights"]["sha256"] for card in cards if "weights" in card}


def weights(wheel) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/weights/" in name]
        return {name.rpartition("/")[2]: hashlib.sha256(archive.read(name)).hexdigest() for name in names}


def test_the_wheels_are_small_enough_and_hold_every_checkpoint_once(wheels):
    assert set(wheels) == {"robustness-harness", *DATA}
    assert wheels["robustness-harness"].stat().st_size <= 30 * MB
    assert all(wheels[name].stat().st_size <= 95 * MB for name in DATA)
    assert set(weights(wheels["robustness-harness"])) == {"trades.safetensors"}
    held = [item for wheel in wheels.values() for item in weights(wheel).items()]
    assert sorted(held) == sorted(shipped().items())


def test_the_extra_zoo_names_every_data_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(project["optional-dependencies"]["zoo"]) == sorted(DATA)
    names = [tomllib.loads(path.read_text())["project"]["name"] for path in ROOT.glob("distributions/*/pyproject.toml")]
    assert sorted(names) == sorted(DATA)


def test_the_plain_wheel_measures_with_what_it_declares_and_says_what_it_lacks(wheels, tmp_path):
    fresh = Fresh.create(tmp_path / "env", ["robustness-harness"])
    fresh.pip("install", "--quiet", str(wheels["robustness-harness"]))
    assert fresh.pip("check").stdout == "No broken requirements found.\n"

    done = fresh.harness("eval", "--model", "trades", "--suite", "pgd", "--n", "8", cwd=tmp_path, code=3)
    said = " ".join(done.stdout.split())
    advice = "run: pip install 'robustness-harness[torchattacks]' (beside a newer requests: pip install --no-deps torch"
    assert advice in said

    done = fresh.harness("eval", "--model", "standard", "--suite", "pgd", cwd=tmp_path, code=2)
    wanted = "weights standard.safetensors of standard are not installed; run: pip install 'robustness-harness[zoo]'"
    assert [line for line in done.stderr.splitlines() if line] == [f"harness: {wanted}"]

    suite = tmp_path / "art.toml"
    suite.write_text(
        'name = "art"\nversion = 1\nnorm = "linf"\nepsilons = ["8/255"]\n[[attack]]\nid = "fgsm"\ntool = "art"\n'
        'method = "fgsm"\nparams = { random_start = false }\n'
    )
    fresh.harness("eval", "--model", "trades", "--suite", str(suite), "--n", "8", cwd=tmp_path)
    fresh.harness("leaderboard", "-o", "page.html", cwd=tmp_path)
    words = ["train", "--defense", "standard", "--data", "signs:256", "--epochs", "1", "-o", "trained"]
    done = fresh.harness(*words, cwd=tmp_path)
    assert "little better than guessing" in done.stderr
    done = fresh.harness("train", "--defense", "s2s", "--data", "signs:256", "-o", "contrastive", cwd=tmp_path, code=2)
    assert "run: pip install 'robustness-harness[contrastive]'" in done.stderr
    done = fresh.harness("plot", "--suite", "pgd", "-o", "x.png", cwd=tmp_path, code=2)
    assert "run: pip install 'robustness-harness[figures]'" in done.stderr

    fresh.pip("install", "--quiet", *(str(wheels[name]) for name in DATA))
    listed = fresh.harness("list", "models", cwd=tmp_path).stdout
    assert "not installed" not in listed
    code = "from harness import find_model; print(find_model('standard').weights_sha256)"
    assert fresh.python("-c", code, cwd=tmp_path).stdout.strip() == shipped()["standard.safetensors"]


def test_with_torchattacks_the_main_job_and_the_self_test_run(wheels, tmp_path):
    fresh = Fresh.create(tmp_path / "env", ["robustness-harness[torchattacks]"])
    fresh.pip("install", "--quiet", f"{wheels['robustness-harness']}[torchattacks]")
    assert fresh.pip("check").stdout == "No broken requirements found.\n"
    fresh.harness("eval", "--model", "trades", "--suite", "pgd", "--n", "8", cwd=tmp_path)
    fresh.harness("selftest", cwd=tmp_path)
