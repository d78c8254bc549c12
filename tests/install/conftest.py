"""The wheels, built once from a copy of the working tree."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fresh import ROOT, call

PARTS = ("harness", "adapters", "model_zoo", "leaderboard", "distributions")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution name to its wheel; a copy is built, for an old ``build`` folder would be packed, too."""
    tree, out = tmp_path_factory.mktemp("tree") / "tree", tmp_path_factory.mktemp("dist")
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", *PARTS):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tree / name)
        else:
            left_out = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=left_out)
    projects = [tree, *sorted((tree / "distributions").iterdir())]
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    call([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(out), *map(str, projects)])
    shutil.rmtree(tree)
    return {path.name.partition("-")[0].replace("_", "-"): path for path in out.glob("*.whl")}


@pytest.fixture(scope="session")
def index() -> None:
    """Skips tests that ask the package index where there is none: a machine without a network, or one that hangs."""
    words = [
        "--dry-run",
        "--quiet",
        "--no-deps",
        "--ignore-installed",
        "--timeout",
        "20",
        "--retries",
        "1",
        "jupyterlab",
    ]
    try:
        done = call([sys.executable, "-m", "pip", "install", *words], code=None, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("the package index does not answer")
    if done.returncode != 0:
        pytest.skip(f"the package index cannot be used: {done.stderr.strip()[-200:]}")
