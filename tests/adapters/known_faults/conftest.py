"""What the faults of several tools are shown on."""

import pytest
from toys import SmallNet, labeled


@pytest.fixture
def net():
    model = SmallNet(seed=3).eval().requires_grad_(False)
    return model, labeled(model, 12)
