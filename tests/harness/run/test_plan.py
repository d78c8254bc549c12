"""Devices and the search for a batch size."""

import json

import pytest
import torch

from harness.base.machine import pick_device, versions
from harness.errors import BadRun, UsageError
from harness.evidence.plan_info import Plan
from harness.evidence.run_json import parse_plan
from harness.evidence.structs import as_json
from harness.measure.fast_copy.calibrate import find_batch_size
from harness.measure.fast_copy.copies import CopyRecipe
from harness.run.plan import recipe_of

CPU = torch.device("cpu")


class Limited(torch.nn.Module):
    """Runs out of memory above `limit` rows; remembers the sizes it was asked for."""

    def __init__(self, limit, error=None):
        super().__init__()
        self.limit, self.sizes, self.error = limit, [], error or torch.OutOfMemoryError("too much")

    def forward(self, images):
        self.sizes.append(len(images))
        if len(images) > self.limit:
            raise self.error
        return images.flatten(1).sum(1)


@pytest.mark.parametrize(("limit", "largest"), [(64, 512), (10_000, 100), (10_000, 7)])
def test_the_batch_fits_memory_and_slice(limit, largest):
    network = Limited(limit)
    size = find_batch_size(network, (1, 2, 2), CPU, largest)
    assert 1 <= size <= min(limit, largest)
    assert max(network.sizes) <= largest
    assert min(network.sizes) == min(32, largest)


def test_memory_of_the_host_ends_the_search_and_other_errors_pass():
    assert find_batch_size(Limited(64, RuntimeError("DefaultCPUAllocator: no")), (1, 2, 2), CPU, 512) <= 64
    with pytest.raises(RuntimeError, match="a bug"):
        find_batch_size(Limited(64, RuntimeError("a bug")), (1, 2, 2), CPU, 512)


def test_devices_are_checked():
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "cuda:x", "", "tpu", "cuda:99"):
        with pytest.raises(UsageError):
            pick_device(name)


def test_a_plan_survives_the_round_trip():
    speedups = ("fold", "stem")
    plan = Plan(device="cpu", batch_size=64, precision="bf16", threads=2, speedups=speedups, channels_last=True)
    assert parse_plan({"plan": json.loads(json.dumps(as_json(plan)))}) == plan
    assert recipe_of(plan) == CopyRecipe(speedups, True, "bf16", False)
    old = parse_plan({"plan": {"device": "cpu", "batch_size": 8, "precision": "float32", "threads": 1}})
    assert recipe_of(old).exact
    with pytest.raises(BadRun, match=r"plan.json: batch_size is 0, expected int >= 1"):
        parse_plan({"plan": as_json(plan) | {"batch_size": 0}})


def test_versions_name_what_numbers_depend_on():
    assert {"python", "torch", "numpy", "torchattacks"} <= set(versions())
