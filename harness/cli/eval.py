"""``harness eval``: the main job."""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import structs

from harness.base.text import duration
from harness.cli import EXIT_USAGE
from harness.cli.output import print_json, waiting
from harness.errors import HarnessError, UsageError


def evaluate_models(
    context: typer.Context,
    model: Annotated[
        list[str], typer.Option(help="Zoo name, training folder, torchvision:NAME, file.py:function; repeatable.")
    ],
    suite: Annotated[str, typer.Option(help="Name of a suite, NAME@VERSION, or a suite file (*.toml).")],
    data: Annotated[str, typer.Option(help="Data set: signs, gtsrb, folder:DIR, gtsrb+fog:3, ...")] = "signs",
    name: Annotated[str | None, typer.Option(help="What results call the model (default: its own name).")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with local copies of data sets (or HARNESS_DATA).")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="Measure a fixed random n of the samples (default: all).")
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="Measure these samples instead: a file of ids, one a line, or .npy.")
    ] = None,
    attack_n: Annotated[
        list[str] | None,
        typer.Option(
            "--attack-n",
            help="ID=N: run an attack on the first N samples (or a share: 0.1; or all) instead; repeatable.",
        ),
    ] = None,
    adapt: Annotated[
        list[str] | None,
        typer.Option(
            help="Adapted attacks besides: [ATTACK=]NAME:ARGUMENT,...; card for those of the model's card; auto for"
            " what findings suggest; repeatable."
        ),
    ] = None,
    eps: Annotated[
        str | None, typer.Option(help="Epsilons (of corruptions severities) instead of the suite's: 1/255,2/255.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    batch_size: Annotated[str, typer.Option(help="Rows through the network at once: auto or a number.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the attacks.")] = 0,
    draws: Annotated[
        int | None,
        typer.Option(
            help="A randomized model's answer is a vote of so many draws (0: one forward, whatever the card)."
        ),
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="The vote is a majority of the draws, or by the mean logits of every 10.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder for results.")] = Path("results"),
    mode: Annotated[
        str | None, typer.Option(help="observed, watch, faithful, worst-case or bisection (default: the suite's).")
    ] = None,
    faithful: Annotated[bool, typer.Option("--faithful", help="Short for --mode faithful.")] = False,
    worst_case_only: Annotated[
        bool,
        typer.Option("--worst-case-only", help="Short for --mode worst-case: no attack on what another one broke."),
    ] = False,
    bisect: Annotated[
        bool,
        typer.Option("--bisect", help="Short for --mode bisection: who survives an epsilon is not attacked below it."),
    ] = False,
    witnesses: Annotated[str | None, typer.Option(help="Which to store: all, worst (one a sample) or none.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of continuing an earlier run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run a model that the doctor refuses; marks the row.")] = False,
    precision: Annotated[
        str,
        typer.Option(help="What is attacked: auto (fastest float32 copy), exact (the model itself), or a precision."),
    ] = "auto",
    compile_: Annotated[str, typer.Option("--compile", help="Compile the copy: on, off or auto (off).")] = "auto",
    budget: Annotated[
        str | None,
        typer.Option(
            help="End 90s, 10m or 1h30m after the command began, all models together, and say what is missing (exit 3)."
        ),
    ] = None,
    executor: Annotated[str, typer.Option(help="Who computes: local, or ray (several GPUs or machines).")] = "local",
    workers: Annotated[int | None, typer.Option(help="ray: workers (default: as many as fit).")] = None,
    gpus_per_worker: Annotated[float | None, typer.Option(help="ray: GPUs for each worker, or a share of one.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="ray: a running cluster, for instance auto.")] = None,
    unit_timeout: Annotated[
        float | None, typer.Option(help="Give up an attack on a chunk at an epsilon after this many seconds.")
    ] = None,
    until: Annotated[
        float | None,
        typer.Option(help="Points: attacks with an n go on until the worst case's half-width is at most this."),
    ] = None,
    transfer: Annotated[
        list[Path] | None,
        typer.Option(help="Afterwards, offer the model the witnesses of these runs of others; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> int:
    """Attack models with a suite and report robust accuracy at every epsilon."""
    begun: float = context.obj
    shorts = {"--faithful": "faithful"} if faithful else {}
    shorts |= {"--worst-case-only": "worst-case"} if worst_case_only else {}
    shorts |= {"--bisect": "bisection"} if bisect else {}
    for option, short in shorts.items():
        if mode not in (None, short):
            raise UsageError(f"{option} contradicts --mode {mode}; give one of them")
        mode = short
    if name is not None and len(model) > 1:
        raise UsageError(f"--name {name!r} can name one model, and {len(model)} are given; measure them one by one")
    from harness.inputs.suite_file import load_suite

    seconds = None if budget is None else duration("--budget", budget)
    chosen = load_suite(suite)  # before torch is imported: a typo is told at once
    if eps is not None:
        chosen = chosen.with_grid([part for part in eps.split(",") if part.strip()])
    if attack_n:
        from harness.inputs.prefixes import parse_attack_n

        chosen = chosen.with_attack_n(parse_attack_n(attack_n))
    if mode is not None:
        chosen = chosen.with_mode(mode)
    if adapt:
        from harness.inputs.adaptations import check_adapt

        check_adapt(adapt, chosen.attacks)
    rows = _batch_size(batch_size)
    chosen_ids = None
    if ids is not None:
        from harness.inputs.ids import read_ids

        chosen_ids = read_ids(ids)
    from harness.inputs.find import check_name, check_names, find_data, find_model

    called = None if name is None else check_name(name)
    if len(model) == 1:  # of several, one that is unknown is told among the others' results
        check_names(models=model)
    check_names(data=[data])
    with waiting("starting"):
        from harness.cli.report import print_result
        from harness.evidence.given import Given
        from harness.run.adaptive import evaluate
        from harness.run.job import Options
        from harness.run.progress import LiveReport, interrupts
        from harness.types import Scale

        samples = find_data(data, data_root)

    scale = Scale(workers, gpus_per_worker, ray_address)
    options = Options(
        results,
        n=n,
        seed=seed,
        device=device,
        batch_size=rows,
        witnesses=witnesses,
        fresh=fresh,
        force=force,
        executor=executor,
        scale=scale,
        precision=precision,
        compile=compile_,
        unit_timeout=unit_timeout,
        transfer=tuple(transfer or ()),
        until=until,
        ids=chosen_ids,
        draws=draws,
        rule=rule,
        adapt=tuple(adapt or ()),
        budget=seconds,
        begun=begun,
    )
    given = Given(
        name=called,
        suite=suite,
        data=data,
        data_root=None if data_root is None else str(data_root),
        transfer=tuple(str(place) for place in transfer or ()),
        adapt=tuple(adapt or ()),
    )
    ends = None if seconds is None else begun + seconds
    runs, failed = [], 0
    for place, where in enumerate(model):
        if place and ends is not None and time.monotonic() >= ends:
            rest = ", ".join(model[place:])
            typer.echo(f"harness: the budget ran out before {rest}; the same command goes on from here", err=True)
            break
        try:
            # What a model prints is no result.
            with redirect_stdout(sys.stderr), LiveReport(quiet=False) as report, interrupts(report):
                found = find_model(where)
                found = found if called is None else replace(found, name=called)
                here = replace(options, given=structs.replace(given, model=where))
                run = evaluate(found, chosen, samples, here, report)
        except HarnessError as error:
            if len(model) == 1:
                raise
            failed += 1  # one model's failure is not the others'
            typer.echo(f"harness: {error}", err=True)
            continue
        runs.append(run)
        if not as_json:
            print_result(run)
        if report.interrupted:
            raise KeyboardInterrupt
    if as_json:
        summaries: list[dict[str, Any]] = [run.summary for run in runs]
        print_json(summaries[0] if len(model) == 1 else summaries)
    if failed:
        return EXIT_USAGE
    return 0 if len(runs) == len(model) and all(run.complete for run in runs) else 3


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--batch-size {text!r} is neither auto nor a number") from None
