"""A hundred thousand samples stream: no image is held longer than its chunk."""

import pytest
import torch
from toys import Linear, loaded

from harness.base.threat import parse_grid
from harness.evidence.costs import read_cost
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec

SHAPE = (3, 16, 16)
PIXELS = 3 * 16 * 16
CHUNK = 5_000


class Endless:
    """Draws images when they are asked for, and remembers how many it gave at once."""

    name, classes = "endless", ("0", "1")

    def __init__(self, n, model):
        self.n, self.model, self.most = n, model, 0

    def __len__(self):
        return self.n

    def take(self, indices):
        self.most = max(self.most, len(indices))
        ids = torch.as_tensor(list(indices), dtype=torch.float32)
        waves = torch.sin(ids[:, None] * torch.arange(1, PIXELS + 1) * 0.37 + torch.arange(PIXELS))
        images = (0.5 + 0.4 * waves).view(-1, *SHAPE)
        with torch.no_grad():
            return images, self.model(images).argmax(1)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_samples(tmp_path):
    model = Linear(shape=SHAPE)
    suite = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["0.001"]),
        mode="observed",
        chunk=CHUNK,
        attacks=(AttackSpec("fgsm", "torchattacks", "fgsm", {}),),
    )
    data = Endless(20 * CHUNK, model)
    options = Options(tmp_path, witnesses="none", batch_size=1000, precision="exact")
    run = evaluate(loaded(model, 2), suite, data, options)
    assert run.summary["n"] == 20 * CHUNK
    assert 0.05 < run.summary["cells"][0]["robust_accuracy"] < 0.95
    assert data.most <= CHUNK
    costs = [read_cost(run.folder, f"fgsm@0.001-{chunk:05d}.parquet") for chunk in range(20)]
    peaks = [cost.peak_memory for cost in costs if cost is not None]
    assert len(peaks) == 20
    # The first chunks warm the allocator up. Ten chunks of images are 154 MB, which would all be there at the end if
    # they were held; what does grow are the facts, a hundredth of that.
    assert max(peaks[15:]) - max(peaks[5:10]) < 0.8 * 10 * CHUNK * PIXELS * 4
