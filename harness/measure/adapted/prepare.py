"""Copies of a model as adaptations change it, tried out before anything is measured."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.adaptation import named_module
from harness.base.memory import is_out_of_memory
from harness.base.randomness import forked
from harness.errors import BadSuite, HarnessError
from harness.evidence.pool import Pool
from harness.inputs.adaptations import Adapted, owner
from harness.inputs.reference import ReferenceModel
from harness.measure.adapted.pool import OfRun
from harness.types import Adaptation, AttackSpec


@dataclass(frozen=True)
class AdaptedCopy:
    """What an adapted attack differentiates."""

    network: nn.Module
    """Images float32 [n,C,H,W] in [0,1] to logits [n,K]."""
    alters: bool
    """Whether it may predict something else than the model."""
    pool: Pool | None = None
    """Witnesses of other runs that the attack is given."""


TRIED = 2
"""Images that a copy is tried on."""


def adapted_copies(
    reference: ReferenceModel, attacks: Iterable[AttackSpec], adapted: Adapted, images: Tensor
) -> dict[str, AdaptedCopy]:
    """By attack id what the attack differentiates; attacks with the same adaptations share a copy.

    Args:
        reference: The entered reference; it is left as it is.
        attacks: Those of a suite.
        adapted: By attack id the adaptations of those that have some.
        images: Some images [n,C,H,W] of the data.

    Raises:
        BadSuite: an adaptation does not fit the model: no such module, or no logits [n,K] come out.
    """
    made: dict[tuple[str, ...], AdaptedCopy] = {}
    found: dict[str, AdaptedCopy] = {}
    for spec in attacks:
        if spec.adapt and spec.adapt not in made:
            made[spec.adapt] = adapted_copy(reference, adapted[spec.id], spec.adapt, images[:TRIED])
        if spec.adapt:
            found[spec.id] = made[spec.adapt]
    return found


def adapted_copy(
    reference: ReferenceModel, adaptations: Sequence[Adaptation], texts: Sequence[str], images: Tensor
) -> AdaptedCopy:
    """One copy; see `adapted_copies`."""
    try:
        network: nn.Module = copy.deepcopy(reference.module)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise BadSuite(
            f"model {reference.name!r} cannot be copied, which every adaptation needs: {type(error).__name__}: {error}"
        ) from None
    images = images.to(reference.device, torch.float32)
    for adaptation, text in zip(adaptations, texts, strict=True):
        with _of(text):
            if path := getattr(adaptation, "path", ""):
                _check_run(network, path, text, images)
            network = adaptation.apply(network).to(reference.device)
    with _of(",".join(texts)), forked(0), torch.enable_grad():
        out: Any = network(images.clone().requires_grad_())
        expected = (len(images), reference.num_classes)
        if not isinstance(out, Tensor) or tuple(out.shape) != expected:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise BadSuite(f"adaptation {','.join(texts)!r} gives {got} for {len(images)} images, expected {expected}")
        if not bool(torch.isfinite(out).all()):
            raise BadSuite(f"adaptation {','.join(texts)!r} gives logits that are NaN or infinite")
    folders = [folder for one in adaptations if isinstance(one, OfRun) for folder in one.pool.folders]
    pool = Pool(tuple(folders)) if folders else None
    return AdaptedCopy(network.requires_grad_(False), any(one.alters for one in adaptations), pool)


def _check_run(network: nn.Module, path: str, text: str, images: Tensor) -> None:
    """Refuse a module that the model has and does not run: changing it would change nothing."""
    calls: list[nn.Module] = []
    handle = named_module(network, path, text).register_forward_hook(lambda module, *_: calls.append(module))
    try:
        with forked(0), torch.no_grad():
            network(images)
    finally:
        handle.remove()
    if not calls:
        raise BadSuite(f"adaptation {text!r}: the model does not run this module, so that nothing would change")


@contextmanager
def _of(text: str) -> Iterator[None]:
    """Errors inside are told with the adaptation that they are of."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # of the model's code, or a stranger's adaptation
        if is_out_of_memory(error):
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadSuite(f"adaptation {text!r}{owner(text)} does not work on this model: {what}") from error
