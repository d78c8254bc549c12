"""The contracts between the parts, as types; no torch at import, no behavior.

Images are float32 in [0,1], NCHW; labels int64; epsilon a float in the same unit as the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

Norm = Literal["linf", "l2", "l1", "l0"]
Threat = Literal["ball", "corruption", "patch"]
Place = Literal["drawn", "center", "boxes"]
Mode = Literal["observed", "watch", "faithful", "worst-case", "bisection"]
Kind = Literal["budget", "minimum", "decision", "targeted"]
Rule = Literal["majority", "mean"]
Level = Literal["info", "warn", "refuse", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing the harness noticed; `check` is its short code, for instance ``P1`` or ``weights``."""

    check: str
    level: Level
    message: str
    figure: float | None = None
    """What was measured, where the check measures something."""
    threshold: float | None = None
    """Where the check begins to object."""

    def as_dict(self) -> dict[str, Any]:
        """The finding as the JSON contract spells it; figure and threshold are left out where there are none."""
        numbers = {"figure": self.figure, "threshold": self.threshold}
        words = {"check": self.check, "level": self.level, "message": self.message}
        return words | {name: value for name, value in numbers.items() if value is not None}


@runtime_checkable
class Dataset(Protocol):
    """A labeled image set that hands out any rows, so that large sets need not fit into memory."""

    @property
    def name(self) -> str:
        """The name claims and results use, with the split where there is more than one: ``gtsrb-test``."""

    @property
    def classes(self) -> Sequence[str]:
        """Class names, indexed by label."""

    def __len__(self) -> int: ...

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,C,H,W] in [0,1] and labels int64 [n], on the CPU, in the order asked."""


@runtime_checkable
class Boxed(Protocol):
    """A data set that says where in each image its object lies; what a patch of ``place = "boxes"`` is laid by."""

    def boxes(self, indices: Sequence[int]) -> Any:
        """Numbers [n,4]: left, top, right and bottom edge in pixels of what `Dataset.take` gives; None for no boxes.

        The box of a whole image is 0, 0, W, H.
        """


@dataclass(frozen=True)
class DataRequest:
    """What a data-set plugin is called with: ``plugin(request) -> Dataset``."""

    split: Literal["train", "val", "test"] = "test"
    """Which part is asked for; a measurement asks for ``test``."""
    root: Path | None = None
    """Folder with local copies (``--data-root`` or ``HARNESS_DATA``)."""
    argument: str | None = None
    """What stands behind the colon, for instance the folder in ``folder:DIR``."""
    seed: int = 0
    """Seed of what is rendered or drawn for training; a split into training and validation must not depend on it."""


@dataclass(frozen=True)
class Claim:
    """A clean accuracy that a card claims on one data set."""

    accuracy: float
    """Share of images that are right, from 0 to 1."""
    n: int
    """Images it was counted on."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of one checkpoint; `model_zoo.loading.card_file` reads and writes it as TOML."""

    name: str
    """What results call the model."""
    defense: str
    """The recipe it was trained by; may be empty."""
    architecture: str
    """A classifier of torchvision, for instance ``resnet18``, or the network's class."""
    num_classes: int
    """How many logits."""
    input_shape: tuple[int, int, int]
    """C, H, W."""
    mean: tuple[float, ...] = ()
    """Of each channel, subtracted *inside* the model; empty where nothing is."""
    std: tuple[float, ...] = ()
    """Of each channel, divided by inside the model after that."""
    trained_for: Mapping[str, Any] = field(default_factory=dict)
    """Threat model of the training: ``{"norm": "linf", "epsilon": "8/255"}``; empty if undefended."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained: command, epochs, options, as the training wrote them."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained on, with hashes; ``classes`` are the classes' names, which must not contradict the data's."""
    claims: Mapping[str, Claim] = field(default_factory=dict)
    """Clean accuracies by name of the data set; the doctor holds the model to them."""
    weights: Mapping[str, Any] = field(default_factory=dict)
    """``file`` (beside the card, or in the zoo's weights folder), ``sha256``, ``bytes``, ``dtype``, maybe ``url``."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Seed, hardware, duration, versions, license, source."""
    randomness: Mapping[str, Any] = field(default_factory=dict)
    """Of a model that draws: ``{"draws": 100, "rule": "majority"}``, how its answer is taken; empty for others."""
    notes: str = ""
    """Sentences for a reader of the leaderboard."""
    adaptation: Sequence[Mapping[str, Any]] = ()
    """How the model should be attacked: tables of ``adapt``, a list such as ``["identity:quantize", "margin"]``, and
    maybe ``why``; ``--adapt card`` takes them."""
    path: Path | None = None
    """Where the card was read from."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be measured: takes images in [0,1], returns logits."""

    name: str
    """What results call it."""
    module: nn.Module
    """Takes float32 [n,C,H,W] in [0,1], returns logits [n,K]; its normalization is inside."""
    num_classes: int
    """K, the number of logits."""
    input_shape: tuple[int, int, int] | None = None
    """C, H, W; images of another shape are refused. None where the data decide."""
    weights_sha256: str | None = None
    """Hash of the weights file and of what else decides the answers; None is counted from the tensors."""
    card: ModelCard | None = None
    """What is known of it; None for a bare module."""
    guessed: bool = False
    """Whether `num_classes` is a guess, which an image of the data replaces (`harness.inputs.outputs.fitted`)."""


@dataclass(frozen=True)
class Scale:
    """How much of a machine or cluster to use; None leaves it to the executor."""

    workers: int | None = None
    gpus_per_worker: float | None = None
    address: str | None = None
    """Of a running cluster."""


