"""The core's properties on CUDA: ``pytest -m gpu``. Skipped, and so reported as not run, where there is no GPU."""

import numpy as np
import pytest
import torch
from toys import Linear, SmallNet, labeled, loaded

from harness.base.threat import distance, inside_ball, inside_box, parse_epsilon, parse_grid
from harness.evidence import facts, witnesses
from harness.evidence.metrics import sample_outcomes
from harness.evidence.store import RunStore
from harness.inputs.reference import ReferenceModel
from harness.inputs.suite import Suite
from harness.measure.unit.board import WitnessBoard
from harness.measure.unit.observer import AllBroken, ObservedModel
from harness.run.job import Options, evaluate
from harness.types import AttackSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: torch sees no CUDA device"),
]
PARAMS = {"steps": 10, "step_size": "epsilon/4", "random_start": True}


def suite(grid, norm="linf", method="pgd", chunk=64, mode="observed"):
    params = {} if method == "fgsm" else PARAMS
    return Suite(
        name="toy",
        version=1,
        norm=norm,
        grid=parse_grid(grid, norm),
        mode=mode,
        chunk=chunk,
        attacks=(AttackSpec("a", "torchattacks", method, params),),
    )


@pytest.mark.parametrize(("norm", "method"), [("linf", "fgsm"), ("linf", "pgd"), ("l2", "pgdl2")])
def test_linear_margins(tmp_path, norm, method):
    model = Linear()
    data = labeled(model, 200, low=0.35, high=0.65)
    needed = model.margin(data.images, norm)
    label = f"{float(needed.median()):.6f}"
    run = evaluate(loaded(model, 2), suite((label,), norm, method), data, Options(tmp_path, device="cuda"))
    epsilon = parse_epsilon(label, norm).value
    survived = sample_outcomes(run.facts, "a", epsilon)
    assert not any(survived[i] for i in (needed < epsilon * 0.99).nonzero().flatten().tolist())
    assert all(survived[i] for i in (needed > epsilon * 1.01).nonzero().flatten().tolist())


@pytest.mark.parametrize("mode", ["observed", "watch", "faithful"])
def test_witnesses_hold_on_the_cpu_too(tmp_path, mode):
    model = SmallNet()
    data = labeled(model, 200, wrong=10)
    run = evaluate(loaded(model, 5), suite(("2/255", "8/255"), mode=mode), data, Options(tmp_path, device="cuda"))
    assert next(model.parameters()).device.type == "cpu"
    seen = 0
    for table in RunStore(run.folder).all_witnesses():
        images, labels = data.take(table["sample_id"].to_pylist())
        back = witnesses.decode(table["image"].to_pylist(), images)
        assert inside_box(back).all()
        reach = distance(back, images, "linf")
        for row, epsilon in enumerate(table["epsilon"].to_pylist()):
            assert inside_ball(reach[row : row + 1], epsilon, "linf").all()
        solid = torch.tensor(table["margin"].to_pylist()) > 1e-2
        with ReferenceModel(loaded(model, 5)) as reference:
            assert (reference.logits(back).argmax(1) != labels)[solid].all()
        seen += len(images)
    assert seen > 20


def test_facts_repeat_bit_for_bit_and_agree_with_the_cpu(tmp_path):
    model = SmallNet()
    data = labeled(model, 300, wrong=10)
    chosen = suite(("2/255", "8/255"))
    runs = [
        evaluate(loaded(model, 5), chosen, data, Options(tmp_path / name, device=device, batch_size=64))
        for name, device in (("one", "cuda"), ("two", "cuda"), ("cpu", "cpu"))
    ]
    order = [("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
    one, two, cpu = (run.facts.sort_by(order) for run in runs)
    assert one.equals(two)
    broken = [np.isin(t["outcome"].to_numpy(zero_copy_only=False), facts.BROKEN) for t in (one, cpu)]
    assert (broken[0] == broken[1]).mean() > 0.98


def test_the_generators_and_the_model_come_back(tmp_path):
    model = SmallNet().train()
    data = labeled(model, 40)
    model.train()
    torch.cuda.init()
    state = torch.cuda.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tf32 = torch.backends.cudnn.allow_tf32
    evaluate(loaded(model, 5), suite(("4/255",)), data, Options(tmp_path, device="cuda"))
    assert torch.equal(state, torch.cuda.get_rng_state())
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert all(part.training for part in model.modules())
    assert torch.backends.cudnn.allow_tf32 == tf32


def test_real_exhaustion_of_memory_is_survived():
    model = SmallNet()
    data = labeled(model, 32)

    def hungry(images):
        if len(images) > 8:
            torch.empty(2**50, device=images.device)
        return model(images)

    with ReferenceModel(loaded(model, 5), "cuda") as reference:
        images, labels = data.images.cuda(), data.labels.cuda()
        observer = ObservedModel(hungry, WitnessBoard(reference, images, labels, "linf", 0.03), batch_size=32)
        wanted = images.clone().requires_grad_()
        try:
            torch.autograd.grad(observer(wanted).sum(), wanted)
        except AllBroken:
            pytest.fail("clean images break nothing")
        assert observer.out_of_memory == 2
