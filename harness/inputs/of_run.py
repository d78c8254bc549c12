"""The model and data a run is about, found by whom verifies it."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.inputs.find import find_data, find_model
from harness.inputs.outputs import fitted
from harness.inputs.registry import Registry
from harness.types import Dataset, LoadedModel


class Subjects:
    """Finds model and data of runs, and loads each once.

    A run may come from a stranger, so that only names of installed plugins are taken from it: never a path or a file,
    which could be code that came with the run.

    Args:
        model: As for ``--model``; None takes each run's.
        data: As for ``--data``; None takes each run's.
        root: Folder with local copies of data sets.
    """

    def __init__(self, model: str | None = None, data: str | None = None, root: Path | None = None) -> None:
        self.model, self.data, self.root = model, data, root
        self._models: dict[str, LoadedModel] = {}
        self._sets: dict[tuple[str, str], Dataset] = {}

    def of(self, model: str, data: str) -> tuple[LoadedModel, Dataset]:
        """Model and data of one run.

        Args:
            model: What the run calls its model.
            data: What the run calls its data.

        Raises:
            UsageError: the run's model or data is no installed plugin's name.
            HarnessError: it cannot be loaded.
        """
        name = model if self.model is None else self.model
        if self.model is None and name not in Registry("models"):
            raise UsageError(f"the run's model {name!r:.80} is no installed name; say where it is with --model")
        if name not in self._models:
            self._models[name] = find_model(name)
        place = (self.data, "test") if self.data is not None else _data_set(data)
        if place not in self._sets:
            self._sets[place] = find_data(place[0], self.root, place[1])
        return fitted(self._models[name], self._sets[place]), self._sets[place]


def _data_set(named: str) -> tuple[str, str]:
    """The installed data set and the split that a run's data are named after."""
    known = Registry("datasets")
    if named in known:
        return named, "test"
    for split in ("test", "val", "train"):
        if named.endswith(f"-{split}") and (base := named.removesuffix(f"-{split}")) in known:
            return base, split
    raise UsageError(f"the run's data {named!r:.80} is no installed name; say where it is with --data")
