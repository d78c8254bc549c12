"""The Python API: `evaluate` measures what is at hand, and returns a `Result` that stands on the evidence on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.base.text import duration
from harness.evidence.given import Given
from harness.inputs.adaptations import check_adapt
from harness.inputs.find import check_name
from harness.inputs.ids import id_set, read_ids
from harness.inputs.objects import DataLike, ModelLike, as_data, as_model, name_classes
from harness.inputs.suite import Suite
from harness.inputs.suite_file import load_suite
from harness.run.adaptive import evaluate as run
from harness.run.options import Options
from harness.run.progress import Lines, LiveReport, interrupts
from harness.run.result import Result
from harness.types import Scale

__all__ = ["Result", "evaluate"]

INTERRUPTED = "interrupted; what was finished is on disk, the same call goes on from there"


def evaluate(
    model: ModelLike,
    suite: str | Path | Suite = "pgd",
    data: DataLike = "signs",
    *,
    n: int | None = None,
    ids: str | Path | Sequence[int] | None = None,
    eps: Sequence[str | float] | str | float | None = None,
    attack_n: Mapping[str, int | float | None] | None = None,
    adapt: Sequence[str] | str = (),
    name: str | None = None,
    data_name: str | None = None,
    data_root: str | Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    seed: int = 0,
    mode: str | None = None,
    draws: int | None = None,
    rule: str | None = None,
    results: str | Path = "results",
    witnesses: str | None = None,
    fresh: bool = False,
    force: bool = False,
    precision: str = "auto",
    compile: str = "auto",
    budget: float | str | None = None,
    transfer: str | Path | Sequence[str | Path] = (),
    unit_timeout: float | None = None,
    until: float | None = None,
    executor: str = "local",
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    ray_address: str | None = None,
    progress: bool = True,
) -> Result:
    """Attack `model` with `suite` on `data`; the same call again continues, or only reads what is on disk.

    Ctrl-C, or a notebook's stop button, finishes what is running, shows what is known so far and raises
    `KeyboardInterrupt`; a second one stops at once. Finished units are on disk in either case.

    Args:
        model: A `torch.nn.Module` that takes float32 [n,C,H,W] in [0,1] and returns logits [n,K], with its
            normalization inside, or anything ``harness eval --model`` takes. Its modes and gradients come back.
        suite: Name of a suite, a suite file, or a `Suite`.
        data: ``(images, labels)`` with images float32 [n,C,H,W] in [0,1] (or uint8, also [n,H,W,C]), a `DataLoader` or
            another iterable of such batches, a `harness.types.Dataset`, or anything ``harness eval --data`` takes, as
            text or as a path.
        n: Measure a fixed random n of the samples; None for all.
        ids: Measure these samples instead: their places in the data set, or a file of them (one a line, or ``.npy``).
        eps: Epsilons in input units instead of the suite's, for instance ``["2/255", 0.05]`` or ``"2/255,8/255"``.
        attack_n: By attack, the number of samples it runs on (whole), or their share (below 1), instead of the suite's;
            None for all.
        adapt: Adapted attacks beside the suite's, each as ``--adapt`` has it: ``"identity:quantize,margin"`` for the
            usual attack, ``"pgd-20=identity:quantize"`` for one of the suite's, ``"card"`` for those of the model's
            card, ``"auto"`` for what findings suggest.
        name: What results call the model; default: its own name, of a module its class.
        data_name: What results call the data.
        data_root: Folder with local copies of data sets that are given by name; None takes ``HARNESS_DATA``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        batch_size: Rows through the network at once; None finds it by measuring.
        seed: Seed of the attacks.
        mode: ``observed``, ``watch``, ``worst-case``, ``bisection`` or ``faithful``; None for the suite's.
        draws: A randomized model's answer is a vote of so many draws, see ``docs/randomized.md``; 0 asks once, None
            does as its card says.
        rule: ``majority`` of the draws, or by the ``mean`` logits of every 10; None as the card says, else majority.
        results: Folder for results; the run gets a folder of its own there.
        witnesses: ``all``, ``worst`` or ``none``; None keeps all of them up to 20,000.
        fresh: Start over instead of continuing an earlier run.
        force: Run a model that the doctor refuses; marks the row.
        precision: What attacks differentiate: ``auto`` the fastest float32 copy, ``exact`` the model itself, or a copy
            in ``float32``, ``tf32`` or ``bf16``. The float32 model confirms every witness.
        compile: ``on`` compiles the copy; ``off`` and ``auto`` do not.
        budget: Seconds from the call, or text such as ``"1h30m"``, after which it returns; the result says what is
            missing, the same call goes on.
        transfer: Runs, or folders of runs, of other models on the same samples, whose witnesses are offered to this
            model afterwards; what they break is a finding.
        unit_timeout: Give up an attack on a chunk of samples at an epsilon after this many seconds; None never.
        until: Points: attacks with an n go on, chunk by chunk, until the half-width of the worst case is at most this
            at every epsilon.
        executor: Who computes: ``local``, or ``ray`` for several GPUs or machines.
        workers: ray: how many; None for as many as fit.
        gpus_per_worker: ray: GPUs for each worker, or a share of one.
        ray_address: ray: a running cluster, for instance ``auto``.
        progress: Show progress, on standard error or in the notebook.

    Raises:
        UsageError: unusable arguments.
        BadData: images outside [0,1] or of another shape, or labels that are no class.
        BadSuite, BadEpsilon: the suite or its grid.
        ModelRefused: the model is mis-wired; says how.
        BadRun: the results folder cannot be written, another process writes this run, or what an earlier start left of
            it cannot be continued here; says why. A run of another model is set aside, which a line tells.
        KeyboardInterrupt: interrupted; what was finished is on disk.
    """
    begun = time.monotonic()
    chosen = suite if isinstance(suite, Suite) else load_suite(str(suite))
    if eps is not None:
        chosen = chosen.with_grid(_grid(eps))
    if attack_n:
        chosen = chosen.with_attack_n(attack_n)
    if mode is not None:
        chosen = chosen.with_mode(mode)
    seconds = duration("budget", budget) if isinstance(budget, str) else budget
    samples = as_data(data, data_name, None if data_root is None else Path(data_root))
    called = None if name is None else check_name(name)
    loaded = as_model(model, samples, called)
    name_classes(samples, loaded.num_classes)
    wanted = (adapt,) if isinstance(adapt, str) else tuple(adapt)
    check_adapt(wanted, chosen.attacks)
    others = [transfer] if isinstance(transfer, (str, Path)) else transfer
    scale = Scale(workers, gpus_per_worker, ray_address)
    options = Options(
        Path(results),
        n=n,
        seed=seed,
        device=device,
        batch_size=batch_size,
        witnesses=witnesses,
        fresh=fresh,
        force=force,
        executor=executor,
        scale=scale,
        precision=precision,
        compile=compile,
        budget=seconds,
        begun=begun,
        transfer=tuple(map(Path, others)),
        unit_timeout=unit_timeout,
        until=until,
        draws=draws,
        rule=rule,
        adapt=wanted,
        ids=read_ids(Path(ids)) if isinstance(ids, (str, Path)) else None if ids is None else id_set("given", ids),
        given=Given(
            model=str(model) if isinstance(model, str | Path) else None,
            name=called,
            suite=None if isinstance(suite, Suite) else str(suite),
            data=str(data) if isinstance(data, str | Path) else None,
            data_root=None if data_root is None else str(data_root),
            transfer=tuple(map(str, others)),
            adapt=wanted,
        ),
    )
    try:
        with LiveReport() if progress else Lines() as report, interrupts(report):
            result = Result(run(loaded, chosen, samples, options, report), loaded, samples)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(INTERRUPTED) from None
    if report.interrupted:
        report.say(str(result))
        raise KeyboardInterrupt(INTERRUPTED)
    return result


def _grid(eps: Sequence[str | float] | str | float) -> list[str | float]:
    """What ``--eps`` takes, a single epsilon, or several."""
    if isinstance(eps, str):
        return [part for part in eps.split(",") if part.strip()]
    return [eps] if isinstance(eps, float | int) else list(eps)
