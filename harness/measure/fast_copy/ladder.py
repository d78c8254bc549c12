"""From a model to its fastest copy one step at a time, each of which must pay by more than the noise of measuring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from harness.base.deadline import Deadline
from harness.base.torch_state import arithmetic
from harness.inputs.reference import ReferenceModel
from harness.measure.fast_copy.copies import CopyRecipe, Unfit, prepare, useful_speedups
from harness.measure.fast_copy.race import race, seconds_per_gradient


class Time:
    """The time there is for measuring, and whether it was over before all was tried."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline, self.cut = deadline, False

    @property
    def over(self) -> bool:
        """To be asked before each step."""
        self.cut = self.cut or self._deadline.over
        return self.cut


class Ladder:
    """Prepares a copy one step at a time; each is kept if it pays by more than the noise of the measurement.

    Args:
        reference: The entered reference.
        rows: What copies are compared and timed on, [n,C,H,W].
        seconds: What an input gradient of one row takes the reference.
        limit: When no step is begun any more that was not asked for.
    """

    def __init__(self, reference: ReferenceModel, rows: Tensor, seconds: float, limit: Time) -> None:
        self.reference, self.rows, self.limit = reference, rows, limit
        self.copies: dict[CopyRecipe, nn.Module] = {CopyRecipe(): reference.module}
        self.speeds = {CopyRecipe(): 1 / seconds}
        """Input gradients per second by recipe that was timed: the reference's, times what each step gained."""
        self.unfit: list[str] = []
        """Why steps could not be taken."""

    def climb(self, plain: CopyRecipe, compiled: bool) -> CopyRecipe:
        """The best recipe found from `plain` on, `compiled` if that is asked; the exact one if there can be no copy.

        What did not pay is tried once more after the order of memory has changed, on which much depends.
        """
        at = CopyRecipe()
        if plain != at:
            if not self._prepared(plain):
                return at
            self._pays(at, plain)
            at = plain
        left = list(useful_speedups(self.reference, self.rows[:2]))
        for _ in range(2):
            for name in tuple(left):
                if self.limit.over:
                    break
                step = replace(at, speedups=(*at.speedups, name))
                if not self._prepared(step):
                    left.remove(name)
                elif self._pays(at, step):
                    left.remove(name)
                    at = step
            turned = replace(at, channels_last=True)
            if at.channels_last or self.limit.over or not self._prepared(turned) or not self._pays(at, turned):
                break
            at = turned
        if compiled and self._prepared(done := replace(at, compiled=True)):
            self._pays(at, done)
            return done
        return at

    def _prepared(self, recipe: CopyRecipe) -> bool:
        """Whether there is a copy by `recipe`; where not, it is noted why."""
        if recipe not in self.copies:
            try:
                self.copies[recipe] = prepare(self.reference, recipe, self.rows)
            except Unfit as error:
                self.unfit.append(str(error))
        return recipe in self.copies

    def _pays(self, at: CopyRecipe, step: CopyRecipe) -> bool:
        """Whether the copy by `step` is faster than the one by `at`."""
        run = race(self._timed(at), self._timed(step))
        self.speeds[step] = self.speeds[at] * run.ratio
        return run.won

    def _timed(self, recipe: CopyRecipe) -> Callable[[], float]:
        def seconds() -> float:
            with arithmetic(recipe.precision):
                return len(self.rows) * seconds_per_gradient(self.copies[recipe], self.rows, self.reference.device)

        return seconds
