"""What a leaderboard says, as plain data: tables of rows of scores. Renderers read this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.types import Threat
from leaderboard.details import Detail
from leaderboard.estimates import ESTIMATED, Estimate

CLEAN, WORST = "clean", "worst"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number with its interval, or the reason why there is none."""

    attack: str
    """The attack's id, or ``clean`` or ``worst``."""
    epsilon: float
    epsilon_label: str
    n: int
    status: str
    """``ok`` and ``estimated`` have a number; ``partial``, ``missing`` and ``refused`` have none."""
    correct: int | None = None
    """Samples classified correctly and not broken; None if not all were attacked."""
    ci95: tuple[float, float] | None = None
    """Covers the sampling of images: Wilson's, or the estimate's."""
    forwards: int = 0
    backwards: int = 0
    estimate: Estimate | None = None
    """What a score of status ``estimated`` was made of."""
    kinds: int = 1
    """Of a mean over kinds of corruption how many they are: `correct` counts a sample once for each."""
    kept: tuple[int, int] | None = None
    """Under corruptions, of the images that are right clean: how many are right here, and how many they are."""

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return self.status in ("ok", ESTIMATED)

    @property
    def kept_share(self) -> float | None:
        """Of the images that are right clean, the share that is right here; None where that was not asked."""
        return self.kept[0] / self.kept[1] if self.kept is not None and self.kept[1] else None

    @property
    def accuracy(self) -> float | None:
        """Share of all samples; None unless the score is complete."""
        if self.estimate is not None:
            return self.estimate.accuracy
        return self.correct / (self.n * self.kinds) if self.status == "ok" and self.correct is not None else None


@dataclass(frozen=True)
class Note:
    """A finding of a run."""

    check: str
    level: str
    message: str

    @property
    def grave(self) -> bool:
        """Whether the figures are not what they look like: an error, or a refusal that ``--force`` overruled."""
        return self.level in ("error", "refuse")


UNVERIFIED = "not verified"
CLAIMED = "claimed"
"""Of a published file that no `board.toml` beside it lists: whoever made it says so, and nobody here looked."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model in one table."""

    label: str
    """The model's name, with seed or weights where the name alone is not unique in the table."""
    model: str
    weights: str
    """``sha256`` of the weights, or of the state."""
    seed: int
    defense: str | None
    architecture: str | None
    trained_for: str | None
    """Threat model of the training, for instance ``linf 3/255``."""
    rank: tuple[int, int] | None
    """Best and worst rank it may have; None if it is not ranked."""
    clean: Score
    cells: tuple[Score, ...]
    """Attacks in the suite's order, each up the epsilon grid."""
    worst: tuple[Score, ...]
    """The union of all attacks, up the epsilon grid; of corruptions the mean over kinds."""
    seconds: float | None
    """All units' computing, also of those taken over from another run; None where units' costs are not known."""
    device: str
    versions: Mapping[str, str]
    tools: Mapping[str, str | None]
    """Attack id to the version of its tool; None if it was not installed."""
    findings: tuple[Note, ...]
    """Of the run and of the diagnosis of its facts."""
    grade: str | None
    """A to D, see `harness.trust.diagnosis.grade`; None while cells are missing."""
    verified: str
    """What the ledger of whoever made the table says: ``no``, ``breaks verified``, ``replayed K``, `UNVERIFIED` or
    `CLAIMED`; of a listed published file the board's word."""
    status: str
    """Of the run: ``complete``, ``interrupted``, ..."""
    run: str
    """Name of the run's folder."""
    finished: str
    detail: Detail

    relative: float | None = None
    """Under corruptions: the error in units of a baseline's, see `leaderboard.tables.corrupted`."""
    tried: tuple[str, ...] | None = None
    """Adapted attacks that were tried on this model; None where nothing is differentiated."""
    adapted: tuple[Score, ...] = ()
    """Their cells, in the run's order, each up the epsilon grid; the reader may have left some out."""
    unshown: tuple[Score, ...] = ()
    """Cells of attacks that the reader left out, and of the runs of a joined row; their cost counts all the same."""

    def score(self, attack: str, epsilon_label: str) -> Score | None:
        """The cell of an attack, or of the worst case; None where it was not asked for."""
        scores = (*self.cells, *self.adapted, *self.worst)
        return next((s for s in scores if (s.attack, s.epsilon_label) == (attack, epsilon_label)), None)

    @property
    def complete(self) -> bool:
        """Whether every cell has a number."""
        scores = (self.clean, *self.cells, *self.adapted, *self.unshown)
        return self.status == "complete" and all(score.known for score in scores)

    @property
    def forwards(self) -> int:
        """Forward passes of single samples, all attacks together."""
        return sum(score.forwards for score in (*self.cells, *self.adapted, *self.unshown))

    @property
    def backwards(self) -> int:
        """Backward passes of single samples, all attacks together."""
        return sum(score.backwards for score in (*self.cells, *self.adapted, *self.unshown))


