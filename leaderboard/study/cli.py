"""``harness reproduce``: the study's models under its stress tests, measured where they are not yet, and reported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import envelope, print_json
from harness.errors import UsageError


def reproduce(
    data: Annotated[str, typer.Option(help="Data set: gtsrb, signs, ...")] = "gtsrb",
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with local copies of data sets (or HARNESS_DATA).")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="Measure a fixed random n of the samples (default: all).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    results: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("results/reproduction"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.md and the figures (SVG and PNG).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Repeat the study's table and stress tests for its five models; started again, it goes on where it was."""
    from harness.inputs.find import check_names, find_data, find_model

    check_names(data=[data])
    from harness.inputs.suite import load_suite
    from harness.run.job import Options, evaluate
    from harness.run.progress import LiveReport, interrupts
    from leaderboard.figures.plots import draw
    from leaderboard.runs.collect import read_run
    from leaderboard.study import report as study

    samples = find_data(data, data_root)
    options = Options(results, n=n, device=device, witnesses="none")
    complete, records = True, []
    for suite in study.SUITES:
        for name in study.MODELS:
            with LiveReport() as report, interrupts(report):
                run = evaluate(find_model(name), load_suite(suite), samples, options, report)
            if report.interrupted:
                raise KeyboardInterrupt
            complete = complete and run.complete
            records.append(read_run(run.folder))
    paper, steps = (study.by_model(records, suite) for suite in study.SUITES)
    text = study.as_markdown(paper, steps)
    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
            (output / "report.md").write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{str(output)!r} cannot be written: {error.strerror or error}; give another -o") from None
        for name, panel in study.figures(paper, steps).items():
            for ending in ("svg", "png"):
                draw([panel], output / f"{name}.{ending}", caption="bands: 95 % Wilson intervals over images")
    if as_json:
        print_json(envelope("reproduce", study.as_data(paper, steps), ok=complete))
    else:
        typer.echo(text, nl=False)
    return 0 if complete else 3
