"""Adaptations by name: one spelling, ``NAME:ARGUMENT``, in suites, cards, ``--adapt``, Python and run.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.base.text import whole_number
from harness.errors import HarnessError, PluginError, UsageError
from harness.inputs.registry import Registry, stranger
from harness.types import Adaptation, AdaptationRequest, AttackSpec, LoadedModel

SPELLING = re.compile(r"[a-z][a-z0-9_-]*(:[^,\x00-\x1f\x7f]{1,200})?")
"""What an adaptation looks like; commas part several of one attack."""
AUTO, CARD = "auto", "card"
STEPS, QUERIES = 100, 2000
"""Of the attacks that are adapted where none is named."""
SCORES = "scores"
"""The adaptation that leaves no gradient."""
POOL = "pool"
"""The one that offers what other runs found."""

Find = Callable[[str], LoadedModel]
FindRun = Callable[[str], Path]
Adapted = Mapping[str, tuple[Adaptation, ...]]
"""By attack id, its adaptations in their order."""


def parse_adapt(text: str) -> tuple[str | None, tuple[str, ...]]:
    """What ``--adapt [ATTACK=]NAME:ARGUMENT,...`` says: the attack, None for the usual one, and its adaptations.

    Raises:
        UsageError: no such form.
    """
    before, equals, behind = text.partition("=")
    named = bool(equals) and not set(":,") & set(before)  # an equals sign in an argument is the argument's
    attack, words = (before, behind) if named else (None, text)
    parts = tuple(part.strip() for part in words.split(","))
    if not all(SPELLING.fullmatch(part) for part in parts) or attack == "":
        raise UsageError(
            f"--adapt {text!r:.200} is not [ATTACK=]NAME:ARGUMENT,...; write for instance identity:quantize,margin,"
            f" or {AUTO}"
        )
    return attack, parts


def is_auto(text: str) -> bool:
    """Whether ``--adapt`` asks for what findings suggest: ``auto``, or ``auto:BUDGET``."""
    return text == AUTO or text.startswith(f"{AUTO}:")


def auto_budget(text: str, usual: float) -> float:
    """The budget behind ``auto:``, in passes for each survivor and epsilon; `usual` where there is none.

    Raises:
        UsageError: it is no whole number from 1.
    """
    number = text.partition(":")[2]
    if not number and text in (AUTO, CARD):
        return usual
    if not (passes := whole_number(number)):
        raise UsageError(f"--adapt {text!r:.80}: the budget is a number of passes for each survivor, for instance 1000")
    return float(passes)


def check_adapt(wanted: Iterable[str], attacks: Sequence[AttackSpec]) -> None:
    """Refuse what ``--adapt`` cannot mean for a suite with these attacks; before torch is imported.

    Raises:
        UsageError: no such form, or an attack that the suite does not have.
        UnknownName: no adaptation of this name is installed.
    """
    known = Registry("adaptations")
    for text in wanted:
        if text == CARD or is_auto(text):
            auto_budget(text, 0)
            continue
        attack, parts = parse_adapt(text)
        if attack is not None:
            _named(text, attack, attacks)
        for part in parts:
            known.get(part.partition(":")[0])


def adapted_specs(attacks: Sequence[AttackSpec], wanted: Iterable[str]) -> tuple[AttackSpec, ...]:
    """The attacks of a suite with these adaptations, for `beside`.

    Args:
        attacks: The suite's.
        wanted: Texts as ``--adapt`` takes them.

    Raises:
        UsageError: no such form, or an attack that the suite does not have.
    """
    made = []
    for text in wanted:
        attack, adapt = parse_adapt(text)
        base = _named(text, attack, attacks) if attack is not None else usual(adapt)
        made.append(replace(base, adapt=(*base.adapt, *adapt)))
    return tuple(made)


def beside(attacks: Sequence[AttackSpec], made: Iterable[AttackSpec], after: bool) -> tuple[AttackSpec, ...]:
    """Adapted attacks as they stand behind a suite's: with ids of their own, on the samples of its last one.

    Args:
        attacks: The suite's.
        made: Adapted attacks, each with the id of the attack that is adapted; those that the suite has are left out.
        after: Whether they attack only what the others leave.
    """
    taken = {spec.id for spec in attacks}
    last = attacks[-1]
    added: list[AttackSpec] = []
    for base in made:
        known = [(spec.tool, spec.method, spec.params, spec.adapt) for spec in (*attacks, *added)]
        if (base.tool, base.method, base.params, base.adapt) in known:
            continue
        name = adapted_id(base.id.partition("+")[0], base.adapt, taken)
        taken.add(name)
        spares = "all" if after or base.after else None
        added.append(replace(base, id=name, n=last.n, chunk=last.chunk, after=spares))
    return tuple(added)


def _named(text: str, attack: str, attacks: Sequence[AttackSpec]) -> AttackSpec:
    names = {spec.id: spec for spec in attacks}
    if attack not in names:
        raise UsageError(f"--adapt {text!r:.200}: the suite has no attack {attack!r}; it has {', '.join(names)}")
    return names[attack]


def usual(adapt: Collection[str] = (), steps: int = STEPS, queries: int = QUERIES) -> AttackSpec:
    """The attack that is adapted where none is named: APGD on cross-entropy, which needs no step size.

    Without a gradient, by ``scores``, it is Square; with a ``pool``, what asks about it.
    """
    if is_pooled(adapt):
        return AttackSpec("witnesses", "harness", "pool", {})
    if SCORES in adapt:
        return AttackSpec(f"square-{queries}", "autoattack", "square", {"queries": queries})
    return AttackSpec(f"apgd-ce-{steps}", "autoattack", "apgd-ce", {"steps": steps, "eot": 1})


def adapted_id(attack: str, adapt: Sequence[str], taken: Iterable[str] = ()) -> str:
    """``pgd-20+identity@quantize+margin``: the attack's id, and its adaptations in letters that an id may have.

    Of a pool the runs are left out: there may be many, and rows of one table share the column.
    """
    told = [text if text.partition(":")[0] != POOL else POOL for text in adapt]
    words = [re.sub(r"[^A-Za-z0-9._@-]+", "-", text.replace(":", "@", 1)).strip("-") for text in dict.fromkeys(told)]
    name = "+".join([attack, *words])[:80]
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name[: 79 - len(str(count))]}+{count}"
    return found


def spelled(what: object) -> str | None:
    """Why a suite's ``adapt`` is none, or None."""
    if not isinstance(what, list | tuple) or not what:
        return f'must be a list such as ["identity:quantize", "margin"], not {what!r:.80}'
    wrong = [one for one in what if not isinstance(one, str) or not SPELLING.fullmatch(one)]
    if wrong:
        return f"has {wrong[0]!r:.80}, expected NAME or NAME:ARGUMENT without commas"
    return None


