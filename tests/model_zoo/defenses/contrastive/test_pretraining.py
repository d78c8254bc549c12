"""Pre-training: it lowers its loss, resumes to the same encoder, and says what it does."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from contrast import classifier, colors, context
from power_cut import Interrupted, interrupting
from rich.console import Console
from torch import Tensor, nn

from harness.errors import TrainingFailed, UsageError
from model_zoo.defenses.contrastive.frameworks import A2A, A2S, S2S, Contrastive
from model_zoo.loading.weights_file import read_weights, sha256_of
from model_zoo.training.progress import Progress

QUICK = {"pretrain_epochs": "2", "embedding": "8", "pretrain_lr": "1e-2"}


def prepared(defense: Contrastive, output: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    model = classifier()
    record = defense.prepare(model, context(output))
    return model.state_dict(), record


@pytest.mark.parametrize("kind", [S2S, A2S, A2A])
def test_pretraining_changes_the_encoder_and_not_the_classifier(kind: type[Contrastive], tmp_path: Path) -> None:
    before = classifier().state_dict()
    after, record = prepared(kind.from_options(QUICK), tmp_path)
    assert not torch.equal(after["0.weight"], before["0.weight"])
    assert torch.equal(after["8.weight"], before["8.weight"])
    assert int(after["1.num_batches_tracked"]) == 6  # two epochs of three batches through the branch that is kept
    table = record["pretraining"]
    assert (table["framework"], table["epochs"], len(table["loss_by_epoch"])) == (kind.framework, 2, 2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"encoder-{b}" for b in sorted(kind.branches)]


def test_pretraining_lowers_the_loss_and_tells_the_classes_apart(tmp_path: Path) -> None:
    defense = A2S.from_options(QUICK | {"pretrain_epochs": "12"})
    state, record = prepared(defense, tmp_path)
    losses = record["pretraining"]["loss_by_epoch"]
    assert losses[-1] < losses[0] - 0.2
    model = classifier()
    model.load_state_dict(state)
    images, labels = colors().take(range(26))
    with torch.no_grad():
        features = nn.functional.normalize(model[:-1].eval()(images))
    alike = labels[:, None] == labels
    similarity = features @ features.T
    assert similarity[alike].mean() > similarity[~alike].mean() + 0.2


@pytest.mark.parametrize("calls", [2, 3, 5, 6])
@pytest.mark.parametrize("method", [{}, {"method": "yopo", "inner_steps": "2"}], ids=["pgd", "yopo"])
def test_a_resumed_pretraining_gives_the_same_encoder(
    calls: int, method: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three batches an epoch, two epochs: interrupted in the middle of both, and at the end of the first one."""
    defense = A2S.from_options(QUICK | method)
    expected, _ = prepared(defense, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(A2S, "contrast", interrupting(A2S.contrast, calls))
        with pytest.raises(Interrupted):
            prepared(defense, tmp_path / "cut")
    assert (tmp_path / "cut" / "pretrain.pt").exists()
    torch.manual_seed(99)  # another process has other states
    state, record = prepared(defense, tmp_path / "cut")
    assert all(torch.equal(value, expected[key]) for key, value in state.items())
    for branch in defense.branches:
        files = [tmp_path / run / f"encoder-{branch}" / "weights.safetensors" for run in ("whole", "cut")]
        assert sha256_of(files[0]) == sha256_of(files[1])
    assert len(record["pretraining"]["loss_by_epoch"]) == 2


def test_the_seed_decides_and_nothing_else(tmp_path: Path) -> None:
    def kernel(name: str, outside: int, seed: int) -> Tensor:
        model = classifier()
        torch.manual_seed(outside)
        settings = replace(context(tmp_path).settings, seed=seed)
        S2S.from_options(QUICK).prepare(model, context(tmp_path / name, settings))
        return model[0].weight.detach()

    assert torch.equal(kernel("a", 1, 3), kernel("b", 2, 3))
    assert not torch.equal(kernel("c", 1, 3), kernel("d", 1, 4))


def test_a_finished_pretraining_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defense = A2S.from_options(QUICK)
    expected, record = prepared(defense, tmp_path)
    monkeypatch.setattr(A2S, "contrast", interrupting(A2S.contrast, 1))
    state, again = prepared(defense, tmp_path)
    assert again == record
    assert all(torch.equal(value, expected[key]) for key, value in state.items())
    with pytest.raises(UsageError, match=r"encoder-clean was pre-trained with other settings.*another output folder"):
        defense.prepare(classifier(), context(tmp_path, fingerprint="another"))


@pytest.mark.parametrize(
    ("defense", "branch"),
    [
        (S2S.from_options(QUICK | {"finetune": "trades"}), "clean"),
        (A2S.from_options(QUICK), "clean"),
        (A2S.from_options(QUICK | {"finetune": "trades"}), "adversarial"),
        (A2A.from_options(QUICK), "adversarial"),
    ],
    ids=["s2s-trades", "a2s-standard", "a2s-trades", "a2a-standard"],
)
def test_the_model_gets_the_branch_that_saw_the_finetuning_s_kind_of_images(
    defense: Contrastive, branch: str, tmp_path: Path
) -> None:
    state, record = prepared(defense, tmp_path)
    stored = read_weights(tmp_path / f"encoder-{branch}" / "weights.safetensors")
    assert "8.weight" not in stored
    assert all(torch.equal(value, state[key]) for key, value in stored.items())
    assert record["pretraining"]["branch"] == branch


def test_both_branches_of_a2s_are_written_with_shared_kernels_and_their_own_batch_norms(tmp_path: Path) -> None:
    prepared(A2S.from_options(QUICK), tmp_path)
    clean, adversarial = (read_weights(tmp_path / f"encoder-{b}" / "weights.safetensors") for b in A2S.branches)
    differing = {key.partition(".")[0] for key in clean if not torch.equal(clean[key], adversarial[key])}
    assert differing == {"1", "4"}


def test_two_augmented_views_reach_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    original = S2S.contrast

    def spy(self: S2S, encoder: Any, views: Tensor, labels: Tensor, loss: Any) -> Tensor:
        seen.append(views)
        assert len(views) == 2 * len(labels)
        return original(self, encoder, views, labels, loss)

    monkeypatch.setattr(S2S, "contrast", spy)
    prepared(S2S.from_options(QUICK), tmp_path)
    first, second = seen[0].chunk(2)
    assert not torch.equal(first, second)
    # Each pair shows one image: its dominant color is the same in both views.
    assert torch.equal(first.mean(dim=(2, 3)).argmax(dim=1), second.mean(dim=(2, 3)).argmax(dim=1))


def test_a_loss_that_is_not_finite_names_the_phase_and_its_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S2S, "contrast", lambda self, encoder, views, *_: encoder(views, "clean").sum() * math.nan)
    with pytest.raises(TrainingFailed, match=r"pre-training: the loss is nan in epoch 1, batch 1.*pretrain_lr"):
        prepared(S2S.from_options(QUICK), tmp_path)


def test_without_augmentation_there_are_no_two_views(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--augment above 0"):
        S2S.from_options(QUICK).prepare(classifier(), context(tmp_path, augment=None))


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_names_the_phase_and_then_the_training_again(terminal: bool, tmp_path: Path) -> None:
    screen = io.StringIO()
    with Progress(Console(file=screen, force_terminal=terminal, width=150), 7, "mine") as progress:
        S2S.from_options(QUICK).prepare(classifier(), context(tmp_path, progress=progress))
        progress.step(0, 1, 10, 0.5)
        progress.epoch({"epoch": 1, "loss": 0.5, "seconds": 60.0})
    shown = screen.getvalue()
    phase, main = shown.index("s2s pre-training: epoch 2/2 done after"), shown.index("mine: epoch 1/7 done after")
    assert phase < main
    if terminal:
        assert shown.rindex("1/70") > main  # the bar counts the training's batches again
