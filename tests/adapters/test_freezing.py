"""Freezing broken rows loses no witness: what licenses each adapter's ``freezable = True``.

Same inputs, same draws, frozen rows kept in the network's batch: the samples that the bare tool breaks must be among
those that are found broken while rows are frozen.
"""

import pytest
from strikes import cases, make, strike
from toys import SmallNet, labeled

EPSILON = {"linf": 2 / 255, "l2": 0.12, "l1": 1.5}
SHORT = {
    "art.apgd": {"steps": 12},
    "art.square": {"steps": 40},
    "autoattack.apgd-t": {"steps": 10},
    "autoattack.square": {"queries": 50},
    "torchattacks.apgd": {"steps": 12},
    "torchattacks.apgdt": {"steps": 12},
    "torchattacks.pifgsm": {"amplification": 2.0},
    "torchattacks.spsa": {"steps": 5, "samples": 64},
    "torchattacks.square": {"queries": 50},
}


@pytest.mark.parametrize(("name", "norm"), cases(lambda kind: kind.freezable))
def test_what_the_bare_tool_breaks_is_broken_with_frozen_rows(name, norm):
    model = SmallNet(seed=3)
    attack = make(name, norm, **SHORT.get(name, {}))
    total = 0
    for seed in range(2):
        data = labeled(model, 8 if attack.one_by_one else 32, seed=seed, eight_bit=True)
        arguments = (attack, model, data.images, data.labels, EPSILON[norm])
        bare = strike(*arguments, watch="count", seed=seed).isfinite()
        frozen = strike(*arguments, watch="freeze", seed=seed, keep_rows=True).isfinite()
        assert not (bare & ~frozen).any(), f"lost rows {(bare & ~frozen).nonzero().flatten().tolist()}"
        total += int(bare.sum())
        assert not bare.all()
    assert total > 0


def test_fab_is_not_frozen():
    attack = make("autoattack.plus", "linf")
    assert [c for c in attack.components if not attack.freezes(c)] == ["fab", "fab-t"]
    for name in ("torchattacks.fab-t", "autoattack.fab", "autoattack.fab-t"):
        assert not make(name, "linf").freezes(None)
    assert make("torchattacks.pgd", "linf").freezes(None)
