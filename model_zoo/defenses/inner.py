"""The one inner maximization of the zoo: every adversarial recipe perturbs its images here."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def perturb(
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    random_start: bool,
) -> Tensor:
    """Images within linf distance `epsilon` that (nearly) maximize `objective`, by signed gradient steps.

    `objective` alone decides which model is asked and in which mode; see `eval_mode`. Gradients are taken with respect
    to the images only, so parameters' ``.grad`` stays as it was.

    Args:
        objective: images [n,C,H,W] to a scalar that is a sum (or mean) over independent rows.
        images: float images in [0,1].
        epsilon: radius of the ball.
        steps: number of steps; 0 returns the start.
        step_size: length of each step in every pixel, before projection on ball and box.
        random_start: start uniformly in the ball (then in the box), else at the images.

    Returns:
        Detached images [n,C,H,W] in ball and box.
    """
    images = images.detach()
    low, high = (images - epsilon).clamp_(min=0), (images + epsilon).clamp_(max=1)
    current = images
    if random_start:
        current = torch.min(torch.max(images + torch.empty_like(images).uniform_(-epsilon, epsilon), low), high)
    for _ in range(steps):
        current = torch.min(torch.max(_ascended(objective, current, step_size), low), high)
    return current.detach()


def noisy_step(objective: Callable[[Tensor], Tensor], images: Tensor, *, noise: float, step_size: float) -> Tensor:
    """One signed gradient step from a noisy image, in the box but in no ball: at most `noise` + `step_size` away.

    Args:
        objective: As for `perturb`.
        images: Float images in [0,1].
        noise: The noise is uniform in [-noise, noise]; it stays in the result.
        step_size: Length of the step in every pixel.

    Returns:
        Detached images [n,C,H,W] in [0,1].
    """
    images = images.detach()
    start = (images + torch.empty_like(images).uniform_(-noise, noise)).clamp_(0, 1)
    return _ascended(objective, start, step_size).clamp_(0, 1)


def _ascended(objective: Callable[[Tensor], Tensor], images: Tensor, step_size: float) -> Tensor:
    current = images.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(current), [current])
    return current.detach() + step_size * gradient.sign()
