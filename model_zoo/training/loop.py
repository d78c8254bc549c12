"""One training loop for every defense: `fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import TrainingFailed, UsageError
from harness.types import Dataset
from model_zoo.speedups.tiny_maps import dense_convolutions
from model_zoo.training import checkpoint
from model_zoo.training.average import Average
from model_zoo.training.progress import Progress

LARGEST_SEED = 2**32 - 1
"""What numpy's and torch's generators can be seeded with, also where an epoch's number is mixed in."""
PRECISIONS = ("auto", "float32", "bfloat16")
SCHEDULES = ("cycle", "constant")
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""``loss(model, images, labels)``: the scalar to minimize, as `model_zoo.defenses.base.Defense.loss`."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the loop itself is told; everything here is recorded in the card."""

    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    """Peak of the cycle, or the constant rate."""
    weight_decay: float = 0.05
    """AdamW's, on matrices and kernels only."""
    warmup: float = 0.15
    """Share of the steps in which the learning rate rises from 0; then it falls to 0 along a cosine."""
    seed: int = 0
    precision: str = "auto"
    """``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 where the device computes it natively."""
    checkpoint_seconds: float = 180.0
    """At least this long between two checkpoints within an epoch; one is always written at its end."""
    schedule: str = "cycle"
    """``cycle``: up and down once, see `one_cycle`; ``constant``: `lr` at every step."""
    ema: float = 0.0
    """Decay of the averaged weights that are validated and kept (see `model_zoo.training.average`); 0 for none."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise UsageError(f"epochs is {self.epochs}, batch size {self.batch_size}; give at least 1 and 2")
        if not (0 < self.lr < math.inf and 0 <= self.weight_decay < math.inf and 0 <= self.warmup < 1):
            raise UsageError(
                f"learning rate {self.lr}, weight decay {self.weight_decay} or warmup {self.warmup} is out of range"
            )
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"seed is {self.seed}; give a whole number from 0 to {LARGEST_SEED}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision is {self.precision!r}; give one of {', '.join(PRECISIONS)}")
        if self.schedule not in SCHEDULES:
            raise UsageError(f"schedule is {self.schedule!r}; give one of {', '.join(SCHEDULES)}")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema is {self.ema}; give 0 for none, or a decay below 1 such as 0.999")

    def on(self, device: torch.device) -> Settings:
        """These settings with ``auto`` replaced by the precision that it means on `device`."""
        return replace(self, precision=native_precision(device)) if self.precision == "auto" else self

    def share(self, step: int, total: int) -> float:
        """Learning rate at `step` of `total`, as a share of `lr`."""
        return 1.0 if self.schedule == "constant" else one_cycle(step, total, self.warmup)

    def text(self) -> str:
        """All settings, for the checkpoint of a training; what came later is left out at its default.

        So checkpoints from before `schedule` and `ema` still go on.
        """
        values = asdict(self)
        for later in ("schedule", "ema"):
            if values[later] == getattr(Settings, later):
                del values[later]
        return str(values)


def native_precision(device: torch.device) -> str:
    """``bfloat16`` if `device` multiplies bfloat16 matrices in hardware, else ``float32``.

    Processors without such instructions emulate them, at several times the cost of float32.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    native = any(getattr(torch.cpu, probe, bool)() for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bfloat16" if native else "float32"


def one_cycle(step: int, total: int, warmup: float) -> float:
    """Learning rate at `step` of `total`, as a share of its peak: a linear rise, then a cosine to 0."""
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def fit(
    model: nn.Module,
    loss: Loss,
    data: Dataset,
    settings: Settings,
    *,
    augment: Callable[[Tensor], Tensor] | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    resume: Path | None = None,
    fingerprint: str = "",
    progress: Progress | None = None,
    parameters: Iterator[nn.Parameter] | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place and return one row of figures an epoch.

    The model is left in eval mode. With `resume`, a checkpoint is kept there and continued from; on the CPU a continued
    training gives the same weights, bit for bit, as one that was never interrupted.

    Args:
        model: on the device to train on; takes what `augment` gives.
        loss: scalar loss of one batch.
        data: images in [0,1] with labels; the last, incomplete batch of an epoch is left out.
        settings: of the loop.
        augment: applied to each batch on the device.
        validate: called after each epoch; its figures join the history row.
        resume: checkpoint file.
        fingerprint: whatever else determines the training, as text: a checkpoint with another one is refused.
        progress: where to report; silent if None.
        parameters: what to optimize; all of `model` by default.

    Raises:
        TrainingFailed: the loss is not finite.
        UsageError: the data set is smaller than a batch, or the checkpoint is of another training.
    """
    fitting = _Fit(
        model=model,
        loss=loss,
        data=data,
        settings=settings,
        augment=augment,
        validate=validate,
        resume=resume,
        fingerprint=fingerprint,
        progress=progress or Progress(None),
    )
    return fitting.run(list(parameters) if parameters is not None else list(model.parameters()))


@dataclass(kw_only=True)
class _Fit:
    """The state of one training: what `fit` was called with, and how far it has come."""

    model: nn.Module
    loss: Loss
    data: Dataset
    settings: Settings
    augment: Callable[[Tensor], Tensor] | None
    validate: Callable[[nn.Module], dict[str, float]] | None
    resume: Path | None
    fingerprint: str
    progress: Progress
    history: list[dict[str, float]] = field(default_factory=list)
    epoch: int = 0
    """Epochs that are done."""
    batch: int = 0
    """Batches of the running epoch that are done."""
    loss_sum: float = 0.0
    """Of those batches."""
    seconds: float = 0.0
    """Spent before this process took over."""

    def run(self, parameters: list[nn.Parameter]) -> list[dict[str, float]]:
        self.device = parameters[0].device
        self.settings = settings = self.settings.on(self.device)
        self.batches = len(self.data) // settings.batch_size
        if not self.batches:
            raise UsageError(
                f"{self.data.name} has {len(self.data)} images, less than one batch of {settings.batch_size};"
                " give more data or a smaller --batch-size"
            )
        self.cuda = self.device.type == "cuda"
        self.optimizer = _adamw(parameters, settings)
        checkpoint.seed_everything(settings.seed)
        self.average = Average(self.model, settings.ema) if settings.ema else None
        self._restore()
        self.started = self.saved = time.monotonic()
        self.model.to(memory_format=torch.channels_last)
        with nullcontext() if self.cuda else dense_convolutions(self.model):
            while self.epoch < settings.epochs:
                self._run_epoch()
        if self.average is not None:
            self.average.keep()
        self.model.eval()
        return self.history

    def _run_epoch(self) -> None:
        settings = self.settings
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + self.epoch)
        order = torch.randperm(len(self.data), generator=generator)
        self.model.train()
        while self.batch < self.batches:
            start = self.batch * settings.batch_size
            value = self._step(order[start : start + settings.batch_size].tolist())
            self.batch += 1
            self.loss_sum += value
            self.progress.step(self.epoch, self.batch, self.batches, self.loss_sum / self.batch)
            if time.monotonic() - self.saved >= settings.checkpoint_seconds and self.batch < self.batches:
                self._save()
        row = {"epoch": float(self.epoch + 1), "loss": self.loss_sum / self.batches}
        if self.validate is not None:
            self.model.eval()
            with self.average.in_place() if self.average is not None else nullcontext():
                row |= self.validate(self.model)
        row["seconds"] = self._elapsed()
        self.history.append(row)
        self.progress.epoch(row)
        self.epoch, self.batch, self.loss_sum = self.epoch + 1, 0, 0.0
        self._save()

    def _step(self, rows: list[int]) -> float:
        step = self.epoch * self.batches + self.batch
        share = self.settings.share(step, self.settings.epochs * self.batches)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * share
        images, labels = (tensor.to(self.device, non_blocking=True) for tensor in self.data.take(rows))
        if self.augment is not None:
            images = self.augment(images)
        images = images.contiguous(memory_format=torch.channels_last)
        half = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
            loss = self.loss(self.model, images, labels)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingFailed(
                f"the loss is {value} in epoch {self.epoch + 1}, batch {self.batch + 1}; try a smaller --lr"
                f" (now {self.settings.lr})"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        if self.average is not None:
            self.average.update(step)
        return value

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.started

    def _settings_text(self) -> str:
        return f"{self.settings.text()} {self.fingerprint}".strip()

    def _save(self) -> None:
        if self.resume is None:
            return
        content: dict[str, Any] = {
            "settings": self._settings_text(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
            "epoch": self.epoch,
            "batch": self.batch,
            "loss_sum": self.loss_sum,
            "seconds": self._elapsed(),
            "random": checkpoint.random_states(),
        }
        if self.average is not None:
            content["average"] = self.average.tensors
        checkpoint.save(self.resume, content)
        self.saved = time.monotonic()

    def _restore(self) -> None:
        found = checkpoint.load(self.resume, self._settings_text()) if self.resume else None
        if found is None:
            return
        self.model.load_state_dict(found["model"])
        if self.average is not None:
            self.average.load(found["average"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.history, self.epoch, self.batch = found["history"], found["epoch"], found["batch"]
        self.loss_sum, self.seconds = found["loss_sum"], found["seconds"]
        checkpoint.restore_random_states(found["random"])
        self.progress.resumed(self.epoch, self.batch)


def _adamw(parameters: list[nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr, fused=True)
