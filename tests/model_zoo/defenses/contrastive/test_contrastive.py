"""Options of the contrastive defenses, the fine-tuning's among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from contrast import classifier, context
from torch import Tensor, nn

from harness.errors import UnknownName, UsageError
from model_zoo.defenses.base import Defense, TrainingContext
from model_zoo.defenses.contrastive.frameworks import A2A, A2S, S2S, Contrastive, Finetuning
from model_zoo.defenses.standard import Standard
from model_zoo.defenses.trades import TRADES


def test_the_finetuning_s_options_are_dotted() -> None:
    made = A2S.from_options(
        {"finetune": "trades", "finetune.epsilon": "3/255", "finetune.beta": "4", "epsilon": "4/255", "steps": "3"}
    )
    assert made == A2S(finetune=Finetuning("trades", TRADES(epsilon=3 / 255, beta=4.0)), epsilon=4 / 255, steps=3)
    assert made.trained_for == {"norm": "linf", "epsilon": "3/255"}
    assert A2S().trained_for == {}


@pytest.mark.parametrize("kind", [S2S, A2S, A2A])
@pytest.mark.parametrize("options", [{}, {"finetune": "trades", "finetune.steps": "5", "supervised": "no"}])
def test_options_survive_the_round_trip(kind: type[Contrastive], options: dict[str, str]) -> None:
    defense = kind.from_options(options)
    assert kind.from_options({key: str(value) for key, value in defense.options().items()}) == defense


def test_the_loss_is_the_finetuning_s() -> None:
    model, images, labels = classifier().eval(), torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    smooth = Standard(label_smoothing=0.2)
    defense = A2S.from_options({"finetune.label_smoothing": "0.2"})
    assert torch.equal(defense.loss(model, images, labels), smooth.loss(model, images, labels))
    assert not torch.equal(A2S().loss(model, images, labels), smooth.loss(model, images, labels))


def test_a_finetuning_that_prepares_itself_does_so_after_the_pretraining(tmp_path: Path) -> None:
    class Preparing(Defense):
        def prepare(self, model: nn.Module, context: TrainingContext) -> dict[str, Any]:
            return {"prepared": int(model[1].num_batches_tracked)}  # type: ignore[index]

        def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            return model(images).sum()  # type: ignore[no-any-return]

    defense = S2S(finetune=Finetuning("preparing", Preparing()), pretrain_epochs=1)
    assert defense.prepare(classifier(), context(tmp_path))["prepared"] == 3


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        (A2S, {"eps": "8/255"}, UsageError, "A2S has no option 'eps'.*finetune, pretrain_epochs.*epsilon, method"),
        (S2S, {"epsilon": "8/255"}, UsageError, "S2S has no option 'epsilon'"),
        (A2S, {"pretrain.epochs": "3"}, UsageError, "no option 'pretrain.epochs'"),
        (A2S, {"finetune": "trade"}, UnknownName, "did you mean 'trades'"),
        (A2S, {"finetune.epsilon": "8/255"}, UsageError, "Standard has no option 'epsilon'"),
        (A2S, {"finetune": "trades", "finetune.epsilon": "8"}, UsageError, "epsilon is 8.0"),
        (A2S, {"finetune": "a2a"}, UsageError, "finetune is 'a2a', itself a pre-training"),
        (A2S, {"pretrain_epochs": "-1"}, UsageError, "pretrain_epochs is -1"),
        (A2S, {"pretrain_epochs": "2.5"}, UsageError, "whole number"),
        (A2S, {"pretrain_lr": "0"}, UsageError, "pretrain_lr is 0.0"),
        (A2S, {"temperature": "0"}, UsageError, "temperature is 0.0"),
        (A2S, {"embedding": "1"}, UsageError, "embedding is 1"),
        (A2S, {"supervised": "sup"}, UsageError, "true or false"),
        (A2S, {"epsilon": "8"}, UsageError, "epsilon is 8.0"),
        (A2A, {"steps": "0"}, UsageError, "steps is 0"),
        (A2A, {"step_size": "0"}, UsageError, "step_size is 0.0"),
        (A2A, {"method": "fgsm"}, UsageError, "method is 'fgsm'; give pgd or yopo"),
        (A2A, {"inner_steps": "3"}, UsageError, "inner_steps is 3, which only method=yopo takes"),
        (A2A, {"method": "yopo"}, UsageError, "inner_steps is 1; method=yopo needs at least 2"),
    ],
)
def test_bad_options_are_refused(
    kind: type[Contrastive], options: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        kind.from_options(options)
