"""``harness reproduce``: the study's models under its stress tests, measured where they are not yet, and reported.

The models are the zoo's checkpoints, or, with ``--recipe study``, trained first by the recipes ``study-*``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import envelope, print_json
from harness.errors import UnknownName, UsageError


def reproduce(
    data: Annotated[
        str | None, typer.Option(help="Data set: gtsrb, signs, ... (default: gtsrb; with --recipe: study).")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with local copies of data sets (or HARNESS_DATA).")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="Measure a fixed random n of the samples (default: all).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    results: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("results/reproduction"),
    recipe: Annotated[
        str | None, typer.Option(help="study: train the five models by the recipes study-* first, and measure those.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder of these trainings (default: models in the folder for the runs).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of these trainings.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.md and the figures (SVG and PNG).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Repeat the study's table and stress tests for its five models; started again, it goes on where it was."""
    from harness.inputs.find import check_names, find_data, find_model
    from leaderboard.study import trainings

    if recipe not in (None, trainings.RECIPE):
        raise UnknownName("recipe of a study", str(recipe), [trainings.RECIPE])
    if recipe is None and (models is not None or seed):
        raise UsageError("--models and --seed are of trainings; give --recipe study with them")
    data = data or ("gtsrb" if recipe is None else "study")
    check_names(data=[data])
    from harness.inputs.suite_file import load_suite
    from harness.run.job import Options, evaluate
    from harness.run.progress import LiveReport, interrupts
    from leaderboard.figures.plots import draw
    from leaderboard.runs.collect import read_run
    from leaderboard.study import report as study

    samples = find_data(data, data_root)
    names = {name: name for name in study.MODELS}
    if recipe is not None:
        top = models or results / "models"
        names = {name: str(trainings.folder_of(name, top, seed)) for name in study.MODELS}
        for name, folder in names.items():
            trainings.train(name, Path(folder), seed, data_root, device)
    options = Options(results, n=n, device=device)
    complete, records = True, []
    for suite in study.SUITES:
        for named in names.values():
            with LiveReport() as report, interrupts(report):
                run = evaluate(find_model(named), load_suite(suite), samples, options, report)
            if report.interrupted:
                raise KeyboardInterrupt
            complete = complete and run.complete
            records.append(read_run(run.folder))
    called = {Path(named).name: name for name, named in names.items()}
    paper, steps = (study.by_model(records, suite, called) for suite in study.SUITES)
    text = study.as_markdown(paper, steps)
    trained = []
    if recipe is not None:
        trained = [trainings.read(name, Path(folder)) for name, folder in names.items()]
        text += "\n" + trainings.as_markdown(trained)
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
        found = study.as_data(paper, steps) | {"trainings": [training.as_data() for training in trained]}
        print_json(envelope("reproduce", found, ok=complete))
    else:
        typer.echo(text, nl=False)
    return 0 if complete else 3
