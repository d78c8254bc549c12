"""The reference: the one model whose prediction decides what counts."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from harness.base.deadline import Deadline
from harness.base.memory import is_out_of_memory, release
from harness.base.torch_state import at_device, evaluating, exact_arithmetic
from harness.errors import ModelRefused
from harness.types import LoadedModel

MARGINAL = 1e-3
"""A margin below this share of the logit range is marginal: it might not hold on another device."""


class ReferenceModel:
    """A model in eval mode, frozen, float32, TF32 off; as a context manager it puts everything back afterwards.

    Args:
        model: The loaded model; its module takes float32 [n,C,H,W] in [0,1] and returns logits [n,num_classes].
        device: Where to measure; the module is moved there and back.
        batch_size: Rows per forward of `logits`.
    """

    def __init__(self, model: LoadedModel, device: torch.device | str = "cpu", batch_size: int = 256) -> None:
        self.name = model.name
        self.num_classes = model.num_classes
        self.loaded = model
        self.module = model.module
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.out_of_memory = 0
        """How often `logits` had to go on in smaller pieces because memory ran out."""
        self._exit = ExitStack()

    def __enter__(self) -> ReferenceModel:
        self._exit.enter_context(at_device(self.module, self.device))
        self._exit.enter_context(evaluating(self.module))
        self._exit.enter_context(exact_arithmetic())
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @torch.no_grad()
    def logits(self, images: Tensor, deadline: Deadline | None = None) -> Tensor:
        """Logits float32 [n,num_classes] on the reference's device, in pieces of `batch_size`, or smaller.

        Args:
            images: float32 [n,C,H,W] in [0,1].
            deadline: Asked before each piece; None for no end.

        Raises:
            ModelRefused: the output is not [n,num_classes], or not finite.
            Halted: the deadline passed.
        """
        with exact_arithmetic():  # also while a tool runs that may use less
            pieces = self._pieces(images, self.batch_size, deadline or Deadline())
        out: Any = torch.cat(pieces) if pieces else torch.empty(0, self.num_classes, device=self.device)
        if not isinstance(out, Tensor) or out.shape != (len(images), self.num_classes):
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ModelRefused(
                f"model {self.name!r} returned {got} for {len(images)} images; expected logits"
                f" ({len(images)}, {self.num_classes}): check num_classes of its card"
            )
        if not torch.isfinite(out).all():
            raise ModelRefused(f"model {self.name!r} returned logits that are NaN or infinite; mend the model first")
        return out.float()

    def _pieces(self, images: Tensor, size: int, deadline: Deadline) -> list[Any]:
        while True:
            try:
                return [self._piece(piece, deadline) for piece in images.split(size)]
            except Exception as error:
                size = min(size, len(images)) // 2
                if not is_out_of_memory(error) or not size:
                    raise
                self.out_of_memory += 1
                release()

    def _piece(self, images: Tensor, deadline: Deadline) -> Any:
        deadline.check()
        return self.module(images.to(self.device, torch.float32))


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Best wrong logit minus true logit, [n]; positive exactly where the prediction is wrong (ties aside)."""
    true = logits.gather(1, labels[:, None]).squeeze(1)
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return wrong - true


def target_margins(logits: Tensor, targets: Tensor) -> Tensor:
    """Target logit minus the best other, [n]; positive exactly where the target is predicted."""
    return -margins(logits, targets)


def usual_range(logits: Tensor) -> float:
    """Median range of the logits [n,K] of clean images: the unit in which a model's margins are judged."""
    return float((logits.amax(1) - logits.amin(1)).median()) if len(logits) else 0.0


def marginal(logits: Tensor, margin: Tensor, usual: float) -> Tensor:
    """Which rows, [n], are won by so little that another device might disagree.

    Args:
        logits: Of the candidates, [n,K].
        margin: By which they are won, [n].
        usual: The model's `usual_range`. It counts where it is above the row's own range: with two classes that is the
            margin itself, and rounding does not shrink with it.
    """
    return margin < MARGINAL * (logits.amax(1) - logits.amin(1)).clamp_min(usual)
