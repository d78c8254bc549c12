"""The gate's verdicts as text, JUnit XML and GitHub annotations."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from msgspec import ValidationError, convert

from harness.errors import UsageError
from leaderboard.compare.gate import Ruling
from leaderboard.text import one_line


def as_text(verdicts: Sequence[Ruling]) -> str:
    """A line for each verdict, and one that counts them."""
    lines = [
        f"{'pass' if v.passed else 'FAIL'}  {one_line(v.subject)}  {one_line(v.requirement)}:"
        f" {one_line(v.message, None)}{_where(v)}"
        for v in verdicts
    ]
    failed = sum(not verdict.passed for verdict in verdicts)
    lines.append(f"{len(verdicts) - failed} passed, {failed} failed")
    return "\n".join(lines) + "\n"


def _where(verdict: Ruling) -> str:
    words = ", ".join(text for text in (one_line(verdict.table), one_line(verdict.run)) if text)
    return f"  [{words}]" if words else ""


def as_data(verdicts: Sequence[Ruling], confident: bool) -> dict[str, Any]:
    """The verdicts as JSON-able data."""
    return {"confident": confident, "verdicts": [asdict(verdict) for verdict in verdicts]}


def read(path: Path, runs: Collection[str]) -> list[Ruling]:
    """The verdicts that ``harness gate --json`` printed into a file.

    Args:
        path: The file.
        runs: Names of the folders of the runs that the verdicts are to stand beside.

    Raises:
        UsageError: no such file, it holds something else, or it judges another run.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        verdicts = convert(content["data"]["verdicts"], list[Ruling])
        known = content["command"] == "gate"
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, ValidationError):
        known = False
    if not known:
        raise UsageError(f"{str(path)!r} is not what harness gate --json prints")
    if other := sorted({verdict.run for verdict in verdicts if verdict.run} - set(runs)):
        raise UsageError(f"{str(path)!r} judges run {other[0]}, which is not among those of the page; judge them again")
    return verdicts


def as_junit(verdicts: Sequence[Ruling]) -> str:
    """The verdicts as a JUnit XML file: a test case each."""
    failed = sum(not verdict.passed for verdict in verdicts)
    counts = {"tests": str(len(verdicts)), "failures": str(failed), "errors": "0", "skipped": "0"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "harness gate", **counts})
    for verdict in verdicts:
        # one_line also takes out the control characters that XML cannot hold.
        where = one_line(f"{verdict.subject}: {verdict.table}", 400)
        case = ElementTree.SubElement(suite, "testcase", {"classname": where, "name": one_line(verdict.requirement)})
        message = one_line(verdict.message, None)
        if verdict.passed:
            ElementTree.SubElement(case, "system-out").text = message
        else:
            ElementTree.SubElement(case, "failure", {"message": message}).text = f"run {one_line(verdict.run)}"
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def as_annotations(verdicts: Sequence[Ruling]) -> str:
    """Workflow commands of GitHub Actions: an ``::error`` for each failure, a ``::notice`` that counts the rest.

    GitHub shows only the first few annotations of a step, so what passed must not crowd out what failed.
    """
    lines = []
    for verdict in verdicts:
        if not verdict.passed:
            title = _property(f"{one_line(verdict.subject)}: {one_line(verdict.requirement)}")
            where = f"{one_line(verdict.table)}, run {one_line(verdict.run)}"
            lines.append(f"::error title={title}::{_escape(f'{one_line(verdict.message, None)} ({where})')}\n")
    passed = len(verdicts) - len(lines)
    return "".join(lines) + f"::notice title=harness gate::{passed} of {len(verdicts)} requirements met\n"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
