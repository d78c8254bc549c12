"""Units in progress: what they have found between two calls of their tool, so that a start goes on from there.

::

    results/<run>/unfinished/<unit>.safetensors   arrays, and the rest as JSON in the head; gone with the unit's end

A file is not evidence: it counts for nothing until its unit is finished and has facts.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from harness.base.files import write_atomically

FOLDER = "unfinished"
SCHEMA_VERSION = 1
_ARRAY = "array"
"""Key of the object that stands, in the JSON, for an array."""


def keep(folder: Path, filename: str, key: str, state: Mapping[str, Any]) -> None:
    """Put what the unit whose shards are called `filename` has found beside the evidence of the run `folder`.

    Args:
        folder: The run's.
        filename: Of the unit's shards.
        key: What the unit depends on; a state of another key is nobody's.
        state: Arrays, JSON values, and lists and dictionaries of them.

    Raises:
        BadRun: it cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}

    def told(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name = str(len(arrays))
            arrays[name] = np.array(value, order="C")  # keeps a scalar one
            return {_ARRAY: name}
        if isinstance(value, Mapping):
            return {name: told(content) for name, content in value.items()}
        return [told(one) for one in value] if isinstance(value, list | tuple) else value

    head = {"schema": str(SCHEMA_VERSION), "key": key, "state": json.dumps(told(state))}
    write_atomically(_path(folder, filename), lambda beside: save_file(arrays, beside, metadata=head))


def read(folder: Path, filename: str, key: str | None = None) -> dict[str, Any] | None:
    """What was kept of a unit; None if nothing was, or it is torn, or of another key than the one that is asked for."""
    try:
        with safe_open(_path(folder, filename), framework="numpy") as content:
            head = content.metadata() or {}
            if head.get("schema") != str(SCHEMA_VERSION) or key not in (None, head.get("key")):
                return None

            def found(value: Any) -> Any:
                if isinstance(value, dict):
                    if set(value) == {_ARRAY}:
                        return content.get_tensor(value[_ARRAY])
                    return {name: found(one) for name, one in value.items()}
                return [found(one) for one in value] if isinstance(value, list) else value

            state: dict[str, Any] = found(json.loads(head["state"]))
            return state
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        return None


def drop(folder: Path, filename: str) -> None:
    """Forget a unit that is finished."""
    with contextlib.suppress(OSError):
        _path(folder, filename).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Forget units that were finished by a process that died just then; call it while no other process writes."""
    for path in (folder / FOLDER).glob("*.safetensors"):
        if (folder / "facts" / f"{path.stem}.parquet").exists():
            drop(folder, path.name.removesuffix(".safetensors"))


def _path(folder: Path, filename: str) -> Path:
    return folder / FOLDER / f"{filename.removesuffix('.parquet')}.safetensors"
