"""What a tool is handed instead of the model. Importing this file imports torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Shield(nn.Module):
    """Calls `model` with float32 images, and hides it from everything else that a tool does to a model.

    torchattacks reads the device from the first parameter (and prints a complaint if there is none), and switches the
    model to eval and back, whereby submodules that were in eval come back in train mode; ART moves it and clears its
    gradients. Here they find one parameter, on the right device, and no submodules.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__()
        self._call = (model,)  # in a tuple, so that it is not registered as a submodule
        self.device_marker = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n,classes] of images [n,C,H,W]."""
        logits: Tensor = self._call[0](images.to(torch.float32))
        return logits


class PositiveLogits(Shield):
    """Shifts each row's logits so that the smallest is 1, which changes no prediction, margin or gradient of a margin.

    torchattacks' CW takes the best wrong logit as a maximum over logits in which the true one was replaced by 0: where
    all logits are negative that maximum is 0, and the attack sees no gradient.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n,classes], all at least 1."""
        logits = super().forward(images)
        return logits - logits.detach().amin(1, keepdim=True) + 1
