"""The models and data that runs are about, found by whoever verifies them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessError, ModelRefused, SubjectNotFound
from harness.evidence.run_info import RunInfo
from harness.inputs.corruptions.names import joined_corruptions, parted_corruptions
from harness.inputs.find import data_name, find_data, find_model, parted
from harness.inputs.identity import is_model
from harness.inputs.outputs import fitted
from harness.inputs.registry import Registry
from harness.inputs.samples import make_slice
from harness.types import Dataset, LoadedModel

_Place = tuple[str, str]
"""As for ``--data``, and the split."""


class Subjects:
    """Finds model and data of runs, and loads each once.

    A run may come from a stranger, so that little is taken from it: names of installed plugins, which vouch for what
    they give, and paths of cards, arrays and image folders below the current folder, which run no code and vouch for
    nothing: what lies there must have the run's hash.

    Args:
        models: As for ``--model`` of verify: ``WHERE``, which is taken for the runs whose hash it has, or
            ``NAME=WHERE``, which is taken for the runs that call their model so, whatever hash they name.
        data: The same of data sets.
        root: Folder with local copies of data sets.
    """

    def __init__(self, models: Sequence[str] = (), data: Sequence[str] = (), root: Path | None = None) -> None:
        self.models, self.data, self.root = [parted(text) for text in models], [parted(text) for text in data], root
        self._models: dict[str, LoadedModel] = {}
        self._sets: dict[_Place, Dataset] = {}
        self._slices: dict[tuple[_Place, int, int], str] = {}
        self._known: dict[tuple[str, _Place, str], bool] = {}

    def load(self) -> None:
        """Load what was named, so that a mistake is told once and not for every run.

        Raises:
            HarnessError: it cannot be loaded.
        """
        for _, where in self.models:
            self._model(where)
        for _, where in self.data:
            self._set((where, "test"))

    def of(self, info: RunInfo) -> tuple[LoadedModel, Dataset]:
        """Model and data of one run; of another hash only where the name vouches for them.

        Raises:
            SubjectNotFound: nobody said where they are, and no installed plugin has their name.
            HarnessError: they cannot be loaded.
        """
        place = self._data_of(info)
        return fitted(self._model(self._model_of(info, place)), self._set(place)), self._set(place)

    def _data_of(self, info: RunInfo) -> _Place:
        told = info.data
        named, plain = _candidates(self.data, told.name)
        places = [(where, "test") for where in (*named, *plain)]
        for place in places:
            if self._slice(place, info) == told.slice:
                return place
        if named:
            return named[0], "test"
        if (installed := _data_set(told.name)) is not None:
            return installed
        if (found := _told_data(info)) is not None:
            with suppress(HarnessError):
                if self._slice((found, "test"), info) == told.slice:
                    return found, "test"
        what = f"the run's data {told.name!r:.60}, slice {told.slice:.19}"
        raise SubjectNotFound(_missing(what, "data", plain, info))

    def _model_of(self, info: RunInfo, place: _Place) -> str:
        told = info.model
        named, plain = _candidates(self.models, told.name)
        for where in (*named, *plain):
            if self._is(where, place, info):
                return where
        if named:
            return named[0]
        if told.name in Registry("models"):
            return told.name
        if (found := _told_card(info)) is not None:
            with suppress(HarnessError):
                if self._is(found, place, info):
                    return found
        what = f"the run's model {told.name!r:.60}, hash {info.told_subject:.19}"
        raise SubjectNotFound(_missing(what, "model", plain, info))

    def _model(self, where: str) -> LoadedModel:
        if where not in self._models:
            self._models[where] = find_model(where)
        return self._models[where]

    def _set(self, place: _Place) -> Dataset:
        if place not in self._sets:
            self._sets[place] = find_data(place[0], self.root, place[1])
        return self._sets[place]

    def _is(self, where: str, place: _Place, info: RunInfo) -> bool:
        """Whether a model is the run's, by its tensors; one that cannot take the run's data is not."""
        known = where, place, info.told_subject
        if known not in self._known:
            try:
                model = fitted(self._model(where), self._set(place))
                self._known[known] = is_model(model, info.model.sha256, info.subject)
            except ModelRefused:
                self._known[known] = False
        return self._known[known]

    def _slice(self, place: _Place, info: RunInfo) -> str | None:
        """The hash of as many samples of the data set as the run measured; None if it has fewer."""
        n, chunk = info.data.n, info.suite.chunk
        if n > len(self._set(place)):
            return None
        if (place, n, chunk) not in self._slices:
            self._slices[place, n, chunk] = make_slice(self._set(place), n, chunk).digest()
        return self._slices[place, n, chunk]


def _told_card(info: RunInfo) -> str | None:
    """The card that a run says it measured, where one lies here with its weights, so that nothing is fetched."""
    text = (info.given and info.given.model) or ""
    path = Path(text) / "card.toml" if not text.endswith(".toml") else Path(text)
    if not _may_be_read(str(path)):
        return None
    try:
        weights = tomllib.loads(path.read_text(encoding="utf-8-sig"))["weights"]["file"]
        return str(path) if (path.parent / weights).is_file() else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _told_data(info: RunInfo) -> str | None:
    """The arrays or the image folder that a run says it measured, where they lie here."""
    text = (info.given and info.given.data) or ""
    name, argument = data_name(text)
    paths = argument.partition("?")[0].split(",")
    return text if name in ("arrays", "folder") and all(map(_may_be_read, paths)) else None


def _may_be_read(path: str) -> bool:
    """Whether a path that a stranger wrote leads to something below the current folder."""
    place = Path(path)
    return not (place.is_absolute() or ".." in place.parts or {":", "?"} & set(path)) and place.exists()


def _candidates(given: Sequence[tuple[str | None, str]], told: str) -> tuple[list[str], list[str]]:
    """Places that were named for the subject, and places without a name."""
    return [w for name, w in given if name == told], [w for name, w in given if name is None]


def gone(info: RunInfo, part: str) -> str:
    """Which package, that is not here, gave a part of the run (``model``, ``data``, ``attack ID``); empty if none."""
    package = (info.plugins or {}).get(part)
    if not package:
        return ""
    return f" of package {package!r:.80}, which is not installed or gives none of this name: install it if you trust it"


def _missing(what: str, option: str, tried: Sequence[str], info: RunInfo) -> str:
    none = f" and is not that of {', '.join(tried):.200}" if tried else ""
    why = gone(info, option) or ", is no installed name"
    told = (info.given and (info.given.model if option == "model" else info.given.data)) or ""
    by = f" (its author measured {told!r:.100})" if told else ""
    return f"{what},{why.removeprefix(',')}{none}; say where it is with --{option} NAME=WHERE{by}"


def _data_set(named: str) -> _Place | None:
    """The installed data set and the split that a run's data are named after, under the corruptions that it names."""
    known = Registry("datasets")
    named, steps = parted_corruptions(named)
    if named in known:
        return joined_corruptions(named, steps), "test"
    for split in ("test", "val", "train"):
        if named.endswith(f"-{split}") and (base := named.removesuffix(f"-{split}")) in known:
            return joined_corruptions(base, steps), split
    return None
