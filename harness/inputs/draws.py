"""A randomized model is asked often: its answer is a vote of many draws, and so is the verdict on a candidate.

Every draw is one forward of one image alone, after all generators were seeded by (run, sample, draw): it hangs neither
on other images, nor on what was asked before it, nor on when an attack was stopped, and comes out bit for bit again.
Every candidate gets draws that nothing has seen before it, and must pass the test of `harness.base.votes` on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.base.randomness import derive, forked, reseed
from harness.base.votes import AVERAGED, LEVEL, checked, evidence, hopeless, needed
from harness.errors import UsageError
from harness.inputs.reference import ReferenceModel
from harness.types import ModelCard, Rule


@dataclass(frozen=True)
class Trial:
    """One candidate, tried."""

    votes: int
    """How many were cast before it was settled."""
    hits: int
    """How many of them are what the attack wants."""
    prediction: int
    """The target; without one the class with the most votes among the wrong ones."""
    accepted: bool
    """Whether it is a witness."""

    @property
    def margin(self) -> float:
        """Share of the votes that hit minus that of the others; above 0 where most hit."""
        return (2 * self.hits - self.votes) / self.votes


@dataclass(frozen=True)
class Poll:
    """What images are read as, on the reference's device."""

    votes: Tensor
    """By class, int64 [n,K]; each row adds up to the same number."""
    logits: Tensor
    """Mean logits of all draws, float32 [n,K]."""

    def answers(self, labels: Tensor) -> Tensor:
        """Predicted classes, int64 [n]: the label where more than half of the votes are for it, else the best other."""
        own = self.votes.gather(1, labels[:, None]).squeeze(1)
        others = self.votes.scatter(1, labels[:, None], -1).argmax(1)
        return labels.where(2 * own > self.votes.sum(1), others)

    def margins(self, labels: Tensor) -> Tensor:
        """Share of the votes against the label minus that for it, float64 [n]; below 0 where the answer is right."""
        own = self.votes.gather(1, labels[:, None]).squeeze(1).double()
        return 1 - 2 * own / self.votes.sum(1)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How a randomized model is asked.

    Attributes:
        count: Draws of an answer, and the most that a candidate gets.
        rule: ``majority``: each draw is a vote. ``mean``: each vote is the class of the mean logits of 10 draws.
        seed: The run's.
        level: See `harness.base.votes.LEVEL`.
    """

    count: int
    rule: Rule = "majority"
    seed: int = 0
    level: float = LEVEL

    @property
    def votes(self) -> int:
        """Votes of an answer, and the most of a candidate."""
        return self.count // AVERAGED[self.rule]

    def poll(self, reference: ReferenceModel, images: Tensor, samples: Sequence[int]) -> Poll:
        """The answers for clean images.

        Args:
            reference: The entered model.
            images: Float32 [n,C,H,W] in [0,1].
            samples: Their ids.
        """
        votes = torch.zeros(len(images), reference.num_classes, dtype=torch.int64, device=reference.device)
        logits = torch.zeros(votes.shape, device=reference.device)
        with forked(0):
            for row, sample in enumerate(samples):
                image = images[row : row + 1].to(reference.device)
                for vote in range(self.votes):
                    mean = self._vote(reference, image, sample, 0, vote)
                    votes[row, mean.argmax()] += 1
                    logits[row] += mean / self.votes
        return Poll(votes, logits)

    def trial(
        self,
        reference: ReferenceModel,
        image: Tensor,
        sample: int,
        candidate: int,
        label: int,
        target: int | None = None,
        votes: int | None = None,
    ) -> Trial:
        """Try a candidate, on draws of its own.

        Args:
            reference: The entered model.
            image: The candidate [1,C,H,W].
            sample: Id of its sample.
            candidate: How many candidates of the sample there were with this one, from 1.
            label: The true class.
            target: The class that the attack wants; None for any that is wrong.
            votes: Cast exactly so many; None stops as soon as the candidate is settled.
        """
        asked, most = needed(candidate, self.level), votes or self.votes
        cast: list[int] = []
        hits, accepted = 0, False
        with forked(0):
            image = image.to(reference.device)
            while len(cast) < most:
                answer = int(self._vote(reference, image, sample, candidate, len(cast)).argmax())
                cast.append(answer)
                hits += answer == target if target is not None else answer != label
                accepted = evidence(hits, len(cast)) >= asked
                if votes is None and (accepted or hopeless(hits, len(cast), most, asked)):
                    break
        wrong = [answer for answer in cast if answer != label]
        common = max(set(wrong), key=lambda answer: (wrong.count(answer), -answer), default=label)
        return Trial(len(cast), hits, common if target is None else target, accepted)

    def _vote(self, reference: ReferenceModel, image: Tensor, sample: int, candidate: int, vote: int) -> Tensor:
        """Mean logits [K] of the draws of one vote; candidate 0 is the image itself."""
        each = AVERAGED[self.rule]
        total = torch.zeros(reference.num_classes, device=reference.device)
        for draw in range(vote * each, (vote + 1) * each):
            reseed(derive(self.seed, "draw", int(sample), candidate * self.count + draw))
            total += reference.logits(image)[0] / each
        return total


def chosen_draws(card: ModelCard | None, draws: int | None, rule: str | None, seed: int) -> Draws | None:
    """How a model is asked: as the options say, else as its card does; None for a single forward.

    Args:
        card: The model's card, whose ``randomness`` has ``draws`` and maybe ``rule``.
        draws: The option; 0 asks once whatever the card says, None leaves it to the card.
        rule: The option; None leaves it to the card.
        seed: The run's.

    Raises:
        UsageError: too few draws, an unknown rule, or a rule without draws.
    """
    told: Mapping[str, Any] = card.randomness if card is not None else {}
    count = told.get("draws") if draws is None else draws
    if count is None or count == 0:
        if rule is not None:
            raise UsageError(f"--rule {rule} says how draws are counted: give their number, with --draws")
        return None
    where = "--draws" if draws is not None else "the model card's randomness.draws"
    number, how = checked(count, rule or told.get("rule", "majority"), where)
    return Draws(count=number, rule=how, seed=seed)


class Told(Protocol):
    """What run.json says of its draws."""

    @property
    def draws(self) -> int:
        """Draws of an answer."""

    @property
    def rule(self) -> Rule:
        """What makes a vote."""

    @property
    def level(self) -> float:
        """Probability of a false witness."""


def recorded_draws(told: Told | None, seed: int) -> Draws | None:
    """How a run asked its model, by its run.json; None for one forward."""
    return None if told is None else Draws(count=told.draws, rule=told.rule, seed=seed, level=told.level)
