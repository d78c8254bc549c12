"""A run on disk that a forger edits: facts, witnesses and JSON, with sums and hashes mended if he is thorough."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import torch
from torch import Tensor
from toys import Toy

from harness.base.threat import distance
from harness.evidence import facts, witnesses
from harness.evidence.run_info import RunInfo, run_name
from harness.evidence.store import RunStore
from harness.evidence.summary import summarize
from harness.trust.diagnosis import verdict

Row = dict[str, Any]


class Forger:
    """Edits a copy of a run.

    Args:
        honest: The run's folder.
        folder: Where the copy goes.
        data: The run's data set, against which witnesses are stored.
    """

    def __init__(self, honest: Path, folder: Path, data: Toy) -> None:
        self.folder, self.data = Path(shutil.copytree(honest, folder)), data
        self.store = RunStore(self.folder)

    @property
    def info(self) -> dict[str, Any]:
        return dict(self.store.read_json("run.json"))

    @property
    def told(self) -> RunInfo:
        """What run.json says, which may contradict itself."""
        return msgspec.convert(self.info, RunInfo)

    @property
    def norm(self) -> Any:
        return self.info["suite"]["norm"]

    def all_facts(self) -> list[Row]:
        return list(self.store.all_facts().to_pylist())

    def all_witnesses(self) -> list[Row]:
        return [row for table in self.store.all_witnesses() for row in table.to_pylist()]

    def edit_facts(self, change: Callable[[Row], Row | None], pattern: str = "*") -> int:
        """Put `change(row)` in place of each fact, or drop it for None; returns how many became another."""
        return self._edit("facts", facts, pattern, change)

    def edit_witnesses(self, change: Callable[[Row], Row | None], pattern: str = "*") -> int:
        """The same of witnesses."""
        return self._edit("witnesses", witnesses, pattern, change)

    def _edit(self, part: str, form: Any, pattern: str, change: Callable[[Row], Row | None]) -> int:
        changed = 0
        for path in sorted((self.folder / part).glob(f"{pattern}.parquet")):
            table = form.read(path)
            rows = table.to_pylist()
            after = [change(dict(row)) for row in rows]
            changed += sum(a != b for a, b in zip(rows, after, strict=True))
            form.write(path, pa.Table.from_pylist([row for row in after if row is not None], schema=table.schema))
        return changed

    def edit_json(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        path = self.folder / name
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    def recount(self) -> None:
        """Make summary.json agree with the facts."""
        facts = self.store.all_facts()
        self.store.write_json("summary.json", summarize(self.told, facts, *verdict(self.told, facts)))

    def rehash(self) -> None:
        """Make key and name agree with what run.json says."""

        def change(info: dict[str, Any]) -> None:
            info["key"] = msgspec.convert(info, RunInfo).determined()
            info["run_name"] = run_name(info["model"]["name"], info["suite"]["name"], info["key"])

        self.edit_json("run.json", change)
        self.recount()

    def clean(self, sample: int) -> Tensor:
        return self.data.take([sample])[0]

    def image(self, witness: Row) -> Tensor:
        """The witness' image [1,C,H,W]."""
        return witnesses.decode([witness["image"]], self.clean(witness["sample_id"]))

    def with_image(self, witness: Row, image: Tensor, measure: bool = True) -> Row:
        """The witness with another image, its distance measured again if the forger is thorough."""
        clean = self.clean(witness["sample_id"])
        reach = float(distance(image, clean, self.norm))
        return {**witness, "image": witnesses.encode(image, clean)[0]} | ({"distance": reach} if measure else {})

    def swap_image(self, image: Callable[[Row], Tensor], wanted: Callable[[Row], bool], measure: bool = True) -> int:
        """Give the wanted witnesses another image, and, if the forger is thorough, their facts its distance."""
        moved: dict[tuple[Any, ...], float] = {}

        def change(row: Row) -> Row:
            if not wanted(row):
                return row
            after = self.with_image(row, image(row), measure)
            moved[row["sample_id"], row["attack"], row["distance"]] = after["distance"]
            return after

        changed = self.edit_witnesses(change)

        def follow(row: Row) -> Row:
            key = (row["sample_id"], row["attack"], row["distance"])
            return {**row, "distance": moved[key]} if key in moved else row

        if measure:
            self.edit_facts(follow)
        return changed


NOTHING = ("reason", "origin_epsilon", "source", "query_index", "restart", "distance", "margin", "adv_pred")
SURVIVED: Row = {**dict.fromkeys(NOTHING), "outcome": "survived"}
"""What a forger writes over a witness that he wants to be a survivor."""


def hide(forger: Forger, samples: set[int], attack: str) -> int:
    """Turn every break of `samples` under `attack` into a survivor, drop the witnesses, mend the sums."""

    def change(row: Row) -> Row:
        mine = row["sample_id"] in samples and row["attack"] == attack and row["outcome"] in facts.BROKEN
        return row | SURVIVED if mine else row

    changed = forger.edit_facts(change)
    forger.edit_witnesses(lambda row: None if (row["sample_id"] in samples and row["attack"] == attack) else row)
    forger.recount()
    return changed


def beyond(forger: Forger, factor: float) -> Callable[[Row], Tensor]:
    """An image `factor` times as far from the clean one, in the box."""

    def image(witness: Row) -> Tensor:
        clean = forger.clean(witness["sample_id"])
        return (clean + factor * (forger.image(witness) - clean)).clamp(0, 1)

    return image


def nothing(forger: Forger) -> Callable[[Row], Tensor]:
    """An image of NaN."""
    return lambda witness: torch.full_like(forger.clean(witness["sample_id"]), torch.nan)


def first(rows: list[Row], **wanted: Any) -> Row:
    """The first row with these values; a value may be a test."""
    fits = (row for row in rows if all(v(row[k]) if callable(v) else row[k] == v for k, v in wanted.items()))
    return next(fits)


def at(row: Row, other: Row) -> bool:
    """Whether both are of the same sample, attack, component and epsilon."""
    names = ("sample_id", "attack", "component", "epsilon")
    return all(row[name] == other[name] for name in names)
