"""State dicts as people save them: several in one file, under prefixes, without counters, under strange names."""

import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

from harness.errors import BadWeights, UsageError
from harness.inputs.find import find_model

NETS = """
from torch import nn

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    def forward(self, images):
        return self.model(images)

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))

def normed():
    return nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 3))
"""
OPTIONS = "num_classes=3&shape=3x2x2"
IMAGES = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def plain(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def answers(text):
    with torch.no_grad():
        return find_model(text).module(IMAGES)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def test_two_that_fit_are_asked_about(work):
    first, average = plain(0), plain(1)
    torch.save({"state_dict": first.state_dict(), "state_dict_ema": average.state_dict(), "epoch": 3}, "two.pt")
    text = f"two.pt?arch=nets.py:plain&{OPTIONS}"
    with pytest.raises(BadWeights, match=r"\(state_dict, state_dict_ema\); say which one with [?]key=state_dict_ema"):
        find_model(text)
    with torch.no_grad():
        assert torch.equal(answers(f"{text}&key=state_dict"), first(IMAGES))
        assert torch.equal(answers(f"{text}&key=state_dict_ema"), average(IMAGES))


def test_of_two_only_one_fits_or_both_are_the_same(work):
    net = plain()
    torch.save({"generator": nn.Linear(2, 2).state_dict(), "classifier": net.state_dict()}, "one.pt")
    torch.save({"model": net.state_dict(), "ema": net.state_dict()}, "same.pt")
    torch.save({"best": {"weights": net.state_dict()}, "last": {"weights": plain(1).state_dict()}}, "deep.pt")
    with torch.no_grad():
        for text in ("one.pt?", "same.pt?", "deep.pt?key=best.weights&"):
            assert torch.equal(answers(f"{text}arch=nets.py:plain&{OPTIONS}"), net(IMAGES))
    with pytest.raises(BadWeights, match=r"best\.weights, last\.weights"):
        find_model(f"deep.pt?arch=nets.py:plain&{OPTIONS}")


@pytest.mark.parametrize("wrapped", ["", "module.", "net.", "module.backbone."])
def test_an_attribute_named_as_a_prefix_is_no_prefix(work, wrapped):
    inner = nn.Module()
    inner.model = plain()
    torch.save(prefixed(wrapped, inner.state_dict()), "inner.pt")
    with torch.no_grad():
        assert torch.equal(answers(f"inner.pt?arch=nets.py:Inner&{OPTIONS}"), inner.model(IMAGES))


def test_averaged_models(work):
    averaged = torch.optim.swa_utils.AveragedModel(plain())
    assert "n_averaged" in averaged.state_dict()
    torch.save(averaged.state_dict(), "swa.pt")
    with torch.no_grad():
        assert torch.equal(answers(f"swa.pt?arch=nets.py:plain&{OPTIONS}"), averaged(IMAGES))


def test_a_prefix_is_asked_for_where_there_is_a_choice(work):
    student, teacher = plain(0), plain(1)
    both = prefixed("net.", student.state_dict()) | prefixed("ema_net.", teacher.state_dict())
    torch.save(both, "both.pt")
    torch.save(prefixed("net.", student.state_dict()) | {"loss.weight": torch.ones(3)}, "loss.pt")
    with pytest.raises(BadWeights, match=r"several networks; say which one with &prefix=ema_net\. or &prefix=net\."):
        find_model(f"both.pt?arch=nets.py:plain&{OPTIONS}")
    with pytest.raises(BadWeights, match=r"hold 'loss\.weight' beside the network's; add &prefix=net\."):
        find_model(f"loss.pt?arch=nets.py:plain&{OPTIONS}")
    with pytest.raises(BadWeights, match=r"no tensor that begins with 'nat\.'"):
        find_model(f"both.pt?arch=nets.py:plain&{OPTIONS}&prefix=nat.")
    with torch.no_grad():
        assert torch.equal(answers(f"both.pt?arch=nets.py:plain&{OPTIONS}&prefix=ema_net."), teacher(IMAGES))
        assert torch.equal(answers(f"loss.pt?arch=nets.py:plain&{OPTIONS}&prefix=net."), student(IMAGES))
    chosen = (find_model(f"both.pt?arch=nets.py:plain&{OPTIONS}&prefix={one}.") for one in ("net", "ema_net"))
    assert len({model.weights_sha256 for model in chosen}) == 2


def test_batch_norms_without_counters(work):
    network = nn.Sequential(nn.BatchNorm2d(3), *plain())
    network(torch.rand(8, 3, 2, 2) * 5)
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    assert len(state) == len(network.state_dict()) - 1
    torch.save(state, "old.pt")
    with torch.no_grad():
        assert torch.equal(answers(f"old.pt?arch=nets.py:normed&{OPTIONS}"), network.eval()(IMAGES))


@pytest.mark.parametrize(
    "name",
    ["a+b c.pt", "100%41.pth", "q?.pt", "x&y.pt", "n#1.t7", "k=v.pkl", "Gewicht-ß.pt", "no_ending", "was?arch=this.pt"],
)
def test_paths_are_taken_as_they_stand(work, name):
    folder = work / "lr=0.1+aug & 50% #2?"
    folder.mkdir()
    torch.save(plain().state_dict(), folder / name)
    (folder / "my+nets.py").write_text(NETS)
    if name == "was?arch=this.pt":  # cannot be told from an option; a link or another name helps
        with pytest.raises(UsageError, match="does not exist"):
            find_model(f"{folder}/{name}?arch=nets.py:plain&{OPTIONS}")
        return
    with torch.no_grad():
        assert torch.equal(answers(f"{folder}/{name}?arch={folder}/my+nets.py:plain&{OPTIONS}"), plain()(IMAGES))


def test_the_content_counts_not_the_ending(work):
    safetensors.torch.save_file(plain().state_dict(), "tensors.pt")
    with torch.no_grad():
        assert torch.equal(answers(f"tensors.pt?arch=nets.py:plain&{OPTIONS}"), plain()(IMAGES))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "are a web page saved under that name"),
        (b"\xef\xbb\xbf\n <html lang='en'>", "are a web page saved under that name"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "git LFS pointer.*git lfs pull"),
        (b"", "are an empty file"),
        (pickle.dumps({"a": 1}), "cannot be read as tensors alone|hold no state dict"),
    ],
)
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", "weights"])
def test_what_was_downloaded_instead_is_named(work, content, message, name):
    (work / name).write_bytes(content)
    with pytest.raises(BadWeights, match=message):
        find_model(f"{name}?arch=nets.py:plain&{OPTIONS}")
