"""Adversarial views: images moved to where the contrastive loss is large, by PGD or by YOPO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from harness.base.torch_state import eval_mode
from harness.errors import UsageError
from model_zoo.defenses.inner import perturb


def adversarial_views(
    encoder: nn.Module,
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    inner_steps: int = 1,
) -> Tensor:
    """Images [n,C,H,W] in the linf ball and the box that (nearly) maximize `objective`, from a random start.

    The contrastive loss couples the rows of a batch, so all rows climb it together, as in Jiang et al. 2020.

    Args:
        encoder: what `objective` asks; in eval mode meanwhile.
        objective: images to the scalar loss.
        images: views in [0,1] to start around.
        epsilon: radius of the ball.
        steps: passes through the whole encoder: PGD's steps, YOPO's m.
        step_size: length of each step.
        inner_steps: steps after each such pass, YOPO's n; with 1 it is PGD.
    """
    climbed = Propagated(objective, first_layer(encoder), inner_steps) if inner_steps > 1 else objective
    with eval_mode(encoder):
        return perturb(
            climbed, images, epsilon=epsilon, steps=steps * inner_steps, step_size=step_size, random_start=True
        )


def first_layer(network: nn.Module) -> nn.Module:
    """The first activation of `network`: what lies before it, together with it, is YOPO's first layer.

    The first convolution alone would be affine, and n steps through an affine map with the rest held fixed are n times
    the same step: YOPO-m-n would be nothing but PGD-m with a longer step.

    Raises:
        UsageError: the network has no activation module.
    """
    for module in network.modules():
        if type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, nn.MultiheadAttention):
            return module
    raise UsageError("method=yopo needs an activation module to cut the network at, and this one has none; use pgd")


class Propagated:
    """YOPO's objective (Zhang et al., "You Only Propagate Once", 2019), to be called once a step by `perturb`.

    Every `every`-th call, the first one included, goes through the whole network and keeps the loss's gradient p with
    respect to the output of the first layer f0. All calls return <p, f0(images)>, whose gradient with respect to the
    images is that of the loss when p is new, and that of the loss with the later layers held fixed when p is old.

    The paper also adds up the gradients of the weights along the way; here the perturbation is all that is taken.
    """

    def __init__(self, objective: Callable[[Tensor], Tensor], layer: nn.Module, every: int) -> None:
        self._objective = objective
        self._layer = layer
        self._every = every
        self._calls = 0
        self._slope = torch.empty(0)

    def __call__(self, images: Tensor) -> Tensor:
        """The scalar to climb."""
        output = self._propagate(images) if self._calls % self._every == 0 else self._first(images)
        self._calls += 1
        return (output * self._slope).sum()

    def _propagate(self, images: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def cut(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
            if seen:  # one module may serve as activation in several places
                return None
            seen.extend((output, output.detach().requires_grad_()))
            return seen[1].clone()  # later layers may write into it

        handle = self._layer.register_forward_hook(cut)
        try:
            loss = self._objective(images)
        finally:
            handle.remove()
        (self._slope,) = torch.autograd.grad(loss, [seen[1]])
        return seen[0]

    def _first(self, images: Tensor) -> Tensor:
        def stop(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            raise _Reached(output)

        handle = self._layer.register_forward_hook(stop)
        try:
            self._objective(images)
        except _Reached as reached:
            return reached.output
        finally:
            handle.remove()
        raise RuntimeError("the objective did not run the layer it was cut at")


class _Reached(Exception):
    """A signal: carries the first layer's output out of the network, whose later layers need not run."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output
