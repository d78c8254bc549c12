"""From what the user typed to a model or a data set, by plugins."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from harness.base.installing import OURS
from harness.errors import BadData, HarnessError, PluginError, UnknownName, UsageError
from harness.inputs.corruptions.names import parted_corruptions
from harness.inputs.registry import Entry, Registry, is_plain_name
from harness.types import DataRequest, Dataset, LoadedModel, ModelCard

ARRAY_FILES = (".npz", ".npy")
HINT = "(or a training folder, file.py:function, torchvision:NAME)"


def check_names(models: Iterable[str] = (), data: Iterable[str] = ()) -> None:
    """Refuse names that nothing can resolve, by metadata alone: before torch is imported, which takes seconds.

    Args:
        models: As for ``--model``. Only what is a bare word and no folder is judged, and only where all sources are the
            zoo's: a stranger's may take any word.
        data: As for ``--data``.

    Raises:
        UnknownName: nobody knows one of them.
        DuplicateName: two packages register one of them.
    """
    for text in data:
        _named(data_name(text)[0])
        for kind, _ in parted_corruptions(text)[1]:
            Registry("corruptions").get(kind)
    registry, ours = Registry("models"), all(entry.package == OURS for entry in Registry("sources").entries())
    for text in models:
        if text in registry:
            registry.get(text)
        elif ours and is_plain_name(text) and not set(":.") & set(text) and not Path(text).exists():
            raise UnknownName("model", text, registry.names(), hint=HINT)


def check_name(name: str) -> str:
    """What results are to call a model, without blanks around it.

    Raises:
        UsageError: nothing is left, or it is more than a line of printable characters.
    """
    if not name.strip() or not name.isprintable():
        raise UsageError(f"--name {name!r} is no name; give one line of printable characters")
    return name.strip()


def find_model(text: str) -> LoadedModel:
    """A registered model, or what a source plugin makes of ``torchvision:..``, ``file.py:function`` or a folder.

    Raises:
        UnknownName: nobody knows it.
        PluginError: a plugin returned something that is not a model.
        BadCard, BadWeights: what it names cannot be loaded.
    """
    models, sources = Registry("models"), Registry("sources")
    if text in models:
        package = models.get(text).package
        return as_loaded(text, _called(f"model {text!r} of package {package}", models.load(text)), package)
    for name in sources.names():
        package = sources.get(name).package
        found = _called(f"model {text!r} (source {name!r} of package {package})", sources.load(name), text)
        if found is not None:
            return as_loaded(text, found, package)
    raise UnknownName("model", text, models.names(), hint=HINT)


def _called(what: str, plugin: Any, *arguments: Any) -> Any:
    """What a plugin returns; its failure names it, and what it prints is no result.

    Raises:
        PluginError: it raised something of its own.
    """
    try:
        with redirect_stdout(sys.stderr):
            return plugin(*arguments)
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{what} failed with {type(error).__name__}: {error}") from error


def as_loaded(name: str, found: Any, package: str) -> LoadedModel:
    """What a model plugin returned, as a model.

    Raises:
        PluginError: it is none.
    """
    from torch import nn

    if isinstance(found, LoadedModel):
        return found
    if isinstance(found, ModelCard):
        for source in Registry("sources").names():
            loaded = Registry("sources").load(source)(found)
            if isinstance(loaded, LoadedModel):
                return loaded
    if isinstance(found, nn.Module) and isinstance(getattr(found, "num_classes", None), int):
        return LoadedModel(name, found, found.num_classes)  # type: ignore[arg-type]  # tested to be an int
    raise PluginError(
        f"model {name!r} of package {package} gave {type(found).__name__}; expected a ModelCard, a LoadedModel, or a"
        " torch.nn.Module with an integer attribute num_classes"
    )


def find_data(text: str, root: Path | None = None, split: str = "test", seed: int = 0) -> Dataset:
    """A registered data set, ``NAME`` or ``NAME:ARGUMENT``, with any ``+KIND:SEVERITY`` behind it.

    Args:
        text: For instance ``signs``, ``folder:DIR``, ``images.npz`` or ``gtsrb+fog:3``.
        root: Folder with local copies; None takes the environment's ``HARNESS_DATA``, if set.
        split: ``train``, ``val`` or ``test``.
        seed: Seed of renderings, not of splits.

    Raises:
        UnknownName: nobody registers it, or a kind of corruption.
        UsageError: the root is not a folder, or a severity is none.
        BadData: its files cannot be used, or hold no sample.
        PluginError: the plugin returned something that is not a data set.
    """
    name, argument = data_name(text)
    package = _named(name).package
    plugin = Registry("datasets").load(name)
    if root is None and os.environ.get("HARNESS_DATA"):
        root = Path(os.environ["HARNESS_DATA"])
    if root is not None and not root.is_dir():
        raise UsageError(f"data root {str(root)!r} is not a folder; give one with --data-root or HARNESS_DATA")
    request = DataRequest(split, root, argument or None, seed)  # type: ignore[arg-type]  # the plugin checks the split
    data = _called(f"data set {name!r} of package {package}", plugin, request)
    if not isinstance(data, Dataset):
        raise PluginError(f"data set {name!r} of package {package} gave {type(data).__name__}, which is no Dataset")
    if not len(data):
        raise BadData(f"data set {data.name!r} has no samples")
    from harness.inputs.corruptions.data import under_corruptions

    return under_corruptions(data, text)


def _named(name: str) -> Entry:
    """The data set's entry; who forgot what kind of data a path is gets told.

    Raises:
        UnknownName, DuplicateName: see `Registry.get`.
    """
    registry = Registry("datasets")
    kind = "folder" if Path(name).is_dir() else "csv" if name.endswith(".csv") else None
    if kind is not None and name not in registry:
        raise UnknownName("dataset", name, registry.names(), hint=f"({kind}:{name} reads what lies there)")
    return registry.get(name)


def data_name(text: str) -> tuple[str, str]:
    """The plugin and its argument in what ``--data`` was given, whatever its images are corrupted by.

    A file of arrays needs no plugin's name before it.
    """
    text, _ = parted_corruptions(text)
    if ":" not in text and text.partition("?")[0].endswith(ARRAY_FILES) and text not in Registry("datasets"):
        return "arrays", text
    name, _, argument = text.partition(":")
    return name, argument


def parted(text: str) -> tuple[str | None, str]:
    """``NAME=WHERE`` as its two parts; the name is None where `text` is a place alone.

    An equals sign behind a question mark is an option's, and one in a path that exists is the path's: ``lr=1/m.py:f``.
    """
    name, _, where = text.partition("=")
    paths = [path for end in (text, text.rpartition(":")[0]) for path in (Path(end), *Path(end).parents)]
    if not name or not where or "?" in name or any("=" in str(path) and path.exists() for path in paths):
        return None, text
    return name, where