@dataclass(frozen=True)
class AttackSpec:
    """One ``[[attack]]`` of a suite, as written there."""

    id: str
    """Name in the suite and in results."""
    tool: str
    """The part of the attack's name before the dot."""
    method: str
    """The part behind it."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters as the suite has them; ``"epsilon/4"`` is still text."""
    n: int | float | None = None
    """Runs on the first so many samples of the slice's order, or on all if it has fewer (a whole number), or on such a
    share; None on all."""
    chunk: int | None = None
    """Samples in a unit; None for the suite's chunk."""
    after: str | None = None
    """``all``: attacks only what no earlier attack of the suite broke."""
    adapt: tuple[str, ...] = ()
    """Adaptations, ``NAME:ARGUMENT``, of the copy of the model that the attack differentiates; in their order."""


@dataclass(frozen=True)
class Problem:
    """What one call of an attack tool has to solve."""

    images: Tensor
    """Clean images, float32 [n,C,H,W] in [0,1], each classified correctly by the model."""
    labels: Tensor
    """True labels, int64 [n]."""
    norm: Norm
    """Of the ball: ``linf``, ``l2``, ``l1``, or ``l0``: the number of pixels that change, all channels of a place."""
    epsilon: float
    """Radius of the ball, of threat ``patch`` the share of the image that the mask covers at most; for attacks of kind
    ``minimum`` and ``decision`` the largest of the grid."""
    seed: int
    """Seed for tools that want one; the global generators of torch, numpy and python are already seeded with it."""
    num_classes: int
    """K of the model's logits [n,K]."""
    batch_size: int
    """Rows that fit through the model at once, for tools that cut batches themselves."""
    component: str | None = None
    """Which component of a cascade to run; None for a plain attack."""
    restart: int = 0
    """Which restart this is, from 0; `seed` differs with it."""
    targets: Tensor | None = None
    """Target classes, int64 [n], of a targeted attack."""
    mask: Tensor | None = None
    """Of threat ``patch``, pixels that may change, to anything in [0,1]: bool [n,1,H,W]. All others must stay as they
    are, bit for bit."""
    pool: Sequence[Tensor] = ()
    """Of an attack with the adaptation ``pool``, for each image what broke other models inside the same ball: float32
    [k,C,H,W], k from 0."""


@dataclass(frozen=True)
class AdaptationRequest:
    """What an adaptation plugin is called with: ``plugin(request) -> Adaptation``."""

    argument: str = ""
    """What stands behind the colon, for instance the module in ``identity:quantize``."""
    find: Callable[[str], LoadedModel] | None = None
    """Loads another model by what ``--model`` takes; None where other models may not be loaded."""
    run: Callable[[str], Path] | None = None
    """Finds the folder of another run by its name; None where other runs may not be read."""


@runtime_checkable
class Adaptation(Protocol):
    """A change of what an attack differentiates; the reference model's forward pass alone decides what is broken.

    A factory is registered in the group ``harness.adaptations`` and called with an `AdaptationRequest`; it raises
    `harness.errors.BadSuite` for an argument that it cannot use. `harness.adaptation` has what authors need.
    """

    alters: bool
    """Whether the copy predicts something else than the model: then the reference model is asked about every query of
    the attack, and not only about those that the copy gets wrong."""

    @property
    def weights(self) -> str | None:
        """Hash of another model, or of witnesses, that propose: a part of the run's key. None if there is neither."""

    def apply(self, network: nn.Module) -> nn.Module:
        """What is to be differentiated: float32 [n,C,H,W] in [0,1] to logits [n,K].

        Args:
            network: A copy of the model, on its device and in its modes; may be changed in place, and may be what
                adaptations before this one made of it.
        """


@runtime_checkable
class Attack(Protocol):
    """One method of one tool with all its parameters, as an adapter's factory returns it.

    A factory is registered in the group ``harness.attacks`` as ``<tool>.<method>`` and called with an `AttackSpec` and
    a `Norm`; it raises `harness.errors.BadSuite` for unknown, missing or ill-typed parameters. It must not import its
    tool before `perturb` or `tool_version` is called. Subclass `harness.attack.BaseAttack` for the defaults.
    """

    kind: Kind
    iterative: bool
    """Whether a witness at a smaller epsilon is inherited; single-step attacks run afresh at every epsilon."""
    freezable: bool
    """Whether a test has shown that freezing broken rows never loses a witness."""
    restarts: int
    """How often the harness calls `perturb`, each time with another seed; the union counts, per sample."""
    components: tuple[str | None, ...]
    """Parts of a cascade, run in order on what is left; ``(None,)`` for a plain attack."""
    one_by_one: bool
    """Whether samples are attacked one at a time, because the tool's queries cannot be told apart otherwise."""
    individual: bool
    """Whether each component runs on all samples, rather than on what the ones before left."""
    target: str | None
    """Rule for the target classes of a targeted attack, see `harness.base.targets`."""
    caveats: tuple[str, ...]
    """What a reader of the row must know about this method of this tool."""

    def freezes(self, component: str | None) -> bool:
        """`freezable`, for one component of a cascade."""

    def tool_version(self) -> str:
        """Version of the installed tool. Raises `harness.errors.MissingPackage` if it is not there."""

    def parameters(self, epsilon: float) -> dict[str, Any]:
        """Every parameter, resolved at `epsilon`, in canonical names."""

    def perturb(self, model: nn.Module, problem: Problem) -> Tensor | None:
        """Run the tool once on a fresh tool object and return its images [n,C,H,W], or None if it has none.

        `model` takes [n,C,H,W] in [0,1] and returns logits; it may raise a BaseException of its own to stop the attack
        (all rows are broken), which must not be swallowed.
        """
