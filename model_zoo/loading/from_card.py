"""From a card to a model that can be measured; nothing is loaded that the card's hash does not vouch for."""

from __future__ import annotations

from pathlib import Path

from harness.base.installing import extra
from harness.errors import BadCard, BadWeights
from harness.inputs.registry import weights_folders
from harness.types import LoadedModel, ModelCard
from model_zoo.loading import architectures
from model_zoo.loading.card_file import read_card
from model_zoo.loading.fetch import fetch
from model_zoo.loading.weights_file import load_strictly, read_weights, sha256_of
from model_zoo.speedups.tiny_maps import write_out_convolutions

ZOO = Path(__file__).parent.parent
MODEL_CARDS = ZOO / "cards" / "models"
WEIGHTS = ZOO / "weights"


def load_card(card: ModelCard) -> LoadedModel:
    """The model `card` describes, in eval mode on the CPU, taking images in [0,1].

    Raises:
        BadCard: the card names no sha256 for its weights, or an unknown architecture (`UnknownName`).
        BadWeights: missing, corrupt, of another hash, architecture or class count, or the URL gives something else.
    """
    path, sha256 = verified_weights(card)
    tensors = read_weights(path)
    model = architectures.build(
        card.architecture,
        card.num_classes,
        card.input_shape,
        card.mean,
        card.std,
        auxiliary=architectures.has_auxiliary(tensors),
    )
    load_strictly(architectures.unwrap(model), tensors, f"weights {path} of {card.name}")
    write_out_convolutions(model)  # the same function up to rounding; on the CPU, evaluations take less time
    return LoadedModel(card.name, model.eval(), card.num_classes, card.input_shape, sha256, card)


def load_zoo(name: str) -> LoadedModel:
    """The zoo's checkpoint `name`; raises as `read_card` and `load_card`."""
    return load_card(read_card(MODEL_CARDS / f"{name}.toml"))


def verified_weights(card: ModelCard) -> tuple[Path, str]:
    """The file of the card's weights, fetched if need be, and its hash, which is the card's; raises as `load_card`."""
    where = f"card {card.path or card.name}"
    if not card.weights:
        recipe = f"`harness train --defense {card.defense} ...`"
        raise BadWeights(f"{where} has no weights: only its recipe is known; train it with {recipe}")
    sha256, file, url = (card.weights.get(key) for key in ("sha256", "file", "url"))
    if not isinstance(sha256, str) or not sha256:
        raise BadCard(f"{where}: weights.sha256 is {sha256!r}; weights are loaded only if their hash is known")
    if file is not None and (not isinstance(file, str) or Path(file).name != file):
        raise BadCard(f"{where}: weights.file is {file!r}; expected the name of a file beside the card")
    folders = [card.path.parent] if card.path else []
    for folder in [*folders, WEIGHTS, *weights_folders()]:
        if file and (folder / file).is_file():
            return _checked(folder / file, sha256, card.name), sha256
    if isinstance(url, str):
        return fetch(url, sha256, card.name), sha256
    if file is None:
        raise BadCard(f"{where}: weights name neither file nor url")
    if card.path and card.path.parent == MODEL_CARDS:
        raise BadWeights(f"weights {file} of {card.name} are not installed; run: {extra('zoo')}")
    places = " nor in ".join(str(folder) for folder in [*folders, WEIGHTS])
    raise BadWeights(f"weights {file} of {card.name} are missing: not in {places}")


def _checked(path: Path, sha256: str, name: str) -> Path:
    found = sha256_of(path)
    if found != sha256.lower():
        raise BadWeights(
            f"weights {path} are not those of {name}: sha256 is {found[:16]}..., the card says {sha256[:16]}...;"
            " the file is corrupt or of another model"
        )
    return path