@dataclass(frozen=True, kw_only=True)
class Column:
    """One attack of the suite."""

    attack: str
    tool: str
    caveats: tuple[str, ...]
    method: str
    iterative: bool
    params: Mapping[str, Any]
    """As the suite spells them."""
    n: int | None = None
    """Ran on the first n samples only; None where it ran on all. Where rows differ, the least."""
    most: int | None = None
    """Where rows differ in that, as runs with a stopping rule do, the most; None where they do not."""
    adapt: tuple[str, ...] = ()
    """Of an adapted attack, what of the attacked copy is changed."""


@dataclass(frozen=True)
class Ranking:
    """The cell that rows are ranked on, and over how many of them."""

    epsilon_label: str
    rows: int
    alpha: float

    @property
    def pairs(self) -> int:
        """Comparisons that Holm's correction covers."""
        return self.rows * (self.rows - 1) // 2


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two rows in one cell, sample by sample: accuracy of a minus accuracy of b."""

    attack: str
    epsilon_label: str
    difference: float
    ci95: tuple[float, float]
    """Paired bootstrap; covers the sampling of images."""
    only_a: int | None
    only_b: int | None
    """None where not all samples were attacked."""
    p_holm: float
    """Exact McNemar, of estimates the test of their difference, corrected over all cells of the pair."""
    significant: bool
    needed: int | None
    """Samples needed to separate the two with a power of 80 %."""


@dataclass(frozen=True)
class Pair:
    """Two rows of a table, by place; `twins` if a is b's recipe after contrastive pre-training."""

    a: int
    b: int
    twins: bool
    cells: tuple[Difference, ...]


@dataclass(frozen=True)
class Other:
    """A run that is not shown because a better one of the same model is."""

    label: str
    run: str
    finished: str
    status: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """One of the two measurements that a table of joined runs stands on."""

    suite: str
    """As shown, with the version."""
    definition: str
    slice: str
    n: int
    attacks: tuple[Column, ...]


@dataclass(frozen=True)
class Sources:
    """A cheap measurement on many samples and a dear one on the first of them."""

    cheap: Source
    dear: Source


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that may be compared: one threat model, data slice, suite definition, epsilon grid and mode."""

    norm: str
    """Of the ball, or what else threatens: ``patch``."""
    data: str
    slice: str
    n: int
    suite: str
    """``name@version``."""
    definition: str
    """Hash of the suite's attacks with all parameters; an edited suite file has another one."""
    mode: str
    grid: tuple[str, ...]
    attacks: tuple[Column, ...]
    worst_is_attack: bool
    """Whether a single attack that inherits witnesses makes worst case and attack the same by construction."""
    ranking: Ranking | None
    rows: tuple[Row, ...]
    others: tuple[Other, ...]
    pairs: tuple[Pair, ...]
    """Every pair of rows; twins the pre-trained row first, else the better row first."""
    classes: tuple[str, ...]
    """Names of the classes, by label; empty if no run kept them."""
    adapted: tuple[Column, ...] = ()
    """Adapted attacks that any row tried, which are each row's own: behind `attacks`, and part of the worst case."""
    threat: Threat = "ball"
    baseline: str | None = None
    """The model whose errors are the unit of `Row.relative`."""
    outside: bool = False
    """Whether there is a board among the runs, and it lists none of this suite on this slice."""
    autoattack: bool = False
    """Whether the worst case is AutoAttack's verdict, as `harness.evidence.autoattack` has it."""
    joined: Sources | None = None
    """Of a table of joined runs; n, slice and attacks of the table are those of the cheap one."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All attacks, those of the suite and the adapted ones."""
        return (*self.attacks, *self.adapted)

    @property
    def prominence(self) -> tuple[bool, int, bool, int, int]:
        """What a visitor sees first: attacks, the most models, then linf, the most tools, the most images."""
        attacks = [*self.attacks, *(self.joined.dear.attacks if self.joined else ())]
        return (
            self.threat == "ball",
            len(self.rows),
            self.norm == "linf",
            len({column.tool for column in attacks}),
            self.n,
        )
