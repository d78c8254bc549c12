"""How a fast copy is made from a model, and the test it must pass before anything is attacked through it."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.base.memory import is_out_of_memory
from harness.base.torch_state import Precision, arithmetic
from harness.inputs.reference import ReferenceModel, margins
from harness.inputs.registry import Registry

BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Batch sizes that a compiled copy is called with; above the last, multiples of it."""
ALIKE: dict[Precision, tuple[float, float]] = {"float32": (1e-4, 0.999), "tf32": (2e-2, 0.9), "bf16": (5e-2, 0.8)}
"""Largest difference of a logit, as a share of the logit range, and smallest median cosine between gradients."""

SPACING: dict[Precision, float] = {"float32": 2.0**-23, "tf32": 2.0**-10, "bf16": 2.0**-7}
"""From 1 to the next number, of what a copy multiplies in."""


@dataclass(frozen=True)
class CopyRecipe:
    """How a copy differs from its model; the default is no copy at all."""

    speedups: tuple[str, ...] = ()
    """Plugins of the group ``harness.speedups`` that are applied, in order."""
    channels_last: bool = False
    precision: Precision = "float32"
    compiled: bool = False

    @property
    def exact(self) -> bool:
        """Whether the reference itself is attacked."""
        return self == CopyRecipe()

    def __str__(self) -> str:
        """In words, for logs and pages."""
        if self.exact:
            return "the model itself"
        layout = "channels last" if self.channels_last else ""
        return ", ".join(filter(None, (*self.speedups, layout, self.precision, "compiled" if self.compiled else "")))


class Unfit(Exception):
    """A model that cannot be prepared by this recipe; the message says why."""


