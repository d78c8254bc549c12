"""Runs written by hand: what an attack broke, without attacking."""

import numpy as np

from harness.base.threat import parse_grid
from harness.evidence import facts
from harness.evidence.findings import CHECKS
from harness.evidence.run_json import parse
from harness.trust.diagnosis import diagnose, verdict

N = 200


def info(name, method="pgd", iterative=True, tool="torchattacks", kind="budget", components=(), **params):
    return {
        "id": name, "tool": tool, "tool_version": "1", "method": method, "kind": kind, "iterative": iterative,
        "components": list(components), "params": params, "resolved": {}, "caveats": [],
    }  # fmt: skip


FGSM = info("fgsm", "fgsm", iterative=False)
PGD = info("pgd-20")
AUTO = info("aa", "standard", tool="autoattack", components=["apgd-ce", "square"])
SQUARE = info("square", "square")


class Book:
    """A run written by hand: `cell` says which samples an attack broke, of n samples with `labels`."""

    def __init__(self, *attacks, grid=("8/255",), mode="observed", labels=None, wrong=0, claims=None, findings=()):
        self.attacks, self.n, self.wrong = list(attacks), N, wrong
        self.labels = np.arange(N) % 10 if labels is None else labels
        epsilons = parse_grid(list(grid))
        self.epsilons = {epsilon.label: epsilon.value for epsilon in epsilons}
        self.content = {
            "schema": 1, "facts_schema": 1, "key": "0" * 64, "run": "results/x", "run_name": "x", "seed": 0,
            "threads": 1,
            "asked": {"device": "cpu", "batch_size": "auto"}, "witnesses": "all",
            "device": {"name": "cpu", "torch": "cpu"},
            "versions": {}, "git": None, "started": "", "finished": None, "sessions": 1, "out_of_memory": 0,
            "unconfirmed": 0, "model": {"name": "m", "sha256": "state:0"},
            "data": {"name": "toy", "slice": "s", "n": N}, "mode": mode,
            "suite": {
                "name": "s", "version": 1, "chunk": 512, "label": "s@1", "norm": "linf",
                "grid": [e.label for e in epsilons],
                "epsilons": [e.value for e in epsilons], "attacks": self.attacks,
            },
            "card": {"claims": claims or {}}, "findings": list(findings), "status": "complete", "seconds": 1.0,
        }  # fmt: skip
        right = np.arange(N) >= wrong
        outcomes = np.where(right, "survived", "clean_wrong").tolist()
        self.tables = [self._table("clean", None, "0", 0.0, outcomes, {"forwards": np.ones(N, np.int64)})]

    def cell(self, attack, broken=(), label="8/255", component=None, inherited=(), skipped=(), backwards=20, **columns):
        outcomes = np.full(N, "survived", dtype=object)
        outcomes[list(broken)] = "witness"
        outcomes[list(inherited)] = "inherited"
        outcomes[list(skipped)] = "not_run"
        outcomes[: self.wrong] = "clean_wrong"
        ran = np.isin(outcomes, ("survived", "witness"))
        found = np.isin(outcomes, facts.BROKEN)
        given = {
            "reason": ["cascade" if o == "not_run" else None for o in outcomes],
            "distance": np.ma.masked_array(np.full(N, 0.001), ~found),
            "source": ["query" if o == "witness" else None for o in outcomes],
            "query_index": np.ma.masked_array(np.full(N, 2), outcomes != "witness"),
            "restart": np.ma.masked_array(np.zeros(N, np.int64), outcomes != "witness"),
            "forwards": ran * 20, "backwards": ran * backwards, "dead_gradients": ran * 0, **columns,
        }  # fmt: skip
        self.tables.append(self._table(attack["id"], component, label, self.epsilons[label], outcomes.tolist(), given))
        return self

    def _table(self, attack, component, label, epsilon, outcomes, columns):
        fixed = {
            "sample_id": np.arange(N)[::-1].copy(), "label": self.labels[::-1].copy(), "attack": attack,
            "component": component, "epsilon": epsilon, "epsilon_label": label, "outcome": outcomes[::-1],
        }  # fmt: skip
        return facts.table(N, fixed | {name: values[::-1] for name, values in columns.items()})

    @property
    def run(self):
        return parse(self.content)

    @property
    def facts(self):
        return facts.concat(self.tables)

    def said(self):
        return [(finding.check, finding.level) for finding in diagnose(self.run, self.facts)]

    def message(self, check):
        (finding,) = [finding for finding in diagnose(self.run, self.facts) if finding.check == check]
        assert finding.message.startswith(CHECKS[check])
        return finding.message

    def grade(self):
        return verdict(self.run, self.facts)[1]


def sound():
    """What a sound model looks like: FGSM breaks 60, PGD those and 20 more, the cascade 6 more."""
    book = Book(FGSM, PGD, AUTO, wrong=10)
    book.cell(FGSM, range(40, 100)).cell(PGD, range(30, 110)).cell(AUTO, range(30, 116))
    book.cell(AUTO, range(30, 116), component="apgd-ce")
    return book.cell(AUTO, component="square", skipped=range(30, 116), backwards=0)
