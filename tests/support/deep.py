"""A network with all that a fast copy changes."""

import torch
from torch import nn
from toys import uniform_images

IMAGES = uniform_images(16, 3)


class Deep(nn.Module):
    """A strided stem, a residual block and batch norms of every kind."""

    def __init__(self, classes=5, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem, self.norm = nn.Conv2d(3, 8, 5, 2, 2, bias=False), nn.BatchNorm2d(8)
            self.block = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8, affine=False), nn.ReLU(inplace=True))
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(128, 32), nn.BatchNorm1d(32), nn.ReLU())
            self.last = nn.Linear(32, classes)
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
                    nn.init.normal_(module.weight, 1, 0.3)
                    nn.init.normal_(module.bias, 0, 0.3)
        with torch.no_grad():  # statistics of real inputs, so that all classes are predicted
            for start in range(8):
                self(uniform_images(32, 100 + start))
        self.eval()

    def forward(self, images):
        maps = torch.relu(self.norm(self.stem(images)))
        return 4 * self.last(self.head(maps + self.block(maps)))