def is_pooled(adapt: Iterable[str]) -> bool:
    """Whether one of the adaptations is a pool."""
    return any(text.partition(":")[0] == POOL for text in adapt)


def resolve(attacks: Iterable[AttackSpec], find: Find | None, run: FindRun | None = None) -> Adapted:
    """The adaptations of the attacks that have some, built by their plugins; each text is built once.

    Args:
        attacks: Of a suite.
        find: Loads other models by name; None where that may not be done.
        run: Finds other runs by name, likewise.

    Raises:
        BadSuite: an argument that an adaptation cannot use.
        BadRun: a run that an adaptation names is not there, or cannot be read.
        UnknownName: no plugin gives an adaptation of this name.
        PluginError: a plugin cannot be imported, or gave something else.
    """
    built: dict[str, Adaptation] = {}
    for spec in attacks:
        for text in spec.adapt:
            if text not in built:
                built[text] = _built(text, find, run)
    return {spec.id: tuple(built[text] for text in spec.adapt) for spec in attacks if spec.adapt}


def owner(text: str) -> str:
    """`` (package NAME)`` of an adaptation that a stranger's package gives; else nothing."""
    package = stranger("adaptations", text.partition(":")[0])
    return f" (package {package})" if package else ""


def _built(text: str, find: Find | None, run: FindRun | None) -> Adaptation:
    name, _, argument = text.partition(":")
    factory = Registry("adaptations").load(name)
    try:
        made = factory(AdaptationRequest(argument, find, run))
        made.weights  # noqa: B018 (loads what else proposes, so that a mistake is told before anything is measured)
    except HarnessError:
        raise
    except Exception as error:  # whatever a stranger's factory raises
        raise PluginError(f"adaptation {text!r}{owner(text)} failed: {type(error).__name__}: {error}") from error
    if not isinstance(made, Adaptation):
        raise PluginError(f"adaptation {text!r}{owner(text)} gave {type(made).__name__}, which is no Adaptation")
    return made
