"""What the doctor asks the model: a few hundred forwards and two backwards, on a small sample of the data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from harness.base.memory import is_out_of_memory
from harness.base.torch_state import changed_buffers, snapshot
from harness.errors import ModelRefused
from harness.inputs.reference import ReferenceModel, margins, usual_range
from harness.trust.doctor.inputs import CHANNELS
from harness.trust.doctor.variants import variants
from harness.types import ModelCard

PROBED = 64
"""Images for everything but clean accuracy."""
ALONE = 8
"""Images that are predicted one by one."""
TINY = 1e-6
STEP = 1 / 255
FEW_WRONG = 10
"""With fewer wrong predictions than this no other normalization can be significantly better, so none is tried."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What the model said. Tensors are on the CPU; n images for `logits`, the first m of them for the rest."""

    images: Tensor
    labels: Tensor
    logits: Tensor
    """[n,K]."""
    again: Tensor
    """Logits [m,K] of the same images, asked a second time."""
    alone: Tensor
    """Logits [k,K] of the first images, each in a batch of its own."""
    gradient: Tensor | None = None
    """Largest entry of each image's cross-entropy gradient, [m], NaN where one is; None if there is no gradient."""
    slope: Tensor | None = None
    """The same of the gradient of the margin (best wrong logit minus true logit)."""
    no_gradient: str = ""
    """Why there is no gradient."""
    tiny: Tensor | None = None
    """Predictions [m] after a step of 1e-6 along the sign of the margin's gradient."""
    uphill: Tensor | None = None
    """Margin [m] gained by a step of 1/255 along that sign."""
    sideways: Tensor | None = None
    """Margin [m] gained by a step of 1/255 in random directions."""
    noisy: Tensor | None = None
    """Predictions [m] after that random step."""
    other_inputs: Mapping[str, Tensor] = field(default_factory=dict)
    """Which predictions are right if the images are normalized in another way: bool [m], of the best way [n]."""
    in_training: Sequence[str] = ()
    """Layers that were in train mode, or used statistics of the batch, while the model predicted."""
    changed: Sequence[str] = ()
    """Buffers that predicting changed."""
    after: Tensor | None = None
    """Logits [m,K] of the same images after everything else was asked."""
    asked: int = 0
    """Images the model had been given by then."""

    @property
    def right(self) -> Tensor:
        """Which of the n images are classified correctly."""
        return self.logits.argmax(1) == self.labels

    @property
    def spread(self) -> float:
        """Median range of an image's logits: the unit in which differences are judged."""
        return usual_range(self.logits)


def examine(reference: ReferenceModel, images: Tensor, labels: Tensor, card: ModelCard | None, piece: int) -> Probe:
    """Ask the model, in eval mode, about `images` float32 [n,C,H,W] with `labels` int64 [n], `piece` rows at a time.

    Raises:
        ModelRefused: the model fails, or does not return finite logits [n,num_classes].
    """
    asked = _Asked(reference, piece)
    few, truth = images[:PROBED], labels[:PROBED]
    buffers = snapshot(reference.module)
    with _modes(reference.module) as in_training:
        logits = asked(images)
        again = asked(few)
        alone = torch.cat([asked(image[None]) for image in images[:ALONE]])
    changed = changed_buffers(buffers, reference.module)
    others = {}
    if int((logits[:PROBED].argmax(1) != truth).sum()) >= FEW_WRONG:
        others = asked.variants(images, labels, card)
    answers: dict[str, Any] = {"logits": logits, "again": again, "alone": alone, "other_inputs": others}
    answers |= {"in_training": in_training, "changed": changed}
    try:
        gradient, slope, direction = asked.gradients(few, truth)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        answers |= {"after": asked(few), "asked": asked.images}
        return Probe(images=images, labels=labels, **answers, no_gradient=" ".join(str(error).split())[:200])
    steps: dict[str, Any] = asked.steps(few, truth, logits[:PROBED], direction)
    answers |= {"after": asked(few), "asked": asked.images}
    return Probe(images=images, labels=labels, **answers, **steps, gradient=gradient, slope=slope)


def predictions(reference: ReferenceModel, images: Tensor, piece: int) -> Tensor:
    """Predicted classes int64 [n] of `images` [n,C,H,W], `piece` rows at a time; raises as `examine`."""
    return _Asked(reference, piece)(images).argmax(1)


