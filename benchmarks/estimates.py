"""How often the interval of a joined estimate covers the truth: python benchmarks/estimates.py [-o FILE] [--draws N].

Simulated with the function that reports it (`harness.base.estimates.join`): N samples of which a share p stands after
the full attacks, a prefix of m on which a dearer attack leaves a share r of those that stand. Then chains of three
and four factors; the slice itself as target, of which the prefix alone is drawn; the rule of ``--until`` in the loop,
which looks at the interval after every chunk and stops when it is short enough. Seeds are fixed; a minute or two for
each part on one core, more for those of the slice.

``--facts RUN`` (repeatable) draws from real facts instead: of a complete run the last attack is taken for the dear one,
prefixes are drawn at random, and the interval for the slice is held against the full count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from harness.base.estimates import Factor, Joined, Target, join
from harness.errors import UsageError
from harness.evidence.facts import BROKEN, CLEAN, of_whole
from harness.evidence.store import RunStore
from harness.evidence.until import bound_of

N = (500, 2_000, 5_000, 12_630)
M = (30, 60, 120, 300, 400)
P = (0.05, 0.2, 0.5, 0.8, 0.95)
R = (0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
CHUNK = 100


def simulate(rows: np.ndarray, truth: np.ndarray | float, target: Target = "population") -> tuple[float, float]:
    """Coverage and mean half-width of the counts in `rows`: (stands, n, kept, drawn[, kept, drawn])."""
    counts, inverse = np.unique(rows, axis=0, return_inverse=True)
    found = [join(Factor(int(row[0]), int(row[1])), _factors(row[2:]), target) for row in counts]
    low = np.array([estimate.interval[0] for estimate in found])[inverse.ravel()]
    high = np.array([estimate.interval[1] for estimate in found])[inverse.ravel()]
    slack = 1e-12  # bounds that are the truth but for rounding cover it
    return float(np.mean((low <= truth + slack) & (truth <= high + slack))), float(np.mean(high - low) / 2)


def _factors(row: np.ndarray) -> list[Factor]:
    return [Factor(int(kept), int(drawn)) for kept, drawn in zip(row[::2], row[1::2], strict=True)]


def two_factors(draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Every setting of the grid."""
    for n, m, p, r in product(N, M, P, R):
        stands = rng.binomial(n, p, draws)
        drawn = rng.hypergeometric(stands, n - stands, m)
        kept = rng.binomial(drawn, r)
        rows = np.stack([stands, np.full(draws, n), kept, drawn], axis=1)
        coverage, width = simulate(rows, p * r)
        yield {"n": n, "m": m, "p": p, "r": r, "coverage": coverage, "half_width": width}


