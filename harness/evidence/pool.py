"""Pools: witnesses that other runs found on the same samples, offered to a model that they were not found against.

A pool is named by the runs that it is of, and told apart by a hash over what they keep. The diagnosis says whether it
would break survivors (`harness.trust.diagnosis.transfer`), an adapted attack does it (`harness.measure.adapted.pool`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from harness.errors import BadRun, UsageError
from harness.evidence import witnesses
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore
from harness.inputs.adaptations import is_pooled


def find_runs(places: Sequence[Path]) -> list[Path]:
    """Run folders among `places`, each a run or a folder of runs.

    Raises:
        UsageError: one of them holds no run.
    """
    folders: dict[Path, None] = {}
    for place in places:
        runs = [place] if (place / "run.json").is_file() else sorted(path.parent for path in place.glob("*/run.json"))
        if not runs:
            raise UsageError(f"--transfer {str(place)!r} holds no run; name a run's folder, or a folder of runs")
        folders |= dict.fromkeys(runs)
    return list(folders)


def named_run(name: str, places: Iterable[Path]) -> Path:
    """The folder of the run of this name, in or among `places`, each a run or a folder of runs.

    Raises:
        BadRun: there is none.
    """
    looked = dict.fromkeys(places)
    for place in looked:
        for folder in (place / name, place):
            if folder.name == name and (folder / "run.json").is_file():
                return folder
    where = ", ".join(map(str, looked)) or "no folder"
    raise BadRun(f"no run {name!r:.120} in {where}; put it there, or name it with --transfer")


def misfit(info: RunInfo, other: RunInfo) -> str | None:
    """Why what `other` found says nothing of the run that `info` describes, or None."""
    if info.data.slice != other.data.slice:
        return "its samples are others"
    if info.suite.ruler != other.suite.ruler:
        return f"it measured {other.suite.ruler}, not {info.suite.ruler}"
    if info.model.sha256 == other.model.sha256:
        return "it is of this very model"
    return "it kept no witnesses" if other.witnesses == "none" else None


def pool_of(info: RunInfo, folders: Iterable[Path]) -> Pool:
    """The runs among `folders` that a pool for the run of `info` is made of, by name; maybe none.

    Only of finished ones, whose witnesses stay what they are, and of none that was offered a pool itself: else runs
    that are measured in turns would never come to an end.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        try:
            other = RunStore(folder).read_info()
        except BadRun:
            continue
        pooled = any(is_pooled(attack.adaptations) for attack in other.suite.attacks)
        if folder.name == other.run_name and other.status == "complete" and not pooled and not misfit(info, other):
            found.setdefault(folder.name, folder)
    return Pool(tuple(found[name] for name in sorted(found)))


@dataclass
class Pool:
    """What some runs keep, read when it is asked for; of many witnesses only those of a few samples are held.

    Attributes:
        folders: The runs.
    """

    folders: tuple[Path, ...]
    _held: dict[int, list[bytes]] = field(default_factory=dict, init=False, repr=False)
    _loaded: frozenset[int] = field(default=frozenset(), init=False, repr=False)

    @cached_property
    def sha256(self) -> str:
        """Hash over every witness with its sample and epsilon.

        Raises:
            BadRun: a shard cannot be read.
        """
        total = hashlib.sha256()
        for table in self._tables():
            for name in ("sample_id", "epsilon"):
                total.update(np.ascontiguousarray(table[name].to_numpy()).tobytes())
            for image in table["image"].to_pylist():
                total.update(len(image).to_bytes(8, "little") + image)
        return total.hexdigest()

    def load(self, samples: Collection[int]) -> None:
        """Hold the witnesses of these samples, and no others; nothing is read if they are held already."""
        wanted = frozenset(samples)
        if wanted <= self._loaded:
            return
        self._loaded, self._held = wanted, {}
        values = pa.array(sorted(wanted), pa.int64())
        for table in self._tables():
            mine = table.filter(pc.is_in(table["sample_id"], values))
            for sample, image in zip(mine["sample_id"].to_pylist(), mine["image"].to_pylist(), strict=True):
                self._held.setdefault(sample, []).append(image)

    def counts(self, samples: Collection[int]) -> dict[int, int]:
        """How many different witnesses there are of each of these samples."""
        self.load(samples)
        return {sample: len(set(self._held.get(sample, ()))) for sample in samples}

    def of(self, sample: int, clean: Tensor) -> Tensor:
        """The different witnesses of one sample, in a fixed order.

        Args:
            sample: Its id.
            clean: Its image, float32 [C,H,W].

        Returns:
            Images float32 [k,C,H,W] on the CPU.

        Raises:
            BadRun: they are of images of another size.
        """
        self.load(self._loaded | {sample})
        found = list(dict.fromkeys(self._held.get(sample, ())))
        try:
            return witnesses.decode(found, clean.cpu()[None].expand(len(found), *clean.shape))
        except ValueError as error:
            raise BadRun(f"pool of {', '.join(one.name for one in self.folders)}: sample {sample}: {error}") from None

    def _tables(self) -> Iterable[pa.Table]:
        for folder in self.folders:
            yield from RunStore(folder).all_witnesses()
