"""One component of an attack on some rows of a chunk: its restarts, each of which is one call of the tool."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.base.torch_state import Precision
from harness.errors import PluginError
from harness.measure.unit.board import WitnessBoard
from harness.measure.unit.call import Calls
from harness.measure.unit.isolation import UnitTimeout, breaches
from harness.measure.unit.observer import AllBroken, ObservedModel, Watch, offer_returned
from harness.measure.unit.outcome import ComponentOutcome, merge
from harness.types import Problem


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a tool differentiates, in which arithmetic, and what becomes of its queries."""

    network: nn.Module
    precision: Precision
    watch: Watch


class Attempt:
    """The restarts of one component on some rows.

    Args:
        calls: Of the unit.
        rows: Chunk rows that are attacked, in the boards' order.
        target: What is attacked.
        boards: Makes an empty board of these rows.
        problem: What the tool is asked, by restart.
        observer: Gives the model in the reference's place the board it judges by.
    """

    def __init__(
        self,
        calls: Calls,
        rows: np.ndarray,
        target: Target,
        boards: Callable[[], WitnessBoard],
        problem: Callable[[int], Problem],
        observer: Callable[[WitnessBoard], ObservedModel],
    ) -> None:
        self._calls, self._rows, self._target, self._problem = calls, rows, target, problem
        self.board, self._returned = boards(), boards()
        self._returned.tried = self.board.tried  # the candidates of both are those of one attack
        self.observer = observer(self.board)
        self._faulty = torch.zeros(len(rows), dtype=torch.bool, device=self.board.clean.device)
        self._what: list[str] = []
        self.next = 0
        """The restart that is running, or comes next."""
        self.error: BaseException | None = None
        self._begun, self._asked = time.monotonic(), 0

    def whole(self, queries: int | None) -> float | None:
        """Seconds that the call that is running would take if it asks `queries` in all; None if that is not known."""
        asked = self.observer.queries - self._asked
        if queries is None or not 0 < asked <= queries:
            return None
        return (time.monotonic() - self._begun) * queries / asked

    def state(self) -> dict[str, Any]:
        """Everything found so far, between two restarts."""
        return {
            "next": self.next,
            "board": self.board.state(),
            "returned": self._returned.state(),
            "observer": self.observer.state(),
            "faulty": self._faulty.cpu().numpy(),
            "what": self._what,
        }

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Take up what `state` told of an attempt on the same rows."""
        self.next, self._what = kept["next"], kept["what"]
        self.board.go_on(kept["board"])
        self._returned.go_on(kept["returned"])
        self.observer.go_on(kept["observer"])
        self._faulty.copy_(torch.from_numpy(kept["faulty"]))

    def run(self, done: ComponentOutcome, between: Callable[[], None]) -> WitnessBoard:
        """Call the tool once a restart, and note in `done` what came of it.

        Args:
            done: The pass; an error of the tool stays in it.
            between: Called after each restart that another one follows.

        Returns:
            What was found; in modes that judge what is returned, that first.

        Raises:
            Halted: the run is to end.
        """
        freezing = self._target.watch == "freeze"
        while self.next < self._calls.attack.restarts and self._once(freezing):
            self.next += 1
            if freezing and bool(self.board.safe.all()):
                break
            if self.next < self._calls.attack.restarts:
                between()
        best = self.board if freezing else merge(self.board, self._returned)
        done.note(self._rows, best, self.observer)
        faulty = self._faulty & ~best.found
        if bool(faulty.any()):
            self._calls.failed(done, self._rows[faulty.cpu().numpy()], PluginError("; ".join(self._what)))
        if self.error is not None:
            self._calls.failed(done, self._rows, self.error, without_gradient=self.observer.without_gradient)
        return best

    def _once(self, freezing: bool) -> bool:
        """Call the tool; whether there is any use in calling it again."""
        restart, board = self.next, self.board
        self.observer.restart = restart
        self._begun, self._asked = time.monotonic(), self.observer.queries
        try:
            back = self._calls.perturb(self.observer, self._target.precision, self._problem(restart))
            # Observed mode asks only whether there is a witness; the others keep what was returned apart.
            if found := self._breaches(back):
                self._faulty |= found[0]
                self._what = found[1]
            offer_returned(board if freezing else self._returned, back, restart)
        except AllBroken:
            return False
        except (Exception, SystemExit, UnitTimeout) as caught:  # any failure of a tool stays in its cell
            self.error = caught
            return False
        return True

    def _breaches(self, back: Tensor | None) -> tuple[Tensor, list[str]] | None:
        board = self.board
        return breaches(back, board.clean, board.norm, board.epsilon, self._calls.attack.kind, board.masks)
