"""What the types of files on disk share: kinds of numbers, how JSON spells them, and errors in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, structs

from harness.types import Finding

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
Key = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


@lru_cache
def _fields(kind: type[Struct]) -> tuple[structs.FieldInfo, ...]:  # msgspec reads the annotations anew each time
    return structs.fields(kind)


def as_json(value: Any) -> Any:
    """A type of a file as the file spells it; optional fields that have no value are left out."""
    if isinstance(value, Finding):
        return value.as_dict()
    if isinstance(value, Struct):
        given = {field.encode_name: (field, getattr(value, field.name)) for field in _fields(type(value))}
        return {
            name: as_json(content)
            for name, (field, content) in given.items()
            if content is not UNSET and (content is not None or field.default is not None)
        }
    if isinstance(value, Mapping):
        return {name: as_json(content) for name, content in value.items()}
    return [as_json(one) for one in value] if isinstance(value, tuple | list) else value


_AT = re.compile(r"(.*?)(?: - at `(\$.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def in_words(error: str, content: Any) -> str:
    """An error of the decoder as ``suite.attacks[0].id is 3, expected str``."""
    match = _AT.fullmatch(error)
    said, path = (match[1], match[2] or "$") if match else (error, "$")
    place = path.removeprefix("$").removeprefix(".")
    if missing := re.search(r"missing required field `(\w+)`", said):
        return f"{place}{'.' if place else ''}{missing[1]} is missing"
    value = content
    for name, at in _STEP.findall(path.removeprefix("$")):
        value = value.get(name) if isinstance(value, Mapping) else value[int(at)] if at else None
    if said.startswith("Invalid enum value"):
        return f"{place} is {value!r:.60}, which it cannot be"
    expected = said.replace("`", "").split(", got")[0].removeprefix("Expected ").removeprefix("Invalid ")
    return f"{place or 'it'} is {value!r:.60}, expected {expected}"
