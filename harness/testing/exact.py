"""Models whose worst case is known exactly: linear ones in closed form, tiny ReLU networks by integer programming.

The worst margin of an image over a ball is the largest value of "best wrong logit minus true logit" inside ball and
box; the image is broken exactly where it is positive. All in float64. Needs scipy, whose `milp` is HiGHS.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.base.threat import radius
from harness.errors import UsageError
from harness.types import Norm

Floats = NDArray[np.float64]


def linear_worst(
    model: nn.Linear, images: Tensor, labels: Tensor, epsilon: float, norm: Norm, mask: Tensor | None = None
) -> Floats:
    """Worst margins [n] of a linear classifier on `images` [n,C,H,W] with `labels` [n].

    Of a patch `mask` says which pixels, bool [n,1,H,W], may move by `epsilon`, which is then 1, in linf.

    Raises:
        UsageError: in l2 a ball reaches out of the box, where there is no closed form.
    """
    weight, bias = _array(model.weight), _array(model.bias)
    pixels, truth = _array(images.flatten(1)), labels.numpy()
    slopes = weight[None] - weight[truth][:, None]  # [n,K,D]
    here = np.einsum("nkd,nd->nk", slopes, pixels) + bias[None] - bias[truth][:, None]
    if norm == "linf":
        up, down = np.minimum(epsilon, 1 - pixels)[:, None], np.minimum(epsilon, pixels)[:, None]
        free = 1.0 if mask is None else _array(mask.expand(images.shape).flatten(1))[:, None]
        gain = (np.where(slopes > 0, slopes * up, -slopes * down) * free).sum(2)
    elif norm == "l2":
        if min(pixels.min(), 1 - pixels.max()) < epsilon:
            raise UsageError(f"a ball of {epsilon} reaches out of the box; use images further inside or a smaller one")
        gain = epsilon * np.linalg.norm(slopes, axis=2)
    elif norm == "l0":  # each channel of a pixel goes to the end of the box that its slope points to
        best = np.where(slopes > 0, slopes * (1 - pixels[:, None]), -slopes * pixels[:, None])
        whole = best.reshape(*slopes.shape[:2], images.shape[1], -1).sum(2)
        gain = np.sort(whole, axis=2)[:, :, ::-1][:, :, : int(epsilon)].sum(2)
    else:
        raise UsageError(f"no closed form for {norm}; use linf, l2 or l0")
    here[np.arange(len(truth)), truth] = -np.inf
    worst: Floats = (here + gain).max(1)
    return worst


class TinyNet(nn.Module):
    """Images to `hidden` ReLUs to logits: small enough that its worst case can be computed."""

    def __init__(self, pixels: int, hidden: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first, self.second = nn.Linear(pixels, hidden), nn.Linear(hidden, classes)
        with torch.no_grad():
            for layer in (self.first, self.second):
                scale = layer.in_features**-0.5
                layer.weight.copy_(2 * scale * torch.randn(layer.weight.shape, generator=generator))
                layer.bias.copy_(scale * torch.randn(layer.bias.shape, generator=generator))
            self.first.bias.sub_(0.5 * self.first.weight.sum(1))  # gray images are in the middle

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n,classes] of images [n,C,H,W]."""
        logits: Tensor = self.second(self.first(images.flatten(1)).relu())
        return logits


