"""What the harness runs on: versions, tools, device, data and plugins, and what is known to go wrong between them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from harness.base.installing import OURS, advice_here
from harness.base.machine import versions
from harness.errors import HarnessError
from harness.inputs.registry import GROUPS, Registry
from harness.types import Finding

TOOLS = {
    "torchattacks": ("torchattacks",),
    "art": ("adversarial-robustness-toolbox",),
    "autoattack": ("pyautoattack", "autoattack"),
}
"""Tool to the distributions that provide it."""
SYSTEMS = ("linux", "darwin")
"""Values of `sys.platform` under which the harness runs."""


def environment() -> tuple[dict[str, Any], list[Finding]]:
    """The report, and what is wrong: level ``error`` where something cannot work, ``warn`` where it may mislead."""
    tools, findings = _tools()
    plugins, broken = _plugins()
    data, missing = _data()
    findings += broken + missing + conflicts() + _system()
    report = {
        "versions": versions(),
        "tools": tools,
        "device": _device(),
        "data": data,
        "plugins": plugins,
    }
    return report, findings


def _tools() -> tuple[dict[str, str | None], list[Finding]]:
    tools: dict[str, str | None] = {}
    findings = []
    for tool, names in TOOLS.items():
        there = [found for name in names if (found := _find(name)) is not None]
        tools[tool] = f"{there[0].metadata['Name']} {there[0].version}" if there else None
        if not there:
            message = f"{tool} is not installed; its attacks give missing cells: {advice_here(names[0])}"
            findings.append(Finding("tool", "warn", message))
    return tools, findings


def _system() -> list[Finding]:
    """Run locks, memory figures and time limits are those of POSIX."""
    if sys.platform in SYSTEMS:
        return []
    message = f"{sys.platform} is not served; run it on Linux or macOS (on Windows, inside WSL)"
    return [Finding("system", "error", message)]


def _device() -> dict[str, Any]:
    import torch

    from harness.base.machine import device_name, pick_device

    device = pick_device("auto")
    return {
        "auto": str(device),
        "name": device_name(device),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _data() -> tuple[dict[str, Any], list[Finding]]:
    """Where local copies are looked for; no set is loaded, for loading may download."""
    root = os.environ.get("HARNESS_DATA") or None
    report: dict[str, Any] = {"HARNESS_DATA": root, "entries": []}
    if root is None:
        return report, []
    folder = Path(root)
    if not folder.is_dir():
        return report, [Finding("data", "error", f"HARNESS_DATA is {root!r}, which is not a folder; set it to one")]
    report["entries"] = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))[:50]
    return report, []


def _plugins() -> tuple[dict[str, list[dict[str, Any]]], list[Finding]]:
    """Every registered plugin, imported."""
    report: dict[str, list[dict[str, Any]]] = {}
    findings = []
    for kind in GROUPS:
        registry, rows = Registry(kind), []
        for entry in registry.entries():
            row: dict[str, Any] = {"name": entry.name, "package": entry.package, "version": entry.version}
            row["error"] = None
            try:
                registry.load(entry.name)
            except HarnessError as error:
                row["error"] = str(error)
                broken = Finding("plugin", "error", str(error))
                findings += [broken] if broken not in findings else []  # a doubled name is one mistake
            rows.append(row)
        report[kind] = rows
    return report, findings


def conflicts() -> list[Finding]:
    """Requirements that the installed versions break, and packages that overwrite each other."""
    roots = [OURS, *(name for names in TOOLS.values() for name in names)]
    installed = [found for name in roots if (found := _find(name)) is not None]
    findings = [finding for package in installed for finding in unmet(package)]
    old = _find("torchattacks")
    if old is not None and _brings(old, "robustbench"):
        findings.append(_stray_robustbench(_find("robustbench")))
    if _find("autoattack") is not None and _find("pyautoattack") is not None:
        message = "autoattack and pyautoattack are both installed; the harness uses pyautoattack"
        findings.append(Finding("conflict", "info", message))
    return findings


def unmet(package: Distribution) -> Iterable[Finding]:
    """Requirements of `package` that are not met by what is installed; extras are left out."""
    name = package.metadata["Name"]
    for text in package.requires or []:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        there = _find(wanted.name)
        level = "error" if name == OURS else "warn"
        if there is None and _is_idle(name, wanted.name):
            continue  # what `--no-deps` is for
        if there is None:
            message = f"{name} needs {wanted.name}, which is not installed: pip install '{wanted}'"
        elif not wanted.specifier.contains(there.version, prereleases=True):
            message = f"{name} asks for {wanted}, but {wanted.name} {there.version} is installed"
            if _is_idle(name, wanted.name):
                level, message = "info", f"{message}: harmless, for nothing that runs here imports {wanted.name}"
        else:
            continue
        yield Finding("conflict", level, message)  # type: ignore[arg-type]  # one of the two literals above


def _is_idle(package: str, requirement: str) -> bool:
    """Whether only a part of `package` that the harness never imports needs `requirement`: a test imports the rest."""
    return (package, requirement) == ("torchattacks", "requests")


def _stray_robustbench(real: Distribution | None) -> Finding:
    if real is None:
        message = "`import robustbench` finds an old copy that torchattacks brings along, not RobustBench"
        return Finding("conflict", "info", message)
    message = (
        f"torchattacks and robustbench {real.version} install the same package `robustbench` over each other;"
        " install it last: pip install --force-reinstall --no-deps robustbench"
    )
    return Finding("conflict", "warn", message)


def _brings(package: Distribution, folder: str) -> bool:
    return any(str(path).startswith(f"{folder}/") for path in package.files or [])


def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None
