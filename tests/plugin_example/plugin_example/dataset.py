"""A data set: noise in three shades."""

import torch


class Shades:
    """Gray 12x12 images, so neither the usual size nor three channels."""

    name = "example-shades"
    classes = ("dark", "middle", "light")

    def __init__(self, first):
        self.first = first

    def __len__(self):
        return 90

    def take(self, indices):
        """See `harness.types.Dataset`."""
        images = torch.stack([self._image(int(index)) for index in indices])
        return images, torch.tensor([int(index) % 3 for index in indices])

    def _image(self, index):
        generator = torch.Generator().manual_seed(self.first + index)
        return (index % 3) / 3 + torch.rand(1, 12, 12, generator=generator) / 3


def shades(request):
    """The split that is asked for."""
    return Shades(("test", "val", "train").index(request.split) * 1000)