def of_slice(draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The slice itself: who stands there and whom the attack would leave is fixed, its prefix is drawn."""
    for n, m, p, r in product(N, M, P, R):
        stands = round(n * p)
        left = round(stands * r)
        drawn = rng.hypergeometric(stands, n - stands, m, draws)
        kept = rng.hypergeometric(left, stands - left, drawn)
        rows = np.stack([np.full(draws, stands), np.full(draws, n), kept, drawn], axis=1)
        coverage, width = simulate(rows, left / n, "set")
        yield {"n": n, "m": m, "p": p, "r": r, "coverage": coverage, "half_width": width}


def chain_of_slice(draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The same with a dearer attack on a quarter of the prefix, which would leave a fixed part of those left."""
    for n, m, p, r, q in product(N, M, P, (0.8, 0.95, 1.0), (0.9, 0.99, 1.0)):
        stands, short = round(n * p), max(1, m // 4)
        left = round(stands * r)
        last = round(left * q)
        drawn = rng.hypergeometric(stands, n - stands, m, draws)
        kept = rng.hypergeometric(left, stands - left, drawn)
        before = _part(rng, kept, drawn, rng.hypergeometric(drawn, m - drawn, short))
        remain = rng.hypergeometric(last, left - last, before)
        rows = np.stack([np.full(draws, stands), np.full(draws, n), kept, drawn, remain, before], axis=1)
        coverage, width = simulate(rows, last / n, "set")
        yield {"n": n, "m": m, "p": p, "r": r, "q": q, "coverage": coverage, "half_width": width}


def three_factors(draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """A dear attack on a prefix of m, a dearer one on a quarter of it."""
    for n, m, p, r, q in product(N, M, P, (0.8, 0.95, 0.99, 1.0), (0.9, 0.99, 1.0)):
        stands = rng.binomial(n, p, draws)
        drawn = rng.hypergeometric(stands, n - stands, m)
        kept = rng.binomial(drawn, r)
        short = max(1, m // 4)
        in_short = rng.hypergeometric(drawn, m - drawn, short)
        before = _part(rng, kept, drawn, in_short)
        last = rng.binomial(before, q)
        rows = np.stack([stands, np.full(draws, n), kept, drawn, last, before], axis=1)
        coverage, width = simulate(rows, p * r * q)
        yield {"n": n, "m": m, "p": p, "r": r, "q": q, "coverage": coverage, "half_width": width}


def _part(rng: np.random.Generator, kept: np.ndarray, drawn: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """How many of `kept` are among the first `taken` of `drawn`."""
    return rng.hypergeometric(kept, drawn - kept, taken)


def four_factors(draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The prefixes of suite ``standard`` on a large test set, each attack leaving a share of what stood before it."""
    n, ends = 12_630, (6_144, 2_048, 384)
    for p, *shares in product(P, (0.8, 0.95, 0.99), (0.9, 0.98, 1.0), (0.95, 0.99, 1.0)):
        stands = rng.binomial(n, p, draws)
        columns, standing, of = [stands, np.full(draws, n)], stands, n
        for end, share in zip(ends, shares, strict=True):
            before = rng.hypergeometric(standing, of - standing, end)
            standing, of = rng.binomial(before, share), end
            columns += [standing, before]
        coverage, width = simulate(np.stack(columns, axis=1), p * float(np.prod(shares)))
        yield {"p": p, "r": shares, "coverage": coverage, "half_width": width}


def until(draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Chunk by chunk until the half-width is at most 2 points, or 3, or out of reach, or the samples end."""
    for n, p, r, aim in product((2_000, 5_000, 12_630), P, (0.6, 0.8, 0.9, 0.95, 0.99, 1.0), (0.02, 0.03)):
        covered = total = spent = 0.0
        for _ in range(draws):
            stands = np.zeros(n, dtype=bool)
            stands[: rng.binomial(n, p)] = True
            rng.shuffle(stands)
            keeps = stands & (rng.random(n) < r)
            estimate, used = _stop(stands, keeps, aim)
            covered += estimate.interval[0] - 1e-12 <= p * r <= estimate.interval[1] + 1e-12
            total += estimate.half_width
            spent += used
        yield {
            "n": n, "p": p, "r": r, "aim": aim, "coverage": covered / draws,
            "half_width": total / draws, "samples": spent / draws,
        }  # fmt: skip


def _stop(stands: np.ndarray, keeps: np.ndarray, aim: float) -> tuple[Joined, int]:
    full = Factor(int(stands.sum()), len(stands))
    chosen, used = join(full, [Factor(0, 0)]), 0
    for end in range(CHUNK, len(stands) + CHUNK, CHUNK):
        used = min(end, len(stands))
        chosen = join(full, [Factor(int(keeps[:used].sum()), int(stands[:used].sum()))])
        hopeless = used == CHUNK and bound_of(chosen.interval, len(stands)) > aim  # as `until.state` has it
        if chosen.half_width <= aim or hopeless:
            break
    return chosen, used


def from_facts(run: Path, draws: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Prefixes of 100, 300 and 1,000 of a complete run's own samples, at each of its epsilons.

    Raises:
        HarnessError: no complete run, or one with a single attack.
    """
    store = RunStore(run)
    info, table = store.read_info(), of_whole(store.all_facts())
    names = table["attack"].to_numpy(zero_copy_only=False)
    outcomes = table["outcome"].to_numpy(zero_copy_only=False)
    ids, epsilons = table["sample_id"].to_numpy(), table["epsilon"].to_numpy()
    wrong = set(ids[(names == CLEAN) & (outcomes == "clean_wrong")].tolist())
    *cheap, dear = [attack.id for attack in info.suite.attacks]
    if info.status != "complete" or not cheap:
        raise UsageError(f"{run} is not a complete run of several attacks")
    for epsilon in info.suite.grid:
        lost = np.isin(outcomes, BROKEN) & (epsilons <= epsilon.value)
        first = wrong | set(ids[lost & np.isin(names, cheap)].tolist())
        n, stands = info.data.n, info.data.n - len(first)
        left = n - len(first | set(ids[lost & (names == dear)].tolist()))
        for m in (100, 300, 1_000):
            drawn = rng.hypergeometric(stands, n - stands, m, draws)
            kept = rng.hypergeometric(left, stands - left, drawn)
            rows = np.stack([np.full(draws, stands), np.full(draws, n), kept, drawn], axis=1)
            coverage, width = simulate(rows, left / n, "set")
            estimates = stands / n * kept / np.maximum(drawn, 1)
            yield {
                "run": info.model.name, "epsilon": epsilon.label, "n": n, "m": m, "stands": stands, "left": left,
                "coverage": coverage, "half_width": width, "mean_estimate": float(estimates.mean()),
            }  # fmt: skip


def report(name: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Print and return the worst settings and the means of one part."""
    found = list(rows)
    worst = sorted(found, key=lambda row: row["coverage"])[:5]
    mean = float(np.mean([row["coverage"] for row in found]))
    width = float(np.mean([row["half_width"] for row in found]))
    print(f"{name}: {len(found)} settings, coverage min {worst[0]['coverage']:.4f}, mean {mean:.4f},", end=" ")
    print(f"mean half-width {100 * width:.2f} points; worst: {worst[0]}", flush=True)
    return {"settings": len(found), "minimum": worst[0]["coverage"], "mean": mean, "half_width": width, "worst": worst}


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--until-draws", type=int, default=1_000)
    parser.add_argument("--part", action="append", help="only this part, by name; repeatable")
    parser.add_argument("--facts", type=Path, action="append", help="a run folder")
    given = parser.parse_args()
    parts: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "two": lambda: two_factors(given.draws, np.random.default_rng(1)),
        "three": lambda: three_factors(given.draws, np.random.default_rng(3)),
        "four": lambda: four_factors(given.draws, np.random.default_rng(6)),
        "until": lambda: until(given.until_draws, np.random.default_rng(4)),
        "slice": lambda: of_slice(given.draws, np.random.default_rng(2)),
        "slice-chain": lambda: chain_of_slice(given.draws, np.random.default_rng(7)),
    }
    if unknown := set(given.part or ()) - parts.keys():
        parser.error(f"no part {', '.join(sorted(unknown))}: {', '.join(parts)}")
    parts = {name: rows for name, rows in parts.items() if not given.part or name in given.part}
    if given.facts:
        parts = {
            str(run): partial(from_facts, run, given.draws, np.random.default_rng(5 + place))
            for place, run in enumerate(given.facts)
        }
    found = {name: report(name, rows()) for name, rows in parts.items()}
    if given.output:
        given.output.write_text(json.dumps({"draws": given.draws, "until_draws": given.until_draws, **found}, indent=2))


if __name__ == "__main__":
    main()
