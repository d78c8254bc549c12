"""Which attacks in front of AutoAttack's parts make its verdict for a whole test set cheapest.

``harness eval --suite benchmarks/cheap_phase.toml`` runs every candidate alone, on the first so many of the same few
hundred samples. What any order of them on any prefixes would cost and leave follows from these facts, and how wide the
joined interval would be from the function that reports it; so no design has to be run. The best one for all models is
the cheapest whose half-width is at most the aim at every epsilon of every model.

python benchmarks/cheap_phase.py RUN... [--held-out RUN...] [-o FILE]

Held-out runs take no part in the choice; without others, the shipped suites alone are held against them. A price is
forwards + 2 x backwards, of all attacks on all epsilons, cheap ones included. AutoAttack alone is its four parts on as
many samples as give Wilson's interval the same half-width, each part at every epsilon, as the tool runs them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from common import write
from numpy.typing import NDArray

from harness.base.estimates import Factor, join
from harness.base.modes import runs_once
from harness.evidence.facts import BROKEN, CLEAN, of_whole
from harness.evidence.store import RunStore
from harness.inputs.suite_file import load_suite

N, AIMS, CHUNK = 12_630, (0.015, 0.02), 64
PARTS = ("apgd-ce", "apgd-t", "fab-t", "square")
FEW = (128, 192, 256, 320, 384, 512, 640, 768, 1024, 1536, 2048)
"""Prefixes of the dear attacks."""
MANY = (N, 6144, 4096, 3072, 2048, 1024, 512)
"""Samples of the short ones."""
FIRST = ("pgd-20", "apgd-ce-20", "apgd-dlr-20", "apgd-ce")
SHORT = ("apgd-ce-20", "apgd-dlr-20", "apgd-t-10-1", "apgd-t-10-3", "apgd-t-10-9", "apgd-t-20-1", "apgd-t-20-3")
FRONTS = (
    (),
    *((name,) for name in SHORT),
    *(pair for pair in product(SHORT[:3], SHORT[3:]) if pair[1] != "apgd-t-20-1"),
)
"""Short attacks between the first one and the dear ones."""


@dataclass(frozen=True)
class Step:
    """One attack of a design."""

    attack: str
    n: int
    alone: bool = False
    """Whether it attacks what earlier ones broke, too."""


Design = tuple[Step, ...]


@dataclass(frozen=True)
class Outlook:
    """What a design comes to at one epsilon."""

    price: float
    estimate: float
    half_width: float


class Measured:
    """The facts of one run of the candidates, each on its own samples.

    Args:
        run: Its folder.
    """

    def __init__(self, run: Path) -> None:
        store = RunStore(run)
        info = store.read_info()
        table = of_whole(store.all_facts())
        names = table["attack"].to_numpy(zero_copy_only=False)
        lost = np.isin(table["outcome"].to_numpy(zero_copy_only=False), BROKEN)
        wrong = table["outcome"].to_numpy(zero_copy_only=False) == "clean_wrong"
        ids, places = np.unique(table["sample_id"].to_numpy(), return_inverse=True)
        epsilons = table["epsilon"].to_numpy()
        spent = table["forwards"].to_numpy() + 2 * table["backwards"].to_numpy()
        self.model, self.grid, self.n = info.model.name, tuple(info.suite.labels), len(ids)
        self.precision = info.planned.precision
        self.names = {(a.method, str(sorted(a.params.items()))): a.id for a in info.suite.attacks}
        """Ids by method and parameters: a suite may call the same attack something else."""
        self.right = np.ones(len(ids), dtype=bool)
        self.right[places[(names == CLEAN) & wrong]] = False
        self.fell: dict[str, NDArray[np.int64]] = {}
        """By attack, the place in the grid at which it broke each sample; as long as the grid if it did not."""
        self.price: dict[str, NDArray[np.float64]] = {}
        """By attack, [n, epsilons]: forwards + 2 x backwards; of one that runs once for all, what each would cost."""
        self.once = {attack.id for attack in info.suite.attacks if runs_once(attack)}
        self.seen: dict[str, NDArray[np.bool_]] = {}
        """By attack, whether it ran on each sample."""
        for attack in info.suite.attacks:
            fell, price = np.full(len(ids), len(self.grid)), np.zeros((len(ids), len(self.grid)))
            seen = np.zeros(len(ids), dtype=bool)
            for place, value in enumerate(info.suite.epsilons):
                mine = (names == attack.id) & (epsilons == value)
                seen[places[mine]] = True
                price[places[mine], place] = spent[mine]
                np.minimum.at(fell, places[mine & lost], place)
            if attack.id in self.once:
                price[:] = price.sum(1, keepdims=True)  # its facts have it at one epsilon
            self.fell[attack.id], self.price[attack.id], self.seen[attack.id] = fell, price, seen
        self._known: dict[tuple[tuple[tuple[str, bool], ...], int], list[tuple[float, float]]] = {}

    def outlook(self, design: Design, n: int = N, once: bool = True) -> list[Outlook]:
        """Price, estimate and half-width of a design on a slice of `n`, at each epsilon.

        What runs once for all epsilons is paid for at the smallest; at each, if not `once`.
        """
        return [self._at(design, n, place, once) for place in range(len(self.grid))]

    def _at(self, design: Design, n: int, place: int, once: bool) -> Outlook:
        stages = self._stages(tuple((step.attack, step.alone) for step in design), place)
        paid = [not (once and place and step.attack in self.once) for step in design]
        price = sum(step.n * each * pays for step, (each, _), pays in zip(design, stages, paid, strict=True))
        left = {step.n: share for step, (_, share) in zip(design, stages, strict=True)}
        share = left.pop(n)
        whole, further = round(n * share), []
        for drawn, last in left.items():  # attacks on the same samples are one factor
            further.append((round(drawn * share), round(drawn * last)))
            share = last
        return Outlook(price, *_joined(whole, n, tuple(further)))

    def _stages(self, attacks: tuple[tuple[str, bool], ...], place: int) -> list[tuple[float, float]]:
        """After each attack, its price for one sample of the slice, and the share of all that still stands."""
        if (known := self._known.get((attacks, place))) is not None:
            return known
        before = self._stages(attacks[:-1], place) if len(attacks) > 1 else []
        (name, alone), right = attacks[-1], float(self.right.mean())
        seen, price, share = self.seen[name], self.price[name][:, place], before[-1][1] if before else right
        alive = self.right.copy()
        for earlier, _ in attacks[:-1]:
            alive &= ~(self.seen[earlier] & (self.fell[earlier] <= place))
        given, stands = (self.right, right) if alone else (alive, share)
        each = stands * float(price[seen & given].mean()) if (seen & given).any() else 0.0
        rows = seen & alive
        kept = float((self.fell[name][rows] > place).mean()) if rows.any() else 1.0
        found = [*before, (each, share * kept)]
        self._known[attacks, place] = found
        return found

    def autoattack(self, aim: float) -> tuple[int, list[Outlook]]:
        """AutoAttack alone on the least n at which its widest interval is as short as `aim`."""
        for n in range(CHUNK, N + CHUNK, CHUNK):
            found = self.outlook(tuple(Step(part, n) for part in PARTS), n, once=False)
            if max(one.half_width for one in found) <= aim:
                return n, found
        raise SystemExit(f"{self.model}: no n gives {aim}")


@lru_cache(maxsize=1 << 20)
def _joined(kept: int, n: int, further: tuple[tuple[int, int], ...]) -> tuple[float, float]:
    joined = join(Factor(kept, n), [Factor(last, first) for first, last in further])
    return joined.accuracy, joined.half_width


def designs(own: bool) -> Iterator[Design]:
    """Every design that is compared; with `own` cells, FGSM and PGD-20 run on all samples whatever else broke them."""
    orders = (("apgd-ce", "apgd-t", "", "fab-t", "square"), ("apgd-t", "", "apgd-ce", "fab-t", "square"))
    for first, front in product(("pgd-20",) if own else FIRST, FRONTS):
        if first in front:
            continue
        head = (Step("fgsm", N, alone=True), Step(first, N, alone=True)) if own else (Step(first, N, alone=True),)
        for ns, order, many, few in product(_falling(len(front)), orders, FEW, FEW):
            if (ns[-1] if ns else N) >= many >= few and few <= 640:
                cut = order.index("")
                dear = [Step(part, many) for part in order[:cut]] + [Step(part, few) for part in order[cut + 1 :]]
                short = [Step(name, n) for name, n in zip(front, ns, strict=True)]
                yield (*head, *short, *(step for step in dear if step.attack != first))


def _falling(places: int) -> list[tuple[int, ...]]:
    """Numbers of samples of so many short attacks, none on more than the one before."""
    return [ns for ns in product(MANY, repeat=places) if list(ns) == sorted(ns, reverse=True)]


def best(runs: Sequence[Measured], own: bool, aim: float) -> dict[Design, float]:
    """Of each order of attacks the prefixes with the largest saving in its worst model, if all models reach the aim."""
    alone = [sum(one.price for one in run.autoattack(aim)[1]) for run in runs]
    found: dict[tuple[tuple[str, bool], ...], tuple[float, Design]] = {}
    for design in designs(own):
        looks = [run.outlook(design) for run in runs]
        if max(one.half_width for look in looks for one in look) > aim:
            continue
        saving = min(price / sum(one.price for one in look) for price, look in zip(alone, looks, strict=True))
        front = tuple((step.attack, step.n == N) for step in design)
        if front not in found or saving > found[front][0]:
            found[front] = saving, design
    return {design: saving for saving, design in sorted(found.values(), key=lambda pair: -pair[0])}


def shipped(run: Measured, suite: str) -> Design:
    """A built-in suite as a design."""
    found, steps = load_suite(suite), []
    for spec, n in zip(found.attacks, found.counts(N), strict=True):
        name = run.names[spec.method, str(sorted(spec.params.items()))]
        steps.append(Step(name, n, alone=spec.after is None))
    return tuple(steps)


def told(design: Design) -> str:
    """``pgd-20 12,630, apgd-t 1,024, ...``."""
    return ", ".join(f"{step.attack} {step.n:,}" for step in design)


def account(run: Measured, design: Design, aim: float) -> dict[str, Any]:
    """What a design costs and gives on one model, beside AutoAttack alone at the same half-width."""
    looks, (n, alone) = run.outlook(design), run.autoattack(aim)
    rows = []
    for label, look, whole in zip(run.grid, looks, alone, strict=True):
        rows.append({
            "epsilon": label, "estimate": round(look.estimate, 4), "half_width": round(look.half_width, 5),
            "price": round(look.price), "autoattack_alone": round(whole.price),
        })  # fmt: skip
    price, other = (sum(one.price for one in found) for found in (looks, alone))
    return {"model": run.model, "price": round(price), "autoattack_n": n, "autoattack_alone": round(other),
            "times_cheaper": round(other / price, 2), "epsilons": rows}  # fmt: skip


def measured(run: Measured) -> dict[str, Any]:
    """What each candidate left of the samples that it saw, at each epsilon, and its price a sample."""
    rows = {}
    for name, fell in run.fell.items():
        seen = run.seen[name]
        left = [round(float((fell[seen & run.right] > place).sum() / seen.sum()), 4) for place in range(len(run.grid))]
        rows[name] = {"n": int(seen.sum()), "left": left, "price": run.price[name][seen].mean(0).round(1).tolist()}
    return {"model": run.model, "n": run.n, "precision": run.precision, "attacks": rows}


def table(report: dict[str, Any]) -> str:
    """The rows of docs/estimates.md: the suites; for each aim the best design, and the best with no short attack."""
    rows = [(f"`{label}`", accounts) for label, accounts in report["suites"].items()]
    for own, aim in product((True, False), AIMS) if report["found"] else ():
        found = [one for one in report["found"] if (one["own_cells"], one["aim"]) == (own, aim)]
        plain = [one for one in found if not any(f"{name} " in one["design"].partition(",")[2] for name in SHORT)][:1]
        rows += [(one["design"], one["models"]) for one in [found[0], *(one for one in plain if one is not found[0])]]
    models = [account["model"] for account in rows[0][1]]
    lines = [
        f"| attacks and their n | half-widths | {' | '.join(f'`{name}`' for name in models)} |",
        "|---" * (2 + len(models)) + "|",
    ]
    for name, accounts in rows:
        widths = " / ".join(
            f"{100 * max(one['half_width'] for one in account['epsilons']):.2f}" for account in accounts
        )
        lines.append(f"| {name} | {widths} | {' | '.join(_saving(account) for account in accounts)} |")
    return "\n".join(lines)


def _saving(account: dict[str, Any]) -> str:
    each = ", ".join(f"{one['autoattack_alone'] / one['price']:.1f}" for one in account["epsilons"])
    return f"**{account['times_cheaper']:.1f}** ({each}); {account['autoattack_n']:,}"


def search(runs: Sequence[Measured], everyone: Sequence[Measured], count: int) -> list[dict[str, Any]]:
    """The best designs of `runs` for each aim, and the best with no short attack, accounted for on `everyone`."""
    rows = []
    for own, aim in product((True, False), AIMS):
        found = list(best(runs, own, aim).items())
        plain = [pair for pair in found if not any(step.attack in SHORT for step in pair[0][1:])][:1]
        for design, saving in [*found[:count], *(pair for pair in plain if pair not in found[:count])]:
            accounts = [account(run, design, aim) for run in everyone]
            print(f"+-{100 * aim:g}{', own cells' * own}: {saving:.2f} times: {told(design)}", flush=True)
            rows.append({"aim": aim, "own_cells": own, "design": told(design), "saving": round(saving, 2),
                         "models": accounts})  # fmt: skip
    return rows


def main() -> None:
    """Search on the runs, hold the best designs against the held-out ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--held-out", type=Path, nargs="*", default=[])
    parser.add_argument("--designs", type=int, default=8, help="how many are told")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    runs, others = ([Measured(path) for path in paths] for paths in (given.runs, given.held_out))
    everyone = (*runs, *others)
    if not everyone:
        parser.error("no run")
    report: dict[str, Any] = {
        "benchmark": "cheap-phase",
        "n": N,
        "measured": [measured(run) for run in everyone],
        "suites": {},
        "found": [],
    }
    for suite in ("standard", "autoattack"):
        designs_of = [shipped(run, suite) for run in everyone]
        widths = [max(one.half_width for one in r.outlook(d)) for r, d in zip(everyone, designs_of, strict=True)]
        told_of = zip(everyone, designs_of, widths, strict=True)
        report["suites"][load_suite(suite).label] = [account(run, design, width) for run, design, width in told_of]
    if runs:
        report["found"] = search(runs, everyone, given.designs)
    write(report, given.output)
    print(table(report))


if __name__ == "__main__":
    main()
