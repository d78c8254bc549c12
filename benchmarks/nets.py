"""Networks of common shapes with random weights: how fast a gradient comes hangs on the shape, not on the weights.

Batch norms take their statistics from pictures, and logits are centered on them, so that all classes are predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from harness.inputs.find import find_model

GRAY, COLOR = (1, 28, 28), (3, 32, 32)


def mlp() -> nn.Module:
    """784-256-256-10."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )


def mnist_cnn() -> nn.Module:
    """Two convolutions of stride 2 with 16 and 32 channels, two linear layers, as in many papers on MNIST."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside),
        )  # fmt: skip
        self.short = nn.Identity()
        if stride != 1 or inside != outside:
            self.short = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.body(images) + self.short(images))


def resnet20() -> nn.Module:
    """ResNet-20 for CIFAR (He et al. 2016, arXiv:1512.03385): a stem of stride 1, stages of 16, 32 and 64 channels."""
    blocks = [_Block(16, 16, 1), _Block(16, 16, 1), _Block(16, 16, 1), _Block(16, 32, 2), _Block(32, 32, 1)]
    blocks += [_Block(32, 32, 1), _Block(32, 64, 2), _Block(64, 64, 1), _Block(64, 64, 1)]
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mobilenet() -> nn.Module:
    """Torchvision's MobileNet v2 on 32x32 images."""
    from torchvision.models import mobilenet_v2

    return mobilenet_v2(num_classes=10)


def vit() -> nn.Module:
    """A small vision transformer of timm: patches of 4x4, 6 blocks of width 128."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(img_size=32, patch_size=4, embed_dim=128, depth=6, num_heads=4, num_classes=10)


def zoo_resnet18() -> nn.Module:
    """The ResNet-18 of the model zoo, with the weights of ``standard``."""
    return find_model("standard").module


SHAPES: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, int, int], int]] = {
    "MLP 256-256": (mlp, GRAY, 10),
    "MNIST CNN 16-32": (mnist_cnn, GRAY, 10),
    "ResNet-20, CIFAR": (resnet20, COLOR, 10),
    "ResNet-18, zoo": (zoo_resnet18, COLOR, 43),
    "MobileNet v2": (mobilenet, COLOR, 10),
    "ViT, timm": (vit, COLOR, 10),
}
"""Name to network, shape of its images, and number of classes."""


def build(name: str, images: Tensor) -> nn.Module:
    """The network `name` in eval mode, frozen, settled on `images` [n,C,H,W]; the zoo's is left as it was trained."""
    make, _, _ = SHAPES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make()
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        if make is not zoo_resnet18:
            for norm in norms:
                norm.momentum = None  # the average of what is seen
            with torch.no_grad():
                network.train()(images)
                last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
                assert last.bias is not None
                last.bias -= network.eval()(images).mean(0)
    return network.eval().requires_grad_(False)
