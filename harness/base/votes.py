"""The votes of a randomized model: how many draws make one, and the test that a candidate must pass to be a witness.

A sample is right if more than half of its votes are. A witness needs more than a vote against it: an attack offers
thousands of candidates, and even of a sample that each draw gets right with probability .8 some are wrong most times by
chance. So a candidate is accepted only once the lower bound of the share of votes that hit is above 1/2: the i-th of a
sample at level ``LEVEL * 6 / (pi i)^2``, which adds up to `LEVEL` over all candidates that one attack offers at one
epsilon. It is dropped as soon as that has become unlikely, which saves draws, and can only avert false witnesses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError
from harness.types import Rule

LEVEL = 1e-3
"""Probability, of one sample under one attack at one epsilon, that a witness is accepted of which none is right."""
LEAD = 4
"""A candidate is dropped once so many more of its votes missed than hit: of a share of .7 that loses one in 30."""
MOST = 100_000
"""Draws that a candidate may get."""
AVERAGED: Mapping[str, int] = MappingProxyType({"majority": 1, "mean": 10})
"""By rule, how many draws make a vote: the class of their mean logits."""


@lru_cache(maxsize=65_536)
def evidence(hits: int, votes: int) -> float:
    """Log of the evidence that most votes hit, after `hits` of `votes`; 0 before the first.

    The likelihood ratio of a share against 1/2, averaged over all shares from 1/2 to 1 (H. Robbins, Annals of
    Mathematical Statistics 1970). While the share is at most 1/2 this is a supermartingale that starts at 1: that it
    ever reaches 1/level, however often one looks, has a probability of at most `level` (J. Ville, 1939). It reaches
    that just where the lower bound of the share which holds at all numbers of votes at once goes above 1/2.
    """
    from scipy.special import betainc, betaln

    a, b = hits + 1, votes - hits + 1
    above = float(betainc(b, a, 0.5))
    # Hundreds of votes that all missed leave nothing of it in float64.
    return (votes + 1) * math.log(2) + float(betaln(a, b)) + math.log(above) if above else -math.inf


def needed(candidate: int, level: float = LEVEL) -> float:
    """The log evidence at which a sample's candidate number `candidate`, from 1, is accepted."""
    return math.log(math.pi**2 * candidate**2 / 6 / level)


def hopeless(hits: int, votes: int, most: int, asked: float) -> bool:
    """Whether a candidate is dropped: it fell behind, or could not reach `asked` with all of `most` votes cast."""
    return votes - 2 * hits >= LEAD or evidence(hits + most - votes, most) < asked


def fewest(rule: Rule) -> int:
    """The fewest draws with which any candidate could ever be accepted."""
    votes = 1
    while evidence(votes, votes) < needed(1):
        votes += 1
    return votes * AVERAGED[rule]


def checked(count: Any, rule: Any, where: str = "--draws") -> tuple[int, Rule]:
    """Draws and rule, if they can be used.

    Args:
        count: Draws.
        rule: How they are counted.
        where: What the error calls the draws.

    Raises:
        UsageError: too few or too many draws to vote, or an unknown rule.
    """
    if rule not in AVERAGED:
        raise UsageError(f"{where}: rule {rule!r:.60} is not one of {', '.join(AVERAGED)}")
    least, each = fewest(rule), AVERAGED[rule]
    if not isinstance(count, int) or isinstance(count, bool) or not least <= count <= MOST or count % each:
        some = f", a multiple of {each}" if each > 1 else ""
        raise UsageError(
            f"{where} {count!r:.60}: by rule {rule} expected a whole number from {least} (fewer can show no break) to"
            f" {MOST:,}{some}; 100 is a good start for majority, 200 for mean"
        )
    return count, rule
