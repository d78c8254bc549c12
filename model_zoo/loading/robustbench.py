"""``robustbench:cifar10/Linf/NAME``: RobustBench's models, from its package and from files that it has downloaded.

Architecture, preprocessing and the loading of its checkpoints are the package's; nothing is downloaded here. What its
leaderboard publishes comes from the table that the package carries in its description.
"""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.errors import BadWeights, MissingPackage, UnknownName, UsageError
from harness.types import Claim, LoadedModel, ModelCard
from model_zoo.loading.file_kind import kind_of
from model_zoo.loading.options import known_only, split
from model_zoo.loading.weights_file import sha256_of, tensors_alone

PREFIX = "robustbench:"
FOLDER = Path("models")
"""Where the package's ``load_model`` puts its files unless it is told otherwise."""
_CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
_SIDES = {"cifar10": 32, "cifar100": 32, "imagenet": 224}
_IMAGES = {"cifar10": 10_000, "cifar100": 10_000, "imagenet": 5_000}
"""Test images that the published accuracies were counted on."""
_BALLS = {("imagenet", "Linf"): ("linf", "4/255"), ("*", "Linf"): ("linf", "8/255"), ("*", "L2"): ("l2", "0.5")}
_ROW = re.compile(r"\*\*(?P<name>[^*]+)\*\*</sup>.*?<sub>\s*(?P<clean>[\d.]+)%.*?<sub>\s*(?P<robust>[\d.]+)%")
_ARCHITECTURE = re.compile(r"<sub>([^<>|*%]+)</sub>")


def robustbench_model(text: str) -> LoadedModel | None:
    """``robustbench:cifar10/Linf/Wong2020Fast`` (or ``corruptions``), with ``?models=DIR`` for another folder of files.

    Published clean and robust accuracy are claims of the card.

    Raises:
        UsageError: not of this form.
        MissingPackage: RobustBench is not installed, or not whole.
        UnknownName: it has no such data set, threat model or model.
        BadWeights: a file is missing (says where it is expected) or cannot be loaded.
    """
    if not text.startswith(PREFIX):
        return None
    address, given = split(text)
    known_only(given, ("models",), text)
    parts = address.removeprefix(PREFIX).split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"model {text!r} is not of the form {PREFIX}cifar10/Linf/NAME")
    data, threat, name = parts
    package = _package(text)
    known = _known(package, data, threat)
    if name not in known:
        raise UnknownName(f"RobustBench model for {data}/{threat}", name, known)
    folder = Path(given["models"]) if "models" in given else FOLDER
    files = _files(folder / data / threat, name, known[name])
    for file in files:
        if not file.is_file():
            raise BadWeights(
                f"weights of {text} are missing: expected at {file.resolve()}; robustbench.utils.load_model({name!r},"
                f" dataset={data!r}, threat_model={threat!r}) downloads them into ./models, ?models=DIR names another"
            )
        kind_of(file)
    try:
        with tensors_alone():
            module = package.utils.load_model(name, model_dir=str(folder), dataset=data, threat_model=threat)
    except Exception as error:  # the package's own errors, of files that are not what it expects
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise BadWeights(f"{text} cannot be loaded from {folder / data / threat}: {what}") from None
    module.eval()
    shape = (3, _SIDES[data], _SIDES[data])
    sha256 = hashlib.sha256(f"{address} {[sha256_of(file) for file in files]}".encode()).hexdigest()
    card = _card(data, threat, name, type(module).__name__)
    return LoadedModel(name, module, _CLASSES[data], shape, sha256, card)


def _package(text: str) -> Any:
    try:
        import robustbench  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import robustbench.model_zoo  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import robustbench.utils  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except Exception as error:  # torchattacks installs an old copy under this name, which may lack what it imports
        raise MissingPackage(
            f"{text} needs RobustBench ({type(error).__name__}: {error}); install it last, for torchattacks brings an"
            " old copy under the same name: pip install robustbench, then pip install --force-reinstall --no-deps"
            " robustbench"
        ) from None
    return robustbench


def _known(package: Any, data: str, threat: str) -> dict[str, Any]:
    """The package's table of models for a data set and a threat model."""
    sets = {key.value: models for key, models in package.model_zoo.model_dicts.items()}
    if data not in sets or data not in _CLASSES:
        raise UnknownName("RobustBench data set", data, [key for key in sets if key in _CLASSES])
    threats = {key.value: dict(models) for key, models in sets[data].items()}
    if threat not in threats:
        raise UnknownName(f"RobustBench threat model for {data}", threat, threats)
    return threats[threat]


def _files(folder: Path, name: str, entry: Any) -> list[Path]:
    """The files that `load_model` reads: one, or one for each network of an ensemble."""
    source = entry.get("gdrive_id") if isinstance(entry, dict) else None
    if isinstance(source, list):
        return [folder / f"{name}.pt_m{place}.pt" for place in range(len(source))]
    return [folder / f"{name}.pt"]


def _card(data: str, threat: str, name: str, architecture: str) -> ModelCard:
    norm, epsilon = _BALLS.get((data, threat)) or _BALLS.get(("*", threat)) or ("", "")
    published = _published(data, threat, name)
    claims, notes = {}, "The installed package has no published accuracies of this model."
    if published is not None:
        clean, robust, architecture = published
        attacked = f"{norm} {epsilon}, AutoAttack" if norm else threat
        claims = {
            f"{data}-test": Claim(clean, _IMAGES[data]),
            f"{data}-test ({attacked})": Claim(robust, _IMAGES[data]),
        }
        notes = f"RobustBench publishes {100 * clean:.2f} % clean and {100 * robust:.2f} % robust ({attacked})."
    return ModelCard(
        name, name, architecture, _CLASSES[data], (3, _SIDES[data], _SIDES[data]),
        trained_for={"norm": norm, "epsilon": epsilon} if norm else {},
        claims=claims, provenance={"source": f"RobustBench, {data}/{threat}"}, notes=notes,
    )  # fmt: skip


def _published(data: str, threat: str, name: str) -> tuple[float, float, str] | None:
    """Clean accuracy, robust accuracy and architecture in the table of the package's description; None if not there."""
    try:
        text = metadata.metadata("robustbench").json["description"]
    except (metadata.PackageNotFoundError, KeyError):
        return None
    at: list[str] = ["", ""]
    table: dict[str, tuple[float, float, str]] = {}
    for line in str(text).splitlines():
        if line.startswith("### "):
            at = [re.sub(r"[^a-z0-9]", "", line.lower()), ""]
        elif line.startswith("#### "):
            at[1] = line.lower()
        elif at[0] == data and threat.lower().partition("_")[0] in at[1] and (row := _ROW.search(line)):
            there = _ARCHITECTURE.search(line[row.end() :])
            table[row["name"]] = (
                round(float(row["clean"]) / 100, 6),
                round(float(row["robust"]) / 100, 6),
                there.group(1).strip() if there else name,
            )
    return table.get(name)