def relu_worst(net: TinyNet, image: Tensor, label: int, epsilon: float) -> tuple[float, Floats]:
    """Worst margin of one image [C,H,W] in the linf ball, and the point [D] where it is reached; by `scipy.milp`.

    One integer program for each wrong class, with an indicator for each ReLU that can be both on and off in the ball.

    Raises:
        RuntimeError: the solver did not prove an optimum.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    problem = _Problem(net, image, epsilon)
    best, point = -np.inf, problem.low
    for goal in range(len(problem.bias)):
        if goal == label:
            continue
        slope, constant = problem.objective(goal, label)
        matrix, upper = problem.constraints()
        answer = milp(
            -np.concatenate([np.zeros(problem.pixels), slope, np.zeros(problem.hidden)]),
            constraints=LinearConstraint(matrix, -np.inf, upper),
            bounds=Bounds(*problem.bounds()),
            integrality=np.r_[np.zeros(problem.pixels + problem.hidden), np.ones(problem.hidden)],
            options={"mip_rel_gap": 0.0},
        )
        if answer.status != 0:
            raise RuntimeError(f"the solver gave up: {answer.message}")
        if constant - answer.fun > best:
            best, point = constant - answer.fun, answer.x[: problem.pixels]
    return float(best), point


def relu_worst_by_patterns(net: TinyNet, image: Tensor, label: int, epsilon: float) -> float:
    """The same by exhaustion: a linear program for every pattern of ReLUs that are on, all 2^hidden of them.

    It shares neither bounds nor indicators with `relu_worst`, so that it checks it.
    """
    from scipy.optimize import linprog

    problem = _Problem(net, image, epsilon)
    best = -np.inf
    for pattern in product((0.0, 1.0), repeat=problem.hidden):
        on = np.array(pattern)
        side = np.where(on > 0, -1.0, 1.0)  # on: w x + b >= 0; off: w x + b <= 0
        for goal in range(len(problem.bias)):
            if goal == label:
                continue
            slope, constant = problem.objective(goal, label)
            answer = linprog(
                -(slope * on) @ problem.weight,
                side[:, None] * problem.weight,
                -side * problem.shift,
                bounds=np.stack([problem.low, problem.high], 1),
            )
            if answer.status == 0:
                best = max(best, constant + float((slope * on) @ problem.shift) - answer.fun)
    return float(best)


class _Problem:
    """One image's ball and the network, as arrays; variables are pixels, activations and indicators, in this order."""

    def __init__(self, net: TinyNet, image: Tensor, epsilon: float) -> None:
        center = _array(image.flatten())
        self.low, self.high = np.maximum(center - epsilon, 0), np.minimum(center + epsilon, 1)
        self.weight, self.shift = _array(net.first.weight), _array(net.first.bias)
        self.out, self.bias = _array(net.second.weight), _array(net.second.bias)
        self.hidden, self.pixels = self.weight.shape
        positive, negative = self.weight.clip(0), self.weight.clip(None, 0)
        self.least = positive @ self.low + negative @ self.high + self.shift
        self.most = positive @ self.high + negative @ self.low + self.shift

    def objective(self, goal: int, label: int) -> tuple[Floats, float]:
        """Of activations: slopes [hidden] and constant of logit `goal` minus logit `label`."""
        return self.out[goal] - self.out[label], float(self.bias[goal] - self.bias[label])

    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of all variables; a ReLU that cannot switch has a fixed indicator."""
        always, never = self.least >= 0, self.most <= 0
        low = np.concatenate([self.low, np.zeros(self.hidden), always.astype(float)])
        return low, np.concatenate([self.high, self.most.clip(0), (~never).astype(float)])

    def constraints(self) -> tuple[Floats, Floats]:
        """Rows ``matrix @ variables <= upper`` that make each activation the ReLU of its input.

        With input p = w x + b between l and u: a >= p, a <= p - l (1 - z), a <= u z.
        """
        unit, nothing = np.eye(self.hidden), np.zeros((self.hidden, self.pixels))
        below, above = self.least.clip(None, 0), self.most.clip(0)
        rows = [
            np.hstack([self.weight, -unit, 0 * unit]),
            np.hstack([-self.weight, unit, -np.diag(below)]),
            np.hstack([nothing, unit, -np.diag(above)]),
        ]
        return np.vstack(rows), np.concatenate([-self.shift, self.shift - below, np.zeros(self.hidden)])


def relu_margins(net: TinyNet, images: Tensor, labels: Tensor, epsilon: float) -> Floats:
    """Worst margins [n] of `images` [n,C,H,W] in the linf ball, see `relu_worst`."""
    rows = zip(images, labels.tolist(), strict=True)
    return np.array([relu_worst(net, image, label, epsilon)[0] for image, label in rows])


def reach(epsilon: float, norm: Norm) -> float:
    """The radius up to which the harness accepts a witness; what it breaks must be breakable in there."""
    return radius(epsilon, norm)


def _array(tensor: Any) -> Floats:
    found: Floats = tensor.detach().double().numpy()
    return found
