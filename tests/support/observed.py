"""A suite of one attack, and what its run found, in one order."""

from harness.base.threat import parse_grid
from harness.evidence.metrics import cells, sample_outcomes
from harness.inputs.suite import Suite
from harness.types import AttackSpec


def suite(grid=("1/255", "4/255", "8/255"), norm="linf", method="pgd", chunk=16, mode="observed", **params):
    if method == "pgd":
        params = {"steps": 10, "step_size": "epsilon/4", "random_start": True, **params}
    elif method == "pgdl2":
        params = {"steps": 20, "step_size": "epsilon/4", "random_start": True, **params}
    spec = AttackSpec("attack", "torchattacks", method, params)
    return Suite(name="toy", version=1, norm=norm, grid=parse_grid(grid, norm), mode=mode, chunk=chunk, attacks=(spec,))


def outcomes_at(run, label):
    epsilon = next(c.epsilon for c in cells(run.facts) if c.epsilon_label == label)
    return sample_outcomes(run.facts, "attack", epsilon)


def sorted_facts(run):
    return run.facts.sort_by([("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")])
