"""Beside packages of today: they resolve with the plain wheel, and torchattacks comes without its pins."""

import csv
import json
from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest
from fresh import Fresh

pytestmark = [pytest.mark.install, pytest.mark.slow, pytest.mark.timeout(1800)]
BESIDE = {
    "jupyterlab": ["jupyterlab>=4.4"],
    "sphinx": ["sphinx>=8"],
    "mkdocs": ["mkdocs-material>=9.5"],
    "datasets": ["datasets"],
    "robustbench": ["robustbench"],
    "streamlit": ["streamlit>=1.40"],
}
BESIDE["all"] = [name for names in BESIDE.values() for name in names]


@pytest.fixture(scope="module")
def plain(index, wheels, tmp_path_factory):
    fresh = Fresh.create(tmp_path_factory.mktemp("plain") / "env", ["robustness-harness"])
    fresh.pip("install", "--quiet", str(wheels["robustness-harness"]))
    return fresh


@pytest.mark.parametrize("beside", BESIDE)
def test_the_plain_wheel_resolves_beside(plain, wheels, beside):
    plain.pip("install", "--dry-run", "--quiet", str(wheels["robustness-harness"]), *BESIDE[beside])


def test_torchattacks_pin_is_why_it_is_an_extra(plain, wheels):
    """If this fails, torchattacks has loosened its pin: make it a plain requirement again."""
    wanted = f"{wheels['robustness-harness']}[torchattacks]"
    done = plain.pip("install", "--dry-run", "--quiet", wanted, "jupyterlab>=4.4", code=None)
    assert done.returncode != 0
    assert "ResolutionImpossible" in done.stderr


def test_the_main_job_runs_beside_jupyterlab(index, wheels, tmp_path):
    fresh = Fresh.create(tmp_path / "env", ["robustness-harness"])
    fresh.pip("install", "--quiet", str(wheels["robustness-harness"]), "jupyterlab>=4.4")
    findings = json.loads(fresh.harness("doctor", "--json", cwd=tmp_path).stdout)["findings"]
    assert [f["message"].partition("cells: ")[2] for f in findings] == ["pip install --no-deps torchattacks"]

    fresh.pip("install", "--quiet", "--no-deps", "torchattacks")
    told = json.loads(fresh.harness("doctor", "--json", cwd=tmp_path).stdout)
    assert told["ok"]
    assert {finding["level"] for finding in told["findings"]} == {"info"}
    assert any("requests~=2.25.1" in finding["message"] for finding in told["findings"])
    conflicts = [line for line in fresh.pip("check", code=1).stdout.splitlines() if line]
    assert len(conflicts) == 1
    assert conflicts[0].startswith("torchattacks 3.5.1 has requirement requests~=2.25.1, but you have requests 2.")
    fresh.harness("eval", "--model", "trades", "--suite", "pgd", "--n", "8", cwd=tmp_path)


def test_nothing_of_torchattacks_that_runs_imports_requests(tmp_path):
    fresh = Fresh.create(tmp_path / "env", ["robustness-harness", "torchattacks"])
    for path in (tmp_path / "env" / "borrowed").glob("requests*"):
        path.unlink()
    code = "import sys, torchattacks; assert 'requests' not in sys.modules and 'robustbench' not in sys.modules"
    fresh.python("-c", code, cwd=tmp_path)


def overwritten(fresh: Fresh) -> list[str]:
    """Files of RobustBench's package that are not as its own wheel has them."""
    (record,) = fresh.packages.glob("robustbench-*.dist-info/RECORD")
    wrong = []
    for name, digest, _ in csv.reader(record.read_text(encoding="utf-8").splitlines()):
        if name.startswith("robustbench/") and digest:
            there = sha256((fresh.packages / name).read_bytes()).digest()
            if urlsafe_b64encode(there).decode().rstrip("=") != digest.removeprefix("sha256="):
                wrong.append(name)
    return wrong


@pytest.mark.parametrize("last", ["robustbench", "torchattacks"])
def test_robustbench_is_whole_if_it_is_installed_last(index, tmp_path, last):
    fresh = Fresh.create(tmp_path / "env", [])
    for name in sorted(["robustbench", "torchattacks"], key=lambda name: name == last):
        fresh.pip("install", "--quiet", "--no-deps", name)
    assert bool(overwritten(fresh)) == (last == "torchattacks")
    fresh.pip("install", "--quiet", "--no-deps", "--force-reinstall", "robustbench")  # what README and doctor say
    assert overwritten(fresh) == []
