"""Tasks whose answer is known in closed form: the kit holds attacks and defenses against it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.errors import UsageError
from harness.types import Norm

SHAPE = (3, 8, 8)
REACH: dict[Norm, float] = {"linf": 0.05, "l2": 0.4, "l1": 0.15}
"""Distance of the images of `Plane` to the decision boundary."""


class Plane(nn.Module):
    """Five logits of which two compete across a plane: images lie at known distances of it, in every norm.

    The distance of an image to the plane is |w.x + b| over the dual norm of w (Holder's inequality), box aside; the
    images of `images` are far enough from the edges of the box.
    """

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        if norm not in REACH:
            raise UsageError(f"the kit has no task in {norm}; it has {', '.join(REACH)}")
        generator = torch.Generator().manual_seed(0)
        weight = torch.linspace(0.5, 1, 192) * (torch.randint(0, 2, (192,), generator=generator) * 2 - 1)
        dual = {"linf": weight.abs().sum(), "l2": weight.norm(), "l1": weight.abs().max()}[norm]
        self.weight = nn.Parameter(weight / dual)  # a score is a distance now
        self.scale = 1 / REACH[norm]

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n,5] of images [n,3,8,8]."""
        score = self.scale * ((images - 0.5).flatten(1) @ self.weight)
        low = torch.full_like(score, -8)
        return torch.stack([-score, score, low, low - 1, low - 2], dim=1)

    def images(self, factors: Tensor, norm: Norm) -> Tensor:
        """Images [n,3,8,8] of class 0 at `factors` [n] times `REACH` from the plane."""
        weight = self.weight.detach()
        noise = 0.2 * torch.rand(len(factors), 192, generator=torch.Generator().manual_seed(1)) - 0.1
        along = weight / (weight @ weight)
        noise -= (noise @ weight)[:, None] * along
        return (0.5 + noise - (factors * REACH[norm])[:, None] * along).view(-1, *SHAPE)


class Features:
    """Two classes, told apart by a few strong pixels that no small perturbation hides, and many weak ones.

    After Tsipras et al., "Robustness may be at odds with accuracy" (2019): who trains on the images as they are uses
    the weak pixels, because together they are right more often; who trains against `epsilon` leaves them alone.

    Args:
        epsilon: linf radius; the weak pixels move by half of it.
    """

    strong = 3

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Images [n,3,8,8] in [0,1] and labels [n]."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, 2, (n,), generator=generator)
        sign = (2 * labels - 1).float()[:, None]
        weak = 0.5 + 0.5 * self.epsilon * sign + 1.5 * self.epsilon * torch.randn(n, 192, generator=generator)
        right = (torch.rand(n, self.strong, generator=generator) < 0.9).float() * 2 - 1
        weak[:, : self.strong] = 0.5 + 4 * self.epsilon * sign * right
        return weak.clamp(0, 1).view(-1, *SHAPE), labels

    def model(self) -> Classifier:
        """An untrained linear classifier of these images, which centers and scales them itself."""
        return Classifier(self.epsilon)

    def accuracy(self, model: Classifier, robust: bool = False, n: int = 2000) -> float:
        """Share of fresh images that are right, or that no perturbation of linf radius `epsilon` gets wrong: exact."""
        images, labels = self.sample(n, seed=12345)
        with torch.no_grad():
            logits = model(images)
            reach = (model.weight[1] - model.weight[0]).abs().sum() if robust else 0.0
        margin = (logits[:, 1] - logits[:, 0]) * (2 * labels - 1)
        return float((margin > reach).float().mean())


class Classifier(nn.Linear):
    """Logits [n,2], linear in ``(images - 0.5) / epsilon``: a step of epsilon moves a score by at most |w|_1."""

    def __init__(self, epsilon: float) -> None:
        super().__init__(192, 2)
        self.epsilon = epsilon

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return super().forward((images.flatten(1) - 0.5) / self.epsilon)
