"""Install the lowest versions that pyproject.toml allows, into an environment of their own, and try them.

``python tests/install/lowest.py FOLDER [NAME ...]``; packages named behind the folder (torch torchvision, which take
gigabytes) are installed in the newest version instead. What was installed is printed; the tests' exit code is ours.
"""

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
EXTRAS = ("torchattacks", "contrastive", "figures")
CHECKERS = ("ruff", "mypy", "import-linter")
"""What only `make check` runs; they ask for newer versions than the harness does."""


def lowest(requirement: str) -> str:
    """``name==bound`` of ``name>=bound``; a requirement without a bound stays as it is."""
    return requirement.replace(">=", "==")


def main(folder: Path, newest: list[str]) -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(r for extra in EXTRAS for r in extras[extra])]
    pins = [r if r.partition(">=")[0] in newest else lowest(r) for r in wanted]
    tools = [r for r in extras["dev"] if not r.startswith((project["name"], *CHECKERS))]  # in any version
    venv.create(folder, with_pip=True, clear=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *pins, *tools], check=True)
    subprocess.run([*install, "--no-deps", "--editable", str(ROOT)], check=True)
    subprocess.run([python, "-m", "pip", "freeze"], check=True)
    (folder / ".installed").touch()  # so that make takes it for what it would have made itself
    return subprocess.run(["make", "quick", f"VENV={folder}"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
