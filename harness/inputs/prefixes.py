"""On how many samples each attack of a suite runs: on all, or on the first n of the slice's fixed random order."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from harness.base.modes import MODES, takes
from harness.errors import BadSuite, UsageError
from harness.inputs.adaptations import is_pooled
from harness.types import Attack, AttackSpec

ALL = "all"


@dataclass(frozen=True)
class Fault:
    """What is wrong with an attack's n, chunk or after: at which key of which attack, and in words."""

    place: int
    key: str
    message: str


def chunk_of(spec: AttackSpec, chunk: int) -> int:
    """Samples in a unit of the attack, of a suite with this chunk."""
    return spec.chunk or chunk


def fault(attacks: Sequence[AttackSpec], chunk: int) -> Fault | None:
    """The first thing that no slice can put right, or None.

    Args:
        attacks: In the suite's order.
        chunk: The suite's.
    """
    for place, spec in enumerate(attacks):
        size = chunk_of(spec, chunk)
        if size < 1 or chunk % size:
            return Fault(place, "chunk", f"chunk {size} of attack {spec.id!r} does not divide the suite's, {chunk}")
        if spec.after not in (None, ALL):
            return Fault(place, "after", f"after of attack {spec.id!r} must be {ALL!r}, not {spec.after!r}")
        if not spec.adapt and place and attacks[place - 1].adapt:
            message = (
                f"attack {spec.id!r} comes after the adapted {attacks[place - 1].id!r}; adapted attacks stand last"
            )
            return Fault(place, "id", message)
        if spec.after and place == 0:
            return Fault(place, "after", f"attack {spec.id!r} is the first, so it comes after nothing; leave after out")
        if spec.n is None:
            continue
        if not (spec.n >= 1 if isinstance(spec.n, int) else 0 < spec.n < 1):
            words = "a whole number of samples from 1, or a share between 0 and 1"
            return Fault(place, "n", f"n of attack {spec.id!r} must be {words}, not {spec.n!r}")
        if place == 0:
            message = f"no attack runs on all samples: the first, {spec.id!r}, has n = {spec.n}; leave its n out"
            return Fault(place, "n", message)
        if isinstance(spec.n, int) and spec.n % size:
            below = spec.n - spec.n % size
            near = f"{below} or {below + size}" if below else f"{size}"
            message = f"n = {spec.n} of attack {spec.id!r} is no multiple of its chunk, {size}; take {near}"
            return Fault(place, "n", f"{message}, or give the attack a chunk of its own")
    for place, (before, spec) in enumerate(pairwise(attacks), 1):
        if before.n is not None and (spec.n is None or (type(before.n) is type(spec.n) and spec.n > before.n)):
            return Fault(place, "n" if spec.n is not None else "id", _grows(before, spec))
        if is_pooled(before.adapt) and spec.n != before.n:
            message = f"attack {before.id!r} has a pool, which {spec.id!r}, on fewer samples, must not see; put it last"
            return Fault(place, "id", message)
    return None


def counts(
    name: str, attacks: Sequence[AttackSpec], chunk: int, n: int, edited: Collection[str] = ()
) -> tuple[int, ...]:
    """How many samples each attack runs on, in a slice of `n`; a share is rounded up to whole chunks.

    A suite is written for slices of every size, so its n means at most. Who gives one with a command has that slice in
    mind, and there more than it has is a mistake.

    Args:
        name: Of the suite, for errors.
        attacks: In the suite's order.
        chunk: The suite's.
        n: Size of the slice.
        edited: Attacks whose n was given with the command.

    Raises:
        BadSuite: an n that was given is larger than the slice, prefixes grow, or `fault`.
    """
    if (wrong := fault(attacks, chunk)) is not None:
        raise BadSuite(f"suite {name!r}: {wrong.message}")
    found: list[int] = []
    for spec in attacks:
        size = chunk_of(spec, chunk)
        count = n if spec.n is None else spec.n
        if isinstance(count, float):
            count = min(n, math.ceil(count * n / size - 1e-9) * size)
        if count > n and spec.id in edited:
            raise BadSuite(
                f"suite {name!r}: n = {count} of attack {spec.id!r} is more than the slice's {n} samples; measure more,"
                f" or give a smaller one with --attack-n {spec.id}=..."
            )
        count = min(count, n)
        if found and count > found[-1]:
            raise BadSuite(f"suite {name!r}: {_grows(attacks[len(found) - 1], spec)}")
        found.append(count)
    return tuple(found)


def check_after(name: str, attacks: Sequence[AttackSpec], resolved: Sequence[Attack], mode: str) -> None:
    """Refuse an attack that is to come after others and cannot be spared what they broke.

    Raises:
        BadSuite: it looks for a target class, or the mode runs every attack on all samples.
    """
    for spec, attack in zip(attacks, resolved, strict=True):
        if not spec.after:
            continue
        if not MODES[mode].may_share:
            raise BadSuite(
                f"suite {name!r}: attack {spec.id!r} comes after others, which mode {mode} does not do; use"
                f" {' or '.join(name for name, row in MODES.items() if row.may_share)}"
            )
        if not takes(attack, attack.target is not None):
            raise BadSuite(
                f"suite {name!r}: attack {spec.id!r} looks for one class, so another's witness settles nothing"
                " for it; leave after out"
            )


def parse_attack_n(words: Sequence[str]) -> dict[str, int | float | None]:
    """What ``--attack-n ID=N`` says, by attack; None for ``all``.

    Raises:
        UsageError: no such form, or the same attack twice.
    """
    found: dict[str, int | float | None] = {}
    for text in words:
        name, _, value = text.rpartition("=")
        try:
            number = None if value == ALL else float(value) if "." in value else int(value)
        except ValueError:
            number, name = None, ""
        if not name:
            raise UsageError(f"--attack-n {text!r} is not ID=N; write for instance autoattack=300, =0.1 or =all")
        if name in found:
            raise UsageError(f"--attack-n names {name!r} twice; give one of them")
        found[name] = number
    return found


def edited(attacks: Sequence[AttackSpec], wanted: Mapping[str, int | float | None]) -> tuple[AttackSpec, ...]:
    """The attacks with other n.

    Raises:
        UsageError: the suite has no such attack.
    """
    names = [spec.id for spec in attacks]
    if unknown := [name for name in wanted if name not in names]:
        raise UsageError(f"--attack-n: the suite has no attack {unknown[0]!r}; it has {', '.join(names)}")
    return tuple(replace(spec, n=wanted.get(spec.id, spec.n)) for spec in attacks)


def _grows(before: AttackSpec, spec: AttackSpec) -> str:
    words = "all samples" if spec.n is None else f"n = {spec.n}"
    return (
        f"attack {spec.id!r} runs on more samples ({words}) than {before.id!r} before it (n = {before.n}); put the"
        " attacks that run on more samples first"
    )
