"""What an attack may be called: an id that names a tool, a method or a number says what the attack is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from harness.base.installing import OURS
from harness.base.text import whole_number
from harness.inputs.registry import Registry

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/@-]{0,79}")
"""What an id looks like."""
_WHOLE = "autoattack.standard, all four parts together"
_ANY_WORD = ("cascade", "custom", "plus", "rand", "standard")
"""Methods whose names are words that the id of another attack may hold."""


def misnamed(name: str, tool: str, method: str, params: Mapping[str, Any], adapt: Sequence[str] = ()) -> str | None:
    """Why an attack may not have the id `name`, or None.

    - AutoAttack is ``autoattack.standard`` and nothing else; ``autoattack/square`` is the tool's part of that name.
    - A tool's name before ``/ . _ - + @`` must be the attack's tool.
    - A method's name, of any tool that the harness ships, must be the attack's method or a part of its cascade
      (``apgd`` is ``apgd-ce``, too). Behind its own tool's name it is that tool's method.
    - A number behind the method's name must be its steps or queries; ``20x3`` are 20 steps and 3 restarts.
    - A plugin's attack that has a shipped method's name puts its tool before: ``mine/pgd-20``.
    - An adapted attack says so behind a plus, ``pgd-20+margin``; what stands there is not judged.

    Args:
        name: The id.
        tool: Of the attack.
        method: Of the attack.
        params: Of the attack, as the suite spells them.
        adapt: Its adaptations.
    """
    if not ID.fullmatch(name):
        return f"attack id {name!r:.100} is none: letters, digits and ._+/@-, at most 80"
    if adapt:
        name, _, words = name.partition("+")
        if not words:
            better = f"{name}+{adapt[0].partition(':')[0]}"
            return f"attack id {name!r} does not say that the attack is adapted; call it {better}"
    what, text, shipped = f"{tool}.{method}", name.casefold(), _shipped()
    joined = "".join(_words(text))
    part = text.startswith("autoattack/") and joined.startswith("autoattack" + "".join(_words(method)))
    if ("autoattack" in joined or "aa" in _words(text)) and not (part and tool == "autoattack"):
        whole = what == "autoattack.standard"
        return None if whole else f"attack id {name!r} says AutoAttack, which is {_WHOLE}; this is {what}"
    before = next((one for one in (tool.casefold(), *shipped) if re.match(rf"{re.escape(one)}[/._@+-]", text)), None)
    if before is not None and before != tool.casefold():
        return f"attack id {name!r} says it is of {before}; this is {what}"
    if before is not None:
        if tool not in shipped:
            return None
        text = text[len(before) + 1 :]
    pools = [shipped[tool]] if before is not None else []
    pools.append({one for methods in shipped.values() for one in methods})
    for found, behind in _methods_in(_words(text), pools):
        if tool not in shipped:
            return f"attack id {name!r} is a name of {', '.join(_tools(found))}; call {what} {tool}/{name}"
        if not _is(found, method, params):
            return f"attack id {name!r} says {found}; this is {what}"
        if why := _wrong_number(behind, params):
            return f"attack id {name!r} says {why}"
    return None


def _is(found: str, method: str, params: Mapping[str, Any]) -> bool:
    components = params.get("components")
    parts = components if isinstance(components, list | tuple) else ()
    return any(
        _bare(str(one)) == _bare(found) or str(one).startswith(f"{found}-") or str(one) == f"{found}l2"
        for one in (method, *parts)
    )


def _wrong_number(behind: Sequence[str], params: Mapping[str, Any]) -> str | None:
    """What the words behind a method's name say that its parameters do not."""
    losses = [word for word in behind if word in ("ce", "dlr")]
    if losses and params.get("loss", losses[0]) not in losses:
        return f"loss {losses[0]}, and its loss is {params['loss']!r:.20}"
    if not behind or not behind[0].isdigit():
        return None
    told = {key: params[key] for key in ("steps", "queries") if key in params}
    if told and behind[0].lstrip("0") not in map(str, told.values()):
        return f"{behind[0]}, and its {' and '.join(f'{key} are {value!r:.20}' for key, value in told.items())}"
    times = behind[2] if behind[1:2] == ["x"] and len(behind) > 2 else ""
    if times.isdigit() and params.get("restarts", 1) != whole_number(times):
        return f"{behind[2]} restarts, and it has {params.get('restarts', 1)!r:.20}"
    return None


def _methods_in(words: Sequence[str], pools: Sequence[Collection[str]]) -> Iterator[tuple[str, Sequence[str]]]:
    """Methods that are named, the longest at each place and of the first pool that has one, and the words behind."""
    place = 0
    while place < len(words):
        step = 1
        for pool in pools:
            known = {_bare(one): one for one in pool if one not in _ANY_WORD}
            ends = [end for end in range(place + 1, len(words) + 1) if "".join(words[place:end]) in known]
            if ends:
                yield known["".join(words[place : ends[-1]])], words[ends[-1] :]
                step = ends[-1] - place
                break
        place += step


def _words(text: str) -> list[str]:
    """Runs of letters and of digits: ``pgd-20x3`` is pgd, 20, x, 3."""
    return re.findall(r"[a-z]+|[0-9]+", text.casefold())


def _bare(method: str) -> str:
    return method.replace("-", "")


def _tools(method: str) -> list[str]:
    return [tool for tool, methods in _shipped().items() if method in methods]


@cache
def _shipped() -> dict[str, set[str]]:
    """The methods that the harness ships, by tool."""
    found: dict[str, set[str]] = {}
    for entry in Registry("attacks").entries():
        if entry.package == OURS:
            tool, _, method = entry.name.partition(".")
            found.setdefault(tool, set()).add(method)
    return found
