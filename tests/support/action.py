"""GitHub's runner, as far as action.yml needs one: folders, programs on the path, and what the steps put out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from repository import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]


@dataclass
class Job:
    """A runner: folders, programs on the path, and what the steps have put out."""

    folder: Path
    told: Mapping[str, tuple[int, str]]
    event: str = "pull_request"

    def __post_init__(self) -> None:
        self.outputs: dict[str, dict[str, str]] = {}
        self.codes: dict[str, int] = {}

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(python=sys.executable, log=str(self.folder / f"{name}.log")))
        path.chmod(0o755)

    def asked(self, name: str) -> list[list[str]]:
        log = self.folder / f"{name}.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def run(self, inputs: Mapping[str, str]) -> bool:
        """Every step until one fails; whether none did."""
        given = {name: str(content.get("default", "")) for name, content in ACTION["inputs"].items()} | dict(inputs)
        context = {f"inputs.{name}": value for name, value in given.items()}
        context |= {"github.token": "t", "github.repository": "o/r", "github.event.pull_request.number": "7"}
        context["github.event_name"] = self.event
        for step in STEPS:
            context |= {f"steps.{i}.outputs.{name}": v for i, out in self.outputs.items() for name, v in out.items()}
            if not _holds(step.get("if", ""), context):
                continue
            code = self._step(step, context)
            self.codes[step["name"]] = code
            if code:
                return False
        return True

    def _step(self, step: Mapping[str, Any], context: Mapping[str, str]) -> int:
        output = self.folder / "output"
        output.write_text("")
        env = {name: _filled(value, context) for name, value in step["env"].items()}
        bin_ = f"{self.folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {
            **os.environ, **env, "PATH": bin_, "RUNNER_TEMP": str(self.folder), "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"), "GITHUB_ACTION_PATH": str(ROOT),
            "TOLD": json.dumps(self.told),
        }  # fmt: skip
        script = self.folder / "step.sh"
        script.write_text(step["run"], encoding="utf-8")
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        done = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        self.said = done.stdout + done.stderr
        lines = [line.partition("=") for line in output.read_text().splitlines()]
        self.outputs.setdefault(step.get("id", "-"), {}).update({name: value for name, _, value in lines})
        return done.returncode


def _filled(text: str, context: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: context.get(found[1], ""), str(text))


def _holds(condition: str, context: Mapping[str, str]) -> bool:
    for part in filter(None, condition.split(" && ")):
        name, sign, value = part.split(" ")
        if (context.get(name, "") == value.strip("'")) != (sign == "=="):
            return False
    return True
