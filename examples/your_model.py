"""A model of your own, on images of your own.

python examples/your_model.py
"""

import torch
from torch import nn

import harness

torch.manual_seed(0)

# Two classes of 3x16x16 images that differ in brightness, and a small network trained on them for a moment.
labels = torch.arange(400) % 2
images = (0.35 + 0.3 * labels[:, None, None, None] + 0.3 * torch.rand(400, 3, 16, 16) - 0.15).clamp(0, 1)
network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 7 * 7, 2))
optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
for _ in range(30):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(images[:300]), labels[:300]).backward()
    optimizer.step()

result = harness.evaluate(network, "pgd", (images[300:], labels[300:]), eps=["8/255", "32/255"], name="mine")
print(result)
print(f"worst case at 32/255: {result.robust_accuracy('32/255'):.2f}; evidence in {result.folder}")
verdict = result.verify()
print(verdict.value)
assert verdict.ok
