"""How to run: every option of a measurement that is not model, suite or data, and which of them make sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from harness.base.machine import pick_device
from harness.base.modes import MODES
from harness.base.torch_state import PRECISIONS
from harness.errors import UsageError
from harness.evidence.given import Given
from harness.inputs.adaptations import is_auto
from harness.inputs.draws import Draws, chosen_draws
from harness.inputs.ids import IdSet
from harness.inputs.suite import Suite
from harness.types import ModelCard, Scale

WITNESSES = ("all", "worst", "none")


@dataclass(frozen=True)
class Options:
    """How to run; what to measure is the model, the suite and the data."""

    results: Path = Path("results")
    _: KW_ONLY
    n: int | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int | None = None
    """None finds it by measuring; the result is kept with the run."""
    witnesses: str | None = None
    """``all``, ``worst`` or ``none``; None is ``all`` up to 20,000 of them, then ``worst``."""
    fresh: bool = False
    force: bool = False
    """Run a model that the doctor refuses; the row says so."""
    executor: str = "local"
    """Who computes: a plugin of the group ``harness.executors``. The facts don't depend on it."""
    scale: Scale = field(default_factory=Scale)
    precision: str = "auto"
    """What attacks differentiate: ``auto`` the fastest float32 copy of the model, ``exact`` the model itself, or a copy
    in ``float32``, ``tf32`` or ``bf16``."""
    compile: str = "auto"
    """``on`` compiles the copy, ``off`` and ``auto`` do not."""
    budget: float | None = None
    """Seconds after which the run ends; what is missing is said, and the same call goes on."""
    begun: float | None = field(default=None, compare=False)
    """From when the budget counts, by `time.monotonic`; None for the call."""
    ids: IdSet | None = None
    """These samples of the data set, instead of the first `n` of its order."""
    transfer: Sequence[Path] = ()
    """Runs, or folders of runs, of other models on the same samples: their witnesses are offered to this model when it
    has been measured. No number depends on it; what they break is a finding."""
    until: float | None = None
    """Points: attacks that run on a part of the samples go on, chunk by chunk, until the worst case's half-width is
    at most this at every epsilon; part of the run's key. None: they run on as many as the suite says."""
    adapt: Sequence[str] = ()
    """Adapted attacks beside the suite's, as ``--adapt`` has them; see `harness.run.adaptive`."""
    unit_timeout: float | None = None
    """Seconds after which a unit (one attack on one chunk at one epsilon) is given up; None never."""
    draws: int | None = None
    """Draws that the answer of a randomized model is the vote of; 0 asks once, None does as the model's card says."""
    rule: str | None = None
    """``majority`` of the draws, or of the ``mean`` logits of every 10; None as the card says, else the majority."""
    given: Given | None = None
    """What to type for model, suite and data; no number depends on it."""


def check_draws(options: Options, card: ModelCard | None, suite: Suite) -> Draws | None:
    """How the model is asked, as the options or its card say; None for one forward.

    Suites of corruptions ask of each image once: nothing searches there that a lucky draw could help.

    Raises:
        UsageError: it cannot be asked so, or an option contradicts it.
    """
    if suite.threat == "corruption":
        if options.draws:
            raise UsageError("--draws is for suites that attack; one of corruptions asks of each image once")
        return None
    draws = chosen_draws(card, options.draws, options.rule, options.seed)
    if draws is not None and (options.precision in PRECISIONS or options.compile == "on"):
        raise UsageError(
            "a randomized model that is asked often is attacked itself, not a copy of it: leave out --precision and"
            " --compile"
        )
    return draws


def check(options: Options, suite: Suite) -> None:
    """Refuse what cannot be run, before anything is measured.

    Raises:
        UsageError: names the option, its value and what it may be.
    """
    if options.witnesses not in (None, *WITNESSES):
        raise UsageError(f"--witnesses {options.witnesses!r} is not one of {', '.join(WITNESSES)}")
    if suite.threat == "corruption" and options.witnesses not in (None, "none"):
        raise UsageError(
            f"--witnesses {options.witnesses}: corrupted images are made again from clean ones and their ids, none is"
            " stored; leave the option out"
        )
    if options.adapt and suite.threat == "corruption":
        raise UsageError(
            f"--adapt {options.adapt[0]}: nothing is differentiated in a suite of corruptions; leave it out"
        )
    no_ball = suite.threat if suite.threat != "ball" else suite.norm if suite.norm == "l0" else None
    if no_ball and (autos := [text for text in options.adapt if is_auto(text)]):
        raise UsageError(
            f"--adapt {autos[0]} steps through a ball of linf, l2 or l1; of a suite of {no_ball} adapt its own attacks,"
            " as ATTACK=NAME"
        )
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"--batch-size {options.batch_size} must be at least 1, or auto")
    if options.precision not in ("auto", "exact", *PRECISIONS):
        raise UsageError(f"--precision {options.precision!r} is not one of auto, exact, {', '.join(PRECISIONS)}")
    if options.budget is not None and not options.budget > 0:
        raise UsageError(f"the budget is {options.budget} seconds, expected more than 0")
    if options.compile not in ("auto", "on", "off"):
        raise UsageError(f"--compile {options.compile!r} is not one of auto, on, off")
    copied = options.precision in PRECISIONS or options.compile == "on"
    if copied and not MODES[suite.mode].copies:
        raise UsageError(f"in mode {suite.mode} the model itself is attacked; leave out --precision and --compile")
    if options.precision == "exact" and options.compile == "on":
        raise UsageError("--compile on makes a copy of the model, --precision exact forbids it; give one of them")
    if options.precision == "tf32" and pick_device(options.device).type != "cuda":
        raise UsageError("--precision tf32 needs a GPU: no other device has this arithmetic; use bf16 or float32")
    if options.until is not None:
        if not 0 < options.until < 50:
            raise UsageError(f"--until {options.until:g} is no half-width in points; write for instance 2")
        if all(spec.n is None for spec in suite.attacks):
            raise UsageError(
                f"--until {options.until:g} cannot be reached: every attack of suite {suite.name!r} runs on all"
                " samples; give a dear one an n, with --attack-n ID=N or in the suite file"
            )
    if options.unit_timeout is not None and not 0 < options.unit_timeout < 1e9:
        timeout = f"--unit-timeout {options.unit_timeout:g}"
        raise UsageError(f"{timeout} must be above 0 seconds and below 1e9; leave it out for no limit")
