"""run.json's JSON Schema and its table in docs/contracts.md, made of the types in `harness.evidence.run_info`.

``python -m harness.evidence.run_schema`` writes the schema of a checkout; ``--table`` prints the table.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.evidence import plan_info, run_info, suite_info
from harness.evidence.given import Given
from harness.evidence.run_info import RunInfo
from harness.types import Finding

PATH = Path(__file__).resolve().parents[1] / "schemas" / "run.json"
PARTS = (
    RunInfo, run_info.ModelInfo, suite_info.SuiteInfo, suite_info.AttackInfo, suite_info.AdaptationInfo,
    run_info.DataInfo, run_info.IdsInfo, run_info.Asked, run_info.Randomness, Given, plan_info.Plan, plan_info.Device,
    plan_info.Preflight, plan_info.Calibration, plan_info.CellCost, plan_info.ThrownAway,
)  # fmt: skip


def schema() -> dict[str, Any]:
    """The JSON Schema of run.json as it is written: unknown fields and nulls of optional fields are refused."""
    (_, parts) = msgspec.json.schema_components([RunInfo], ref_template="#/$defs/{name}")
    for part in (*PARTS, Finding):
        found = parts[part.__name__]
        found.pop("title", None)
        found["description"] = (part.__doc__ or "").split("\n")[0]
        found["additionalProperties"] = False
        for name, said in docs(part):
            content = found["properties"][name]
            if "default" in content and content.pop("default") is None:
                content = _without_null(content)
            found["properties"][name] = content | ({"description": said} if said else {})
    own = parts.pop(RunInfo.__name__)
    own["required"] = ["schema", *own["required"], "plan"]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "run.json: a run describes itself"}
    whole: dict[str, Any] = head | own | {"$defs": parts}
    return whole


def table() -> str:
    """What every field means, as Markdown: a row for each, with its path in the file."""
    places = {
        "RunInfo": "", "ModelInfo": "model.", "SuiteInfo": "suite.", "AttackInfo": "suite.attacks[].",
        "AdaptationInfo": "suite.attacks[].adapt[].",
        "DataInfo": "data.", "IdsInfo": "data.ids.", "Asked": "asked.", "Randomness": "randomness.",
        "Given": "given.",
        "Plan": "plan.", "Device": "device.", "Preflight": "preflight.",
        "Calibration": "calibration.", "CellCost": "compute[].", "ThrownAway": "thrown_away[].",
    }  # fmt: skip
    return fields_table({part: places[part.__name__] for part in PARTS})


def fields_table(places: Mapping[type, str]) -> str:
    """What the fields of classes mean, as Markdown, each behind its class's place in the file."""
    rows = [f"| `{place}{name}` | {said} |" for part, place in places.items() for name, said in docs(part)]
    return "\n".join(["| field | meaning |", "|---|---|", *rows]) + "\n"


def docs(part: type) -> Iterator[tuple[str, str]]:
    """Name in the file and doc line of each field, in the file's order."""
    names = (
        {one.name: one.encode_name for one in msgspec.structs.fields(part)} if issubclass(part, msgspec.Struct) else {}
    )
    (tree,) = ast.parse(inspect.getsource(part)).body
    assert isinstance(tree, ast.ClassDef)
    for here, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
            said = after.value if isinstance(after, ast.Expr) else None
            text = str(said.value) if isinstance(said, ast.Constant) else ""
            yield names.get(here.target.id, here.target.id), " ".join(text.split())


def _without_null(content: dict[str, Any]) -> dict[str, Any]:
    """A field that is left out where it has no value, rather than null."""
    kinds = [kind for kind in content.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        kind: dict[str, Any] = kinds[0]
        return {name: value for name, value in content.items() if name != "anyOf"} | kind
    if "enum" in content:
        return content | {"enum": [value for value in content["enum"] if value is not None]}
    return content


def text() -> str:
    """The schema's file."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    if "--table" in sys.argv[1:]:
        sys.stdout.write(table())
    else:
        PATH.write_text(text(), encoding="utf-8")
