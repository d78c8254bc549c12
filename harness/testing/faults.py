"""How the kit collects faults, and the states it compares before and after a plugin ran."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.errors import HarnessError


class NotConformant(AssertionError):
    """A plugin breaks its contract; the message lists every fault with what to change."""


class Faults:
    """Collects faults of one plugin; leaving the block raises them together.

    Args:
        plugin: What is checked, for the message.
    """

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self.found: list[str] = []

    def __enter__(self) -> Faults:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, _Stop) or error is None:
            if self.found:
                lines = "\n".join(f"- {fault}" for fault in self.found)
                raise NotConformant(f"{self.plugin} does not conform:\n{lines}") from None
            return True
        return False

    def expect(self, holds: bool, check: str, advice: str) -> None:
        """Note a fault unless `holds`; `check` names the promise, `advice` says what is wrong and what to change."""
        if not holds:
            self.found.append(f"{check}: {advice}")

    def require(self, holds: bool, check: str, advice: str) -> None:
        """As `expect`, for promises without which nothing else can be looked at."""
        self.expect(holds, check, advice)
        if not holds:
            raise _Stop

    @contextmanager
    def running(self, check: str, advice: str) -> Iterator[None]:
        """A failure inside is a fault, after which nothing else can be looked at."""
        try:
            yield
        except (_Stop, KeyboardInterrupt):
            raise
        except HarnessError as error:
            self.require(False, check, f"{error}")
        except (Exception, SystemExit) as error:
            self.require(False, check, f"{advice}; it raised {type(error).__name__}: {error}")


class _Stop(Exception):
    """Nothing further can be checked."""


def generators() -> tuple[Any, ...]:
    """The states of the global random generators, comparable."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]


class ModuleState:
    """A module's tensors, modes and gradient flags, to be compared with what is there later."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._tensors = {name: tensor.detach().clone() for name, tensor in _tensors(module)}
        self._modes = {name: part.training for name, part in module.named_modules()}
        self._flags = {name: parameter.requires_grad for name, parameter in module.named_parameters()}

    def restore(self) -> None:
        """Put the tensors back."""
        with torch.no_grad():
            for name, tensor in _tensors(self.module):
                tensor.copy_(self._tensors[name])

    def changes(self, buffers: bool = True) -> list[str]:
        """What is different now, in words; `buffers` says whether theirs count."""
        inside = {name for name, _ in self.module.named_buffers()} if not buffers else set()
        tensors = dict(_tensors(self.module))
        found = [
            f"tensor {name}"
            for name, before in self._tensors.items()
            if name not in inside and not torch.equal(tensors[name], before)
        ]
        found += [
            f"mode of {name or 'the model'}"
            for name, part in self.module.named_modules()
            if part.training != self._modes[name]
        ]
        flags = dict(self.module.named_parameters())
        return found + [
            f"requires_grad of {name}" for name, flag in self._flags.items() if flags[name].requires_grad != flag
        ]


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


@contextmanager
def offline() -> Iterator[None]:
    """No connection can be made inside."""

    def refused(*_: object, **__: object) -> None:
        raise OSError("there is no network in this check")

    kept = socket.socket.connect, socket.getaddrinfo
    socket.socket.connect, socket.getaddrinfo = refused, refused  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        socket.socket.connect, socket.getaddrinfo = kept  # type: ignore[method-assign]
