"""The doctor before a run: asked once, kept in run.json, and overruled only with ``--force``."""

from __future__ import annotations

from typing import Any

import torch

from harness.errors import TornFile
from harness.evidence.store import RunStore
from harness.run.options import Options
from harness.trust.doctor import Report, examine_data, examine_model, refuse, units
from harness.types import Dataset, Finding, LoadedModel


def check_data(model: LoadedModel, data: Dataset) -> None:
    """What no option can overrule: images, labels, class count and shape.

    Raises:
        BadData: images outside [0,1], or labels that are no class.
        ModelRefused: the model does not fit the data.
    """
    refuse(examine_data(model, data), model.name)


def check_model(model: LoadedModel, data: Dataset, run: dict[str, Any], options: Options, device: torch.device) -> None:
    """Examine the model and write into `run` what was found; an earlier start's answer is taken over.

    Raises:
        ModelRefused: a check refuses and ``options.force`` is not set.
    """
    earlier = _earlier(run, options)
    if earlier is None:
        suite = run["suite"]
        report = examine_model(model, data, device, options.batch_size)
        report.findings.extend(
            units(suite["attacks"], suite["norm"], dict(zip(suite["grid"], suite["epsilons"], strict=True)))
        )
    else:
        report = earlier
    refuse(report, model.name, options.force)
    known = run["findings"]
    known.extend(new for finding in report.findings if (new := finding.as_dict()) not in known)
    run["preflight"] = {"n": report.n, "seconds": round(report.seconds, 3), "forced": bool(report.refusals)}


def _earlier(run: dict[str, Any], options: Options) -> Report | None:
    """What an earlier start of the same run found."""
    folder = options.results / run["run_name"]
    if options.fresh or not (folder / "run.json").exists():
        return None
    try:
        before = RunStore(folder).read_json("run.json")
    except TornFile:
        return None
    kept = before.get("preflight")
    if before.get("key") != run["key"] or kept is None:
        return None
    findings = [Finding(**finding) for finding in before["findings"] if finding["level"] == "refuse"]
    return Report(findings, kept["n"], kept["seconds"])
