"""A run with adapted attacks: those that are named, those of the model's card, or those that findings suggest."""

from __future__ import annotations

from harness.errors import UsageError
from harness.inputs.adaptations import CARD
from harness.inputs.suite import Suite
from harness.run.job import Run
from harness.run.job import evaluate as measure
from harness.run.options import Options
from harness.run.progress import Reporter
from harness.types import Dataset, LoadedModel


def evaluate(
    model: LoadedModel, suite: Suite, data: Dataset, options: Options | None = None, reporter: Reporter | None = None
) -> Run:
    """As `harness.run.job.evaluate`, with the attacks that ``options.adapt`` asks for behind the suite's.

    Raises:
        UsageError: the model's card names no adaptation, and it was asked for.
        HarnessError: as `harness.run.job.evaluate`.
    """
    options = options or Options()
    named = [text for text in options.adapt if text != CARD]
    if CARD in options.adapt:
        named += of_card(model)
    return measure(model, suite.with_adapted(named) if named else suite, data, options, reporter)


def of_card(model: LoadedModel) -> list[str]:
    """The adaptations of a model's card, as ``--adapt`` has them.

    Raises:
        UsageError: there are none.
    """
    tables = model.card.adaptation if model.card is not None else ()
    if not tables:
        raise UsageError(f"--adapt card: the card of model {model.name!r} has no [[adaptation]]; name one with --adapt")
    return [",".join(table["adapt"]) for table in tables]