class FastCopy(nn.Module):
    """A prepared network: float32 images [n,C,H,W] in [0,1] to float32 logits [n,K], differentiable.

    In ``bf16`` the first layer and the last one stay in float32: a pixel in bfloat16 has steps of up to 1/256, as much
    as the perturbations that are looked for.
    """

    def __init__(self, network: nn.Module, recipe: CopyRecipe, device: torch.device) -> None:
        super().__init__()
        self.recipe, self._device = recipe, device
        self._network = network
        # Static shapes: queries are padded to one of `BUCKETS`, so that a handful of graphs is compiled.
        self._run: Any = torch.compile(network, dynamic=False) if recipe.compiled else network

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`; rows that padding adds are cut off again."""
        n = len(images)
        if images.requires_grad and torch.is_grad_enabled() and self.recipe.channels_last:
            images = images.view_as(images)
            images.register_hook(torch.Tensor.contiguous)  # tools flatten gradients with .view
        if self.recipe.compiled and (more := bucket(n) - n):
            images = torch.cat([images, images.detach()[:1].expand(more, *images.shape[1:])])
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        low = self.recipe.precision == "bf16"
        with torch.autocast(self._device.type, torch.bfloat16) if low else nullcontext():
            logits: Tensor = self._run(images)
        return logits[:n].float()


class _Float32(nn.Module):
    """Runs one layer in float32 inside a copy that computes in bfloat16."""

    def __init__(self, layer: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.layer, self._device = layer, device

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast(self._device.type, enabled=False):
            output: Tensor = self.layer(inputs.float())
        return output


def bucket(rows: int) -> int:
    """The smallest allowed batch size that holds `rows`."""
    largest = BUCKETS[-1]
    return next((size for size in BUCKETS if size >= rows), -(-rows // largest) * largest)


def prepare(reference: ReferenceModel, recipe: CopyRecipe, images: Tensor) -> FastCopy:
    """A copy of the reference by `recipe`, compared with it; the reference is left as it is.

    Args:
        reference: The entered reference.
        recipe: What to do; not the exact one.
        images: Some inputs to compare on, float32 [n,C,H,W] in [0,1], on the reference's device.

    Raises:
        Unfit: the model cannot be copied or prepared, or the copy's logits or gradients are not the model's.
    """
    try:
        network = copy.deepcopy(reference.module)
        for name in recipe.speedups:
            Registry("speedups").load(name)(network, images)
        if recipe.precision == "bf16":
            network = _halved(network, reference.device)
        if recipe.channels_last:
            network = network.to(memory_format=torch.channels_last)
        network.eval()  # some overrides return nothing
        made = FastCopy(network.requires_grad_(False), recipe, reference.device)
        with arithmetic(recipe.precision):
            far, cosine = compare(reference, made, images)
    except Exception as error:  # strangers' modules, compilers: whatever fails, the model runs as it is
        if is_out_of_memory(error):
            raise
        raise Unfit(f"{recipe}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    most, least = ALIKE[recipe.precision]
    if not (far <= most and cosine >= least):  # NaN is no agreement
        raise Unfit(f"{recipe}: logits differ by {far:.1e} of their range, gradients have a cosine of {cosine:.3f}")
    return made


def rounded_otherwise(reference: ReferenceModel, precision: Precision, seed: int) -> FastCopy | None:
    """A copy each of whose weights is off by what `precision` rounds, drawn by `seed`; None where none can be made.

    Weights move by at most the precision's spacing of numbers (relative), twice what rounding them does: activations
    are rounded, too. The copy computes in float32.
    """
    generator = torch.Generator().manual_seed(seed)
    try:
        network = copy.deepcopy(reference.module)
        network.eval()  # some overrides return nothing
        made = FastCopy(network.requires_grad_(False), CopyRecipe(), reference.device)
        for weight in made.parameters():
            if weight.is_floating_point():
                noise = 2 * torch.rand(weight.shape, generator=generator) - 1
                weight.mul_(1 + SPACING[precision] * noise.to(weight.device, weight.dtype))
    except Exception as error:  # strangers' modules
        if is_out_of_memory(error):
            raise
        return None
    return made


def useful_speedups(reference: ReferenceModel, images: Tensor) -> tuple[str, ...]:
    """Names of the installed speed-ups that find something to change in this model, sorted.

    A speed-up is a function of a copy of the model and some images [n,C,H,W] that changes the copy in place, into the
    same function up to rounding, and returns whether it changed anything. One that fails is left out.
    """
    registry, found = Registry("speedups"), []
    for name in registry.names():
        try:
            if registry.load(name)(copy.deepcopy(reference.module), images):
                found.append(name)
        except Exception:
            continue
    return tuple(found)


def compare(reference: ReferenceModel, network: nn.Module, images: Tensor) -> tuple[float, float]:
    """Largest difference of a logit as a share of the logit range, and the median cosine of the margins' gradients."""
    theirs, ours = ([t.detach() for t in _with_gradient(f, images)] for f in (reference.module, network))
    spread = (theirs[0].amax(1) - theirs[0].amin(1)).median().clamp_min(torch.finfo(torch.float32).tiny)
    far = float((theirs[0] - ours[0]).abs().max() / spread)
    a, b = theirs[1].flatten(1).double(), ours[1].flatten(1).double()
    both_zero = (a == 0).all(1) & (b == 0).all(1)
    cosine = torch.where(both_zero, 1.0, nn.functional.cosine_similarity(a, b, dim=1, eps=0.0))
    return far, float(cosine.median())


def _with_gradient(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        logits = network(images)
        (gradient,) = torch.autograd.grad(margins(logits, logits.detach().argmax(1)).sum(), images)
    return logits, gradient


def _halved(network: nn.Module, device: torch.device) -> nn.Module:
    """Convolutions and linear layers in bfloat16, all but the first and the last; other layers follow autocast."""
    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    if len(layers) < 3:
        raise Unfit("too few layers for bfloat16")
    for _, module in layers[1:-1]:
        module.to(torch.bfloat16)
    for name, module in (layers[0], layers[-1]):
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, _Float32(module, device))
    return network
