"""``harness doctor``: is a model wired so that its numbers mean something; without one, is the environment sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.output import envelope, print_json, waiting
from harness.inputs.find import check_names
from harness.types import Finding


def doctor(
    model: Annotated[
        list[str] | None, typer.Option(help="Zoo name, training folder, file.py:function, ...; repeatable.")
    ] = None,
    data: Annotated[str, typer.Option(help="Data set: signs, gtsrb, folder:DIR, ...")] = "signs",
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with local copies of data sets (or HARNESS_DATA).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check models before they are measured, or, without --model, the environment; exits 1 on a refusal."""
    check_names(model or (), [data])
    with waiting("examining"):
        results = [_model(name, data, data_root, device) for name in model] if model else [_environment()]
    findings = [finding for _, some in results for finding in some]
    ok = not any(finding.level in ("refuse", "error") for finding in findings)
    if as_json:
        reports = [report for report, _ in results]
        print_json(envelope("doctor", reports if len(reports) > 1 else reports[0], ok, findings))
    else:
        for report, some in results:
            _print(report, some)
    return 0 if ok else 1


def _model(name: str, data: str, data_root: Path | None, device: str) -> tuple[dict[str, Any], list[Finding]]:
    from harness.base.machine import pick_device
    from harness.evidence.findings import CHECKS
    from harness.inputs.draws import chosen_draws
    from harness.inputs.find import find_data, find_model
    from harness.inputs.outputs import fitted
    from harness.trust.doctor import examine_data, examine_model

    place = pick_device(device)
    samples = find_data(data, data_root)
    loaded = fitted(find_model(name), samples)
    report = examine_data(loaded, samples)
    if not report.refusals:
        report = examine_model(loaded, samples, place, draws=chosen_draws(loaded.card, None, None, 0))
    said = {finding.check for finding in report.findings if finding.level != "info"}
    verdict = {
        "model": loaded.name,
        "data": samples.name,
        "n": report.n,
        "device": str(place),
        "seconds": round(report.seconds, 3),
        "checks": {code: code not in said for code in CHECKS if code in report.looked},
    }
    return verdict, report.findings


def _environment() -> tuple[dict[str, Any], list[Finding]]:
    from harness.trust.doctor.environment import environment

    return environment()


def _print(report: dict[str, Any], findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    lines = _model_lines(report) if "checks" in report else _environment_lines(report)
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    styles = {"refuse": "bold red", "error": "bold red", "warn": "yellow"}
    for finding in findings:
        line = f"{finding.level}: {finding.check}: {finding.message}"
        console.print(Text(line, style=styles.get(finding.level, "")), soft_wrap=True)


def _model_lines(report: dict[str, Any]) -> list[str]:
    from harness.evidence.findings import CHECKS

    passed = [f"{code} {CHECKS[code]}" for code, well in report["checks"].items() if well]
    return [
        f"{report['model']} on {report['data']}: {report['n']} images, {report['seconds']:.1f} s on {report['device']}",
        f"passed: {', '.join(passed) or 'nothing'}",
    ]


def _environment_lines(report: dict[str, Any]) -> list[str]:
    device, data = report["device"], report["data"]
    lines = [
        "versions: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        "tools: " + ", ".join(f"{tool}: {there or 'not installed'}" for tool, there in report["tools"].items()),
        f"device: {device['auto']} ({device['name']}), {device['threads']} threads,"
        f" GPUs: {', '.join(device['gpus']) or 'none'}",
        f"data: HARNESS_DATA {data['HARNESS_DATA'] or 'not set'}"
        + (f" ({', '.join(data['entries'])})" if data["entries"] else ""),
    ]
    for kind, rows in report["plugins"].items():
        names = [f"{row['name']}{' (broken)' if row['error'] else ''}" for row in rows]
        lines.append(f"{kind}: {', '.join(names) or 'none'}")
    return lines