class _Asked:
    """The model, asked in pieces; answers come to the CPU."""

    def __init__(self, reference: ReferenceModel, piece: int) -> None:
        self.reference, self.piece, self.device = reference, piece, reference.device
        self.images = 0

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self.logits(part) for part in images.split(self.piece)]).detach().float().cpu()

    def logits(self, images: Tensor) -> Tensor:
        expected = (len(images), self.reference.num_classes)
        self.images += len(images)
        try:
            out: Any = self.reference.module(images.to(self.device))
        except Exception as error:  # a stranger's forward may fail in any way
            if is_out_of_memory(error):
                raise
            what = " ".join(f"{type(error).__name__}: {error}".split())[:200] + self._channels(images)
            raise ModelRefused(f"the model fails on images {tuple(images.shape)}: {what}") from error
        if not isinstance(out, Tensor) or tuple(out.shape) != expected:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ModelRefused(f"the model returned {got}, expected logits {expected}: check num_classes of its card")
        if not bool(torch.isfinite(out).all()):
            raise ModelRefused("the model returned logits that are NaN or infinite; mend the model first")
        return out

    def _channels(self, images: Tensor) -> str:
        """What to do where the model takes these images [n,C,H,W] with another number of channels; else nothing."""
        one, channels = images[:1].to(self.device), images.shape[1]
        if channels not in CHANNELS:
            return ""
        try:
            self.reference.module(one[:, :1] if channels == 3 else one.repeat(1, 3, 1, 1))
        except Exception:  # then channels are not what is wrong
            return ""
        return f"; {CHANNELS[channels]}"

    def right(self, images: Tensor, labels: Tensor) -> Tensor | None:
        """Which predictions are right; None if the model takes no such images."""
        try:
            return self(images).argmax(1) == labels
        except ModelRefused:
            return None

    def variants(self, images: Tensor, labels: Tensor, card: ModelCard | None) -> dict[str, Tensor]:
        """Which predictions are right in each of the `variants`; the best one is tried on all images."""
        tried = {name: self.right(few, labels[:PROBED]) for name, few in variants(images[:PROBED], card)}
        found = {name: right for name, right in tried.items() if right is not None}
        if len(images) > PROBED and found:
            best = max(found, key=lambda name: int(found[name].sum()))
            for name, rest in variants(images[PROBED:], card):
                if name == best and (right := self.right(rest, labels[PROBED:])) is not None:
                    found[best] = torch.cat([found[best], right])
        return found

    def gradients(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Largest entries of the gradients of cross-entropy and margin, [m] each, and the sign of the second."""
        pieces = zip(images.split(self.piece), labels.split(self.piece), strict=True)
        parts = [self._gradients(*piece) for piece in pieces]
        cross, slope, sign = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
        return cross, slope, sign

    def _gradients(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images, labels = images.to(self.device).clone().requires_grad_(), labels.to(self.device)
        with torch.enable_grad():
            logits = self.logits(images).float()
            loss = cross_entropy(logits, labels, reduction="sum")
            (cross,) = torch.autograd.grad(loss, images, retain_graph=True)
            (steep,) = torch.autograd.grad(margins(logits, labels).sum(), images)
        return cross.flatten(1).abs().amax(1), steep.flatten(1).abs().amax(1), steep.nan_to_num(0).sign()

    def steps(self, images: Tensor, labels: Tensor, logits: Tensor, direction: Tensor) -> dict[str, Tensor]:
        """Small steps from the images, along `direction` (at random where it is zero) and at random."""
        random = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
        tiny = self((images + TINY * torch.where(direction == 0, random, direction)).clamp(0, 1))
        uphill = self((images + STEP * direction).clamp(0, 1))
        sideways = self((images + STEP * random).clamp(0, 1))
        here = margins(logits, labels)
        return {
            "tiny": tiny.argmax(1),
            "uphill": margins(uphill, labels) - here,
            "sideways": margins(sideways, labels) - here,
            "noisy": sideways.argmax(1),
        }


@contextmanager
def _modes(module: nn.Module) -> Iterator[list[str]]:
    """Collects the layers that behave as in training whenever they are called inside."""
    seen: list[str] = []

    def note(name: str, layer: nn.Module) -> None:
        batch_statistics = isinstance(layer, _BatchNorm) and layer.running_mean is None
        if (layer.training or batch_statistics) and name not in seen:
            seen.append(name)

    handles = [
        layer.register_forward_pre_hook(lambda layer, _inputs, name=name: note(name or "the model", layer))
        for name, layer in module.named_modules()
        if isinstance(layer, (_BatchNorm, _DropoutNd))
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
