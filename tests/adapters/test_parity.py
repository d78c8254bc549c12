"""The tools agree where they should: with matched parameters, bit for bit."""

import pytest
import torch
from strikes import make
from toys import SmallNet, labeled

from harness.base.randomness import forked
from harness.base.torch_state import exact_arithmetic
from harness.types import Problem

EPSILONS = [1 / 255, 4 / 255, 8 / 255]


def run(name, norm, data, epsilon, seed=0, **changes):
    attack = make(name, norm, **changes)
    model = SmallNet(seed=3).eval().requires_grad_(False)
    images, labels = data.images.clone(), data.labels.clone()
    with forked(seed):
        return attack.perturb(model, Problem(images, labels, norm, epsilon, seed, 5, len(images)))


@pytest.fixture(scope="module")
def data():
    found = labeled(SmallNet(seed=3), 64, eight_bit=True)
    found.labels[::5] = (found.labels[::5] + 1) % 5  # wrong predictions must not matter: labels are the truth
    return found


@pytest.mark.art
@pytest.mark.torchattacks
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("fgsm", {}),
        ("pgd", {"steps": 10, "step_size": "epsilon/4", "random_start": False}),
        ("pgd", {"steps": 7, "step_size": "epsilon/3", "random_start": False, "target": "kth:1"}),
    ],
)
def test_torchattacks_and_art_return_the_same_images(data, method, changes, epsilon):
    pytest.importorskip("torchattacks")
    pytest.importorskip("art")
    art = {"random_start": False} if method == "fgsm" else {}
    first = run(f"torchattacks.{method}", "linf", data, epsilon, **changes)
    second = run(f"art.{method}", "linf", data, epsilon, **{**art, **changes})
    assert torch.equal(first, second)
    assert not torch.equal(first, data.images)


@pytest.mark.autoattack
@pytest.mark.torchattacks
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd_of_pyautoattack_and_torchattacks_agree_at_equal_seed(data, norm, loss):
    """The same algorithm and draws; torchattacks' 10 steps are its default, not its limit."""
    pytest.importorskip("torchattacks")
    pytest.importorskip("pyautoattack")
    epsilon = 2 / 255 if norm == "linf" else 0.12
    first = run(f"autoattack.apgd-{loss}", norm, data, epsilon, 5, steps=100)
    second = run("torchattacks.apgd", norm, data, epsilon, 5, steps=100, loss=loss)
    model = SmallNet(seed=3).eval()
    broken = [model(images).argmax(1) != data.labels for images in (first, second)]
    assert torch.equal(*broken)
    assert 0 < int(broken[0].sum()) < len(broken[0])


@pytest.mark.gpu
@pytest.mark.art
@pytest.mark.torchattacks
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_on_a_gpu_the_tools_agree_on_nearly_all_samples(method):
    pytest.importorskip("torchattacks")
    pytest.importorskip("art")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = SmallNet(seed=3).eval().requires_grad_(False)
    data = labeled(model, 1000, eight_bit=True)
    model.cuda()
    problem = Problem(data.images.cuda(), data.labels.cuda(), "linf", 4 / 255, 0, 5, 1000)
    random_start = {} if method == "fgsm" else {"random_start": False}
    with exact_arithmetic():
        broken = [
            model(make(f"{tool}.{method}", "linf", **given).perturb(model, problem)).argmax(1) != problem.labels
            for tool, given in (("torchattacks", random_start), ("art", {"random_start": False}))
        ]
    assert (broken[0] == broken[1]).float().mean() >= 0.995
    assert broken[0].any()
