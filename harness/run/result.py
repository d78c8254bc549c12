"""What `harness.evaluate` returns: numbers folded from the facts on disk, as data frames, pictures and proof."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.installing import extra
from harness.base.text import percent
from harness.base.threat import parse_levels
from harness.errors import MissingPackage, UsageError
from harness.evidence.corrupted import MEAN
from harness.evidence.facts import CLEAN
from harness.evidence.summary import about_estimates, data_words, mode_words, worst_words
from harness.run.job import Run
from harness.run.notebook import as_html
from harness.types import Dataset, LoadedModel

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.axes import Axes

    from harness.trust.verify.verdict import Verdict

WORST = "worst case"
"""What the metrics call the worst case over all attacks of the suite."""


@dataclass(frozen=True, repr=False)
class Result:
    """One model under one suite on one data slice. All accuracies are shares from 0 to 1."""

    run: Run
    model: LoadedModel
    data: Dataset

    @property
    def folder(self) -> Path:
        """Where the evidence lies; what `harness leaderboard`, `verify` and `gate` take."""
        return self.run.folder

    @property
    def summary(self) -> dict[str, Any]:
        """What ``harness eval --json`` prints, see ``docs/contracts.md``."""
        return self.run.summary

    @property
    def complete(self) -> bool:
        """Whether every cell has a number."""
        return self.run.complete

    @property
    def clean_accuracy(self) -> float | None:
        """Share of the samples that are classified correctly unperturbed; None where none was looked at yet."""
        share: float | None = self.summary["clean"]["accuracy"]
        return share

    def robust_accuracy(self, epsilon: str | float, attack: str | None = None) -> float | None:
        """Share of all samples that are right and of which no witness inside the ball is known; or right corrupted.

        Args:
            epsilon: One of the grid, for instance ``"8/255"``, or of corruptions a severity.
            attack: Id of an attack in the suite; None for the worst case over all of them, of corruptions the mean.

        Returns:
            None where the cell is not complete, or not begun. The worst case is an estimate where an attack ran on a
            part of the samples: `metrics` and `summary` say so.

        Raises:
            UsageError: no such attack or epsilon in this run.
        """
        (wanted,) = parse_levels([epsilon], self.summary["norm"], self.run.info.suite.threat)
        rows = self._together() if attack is None else self.summary["cells"]
        names = [entry.id for entry in self.run.info.suite.attacks]
        if attack is not None and attack not in names:
            raise UsageError(f"attack {attack!r} is not in this run; it has {', '.join(names)}")
        for row in rows:
            if math.isclose(row["epsilon"], wanted.value) and attack in (None, row.get("attack")):
                value: float | None = row["robust_accuracy"]
                return value
        if any(math.isclose(known, wanted.value) for known in self.run.info.suite.epsilons):
            return None
        raise UsageError(f"epsilon {wanted.label} is not in this run; its grid is {', '.join(self.summary['grid'])}")

    @property
    def table(self) -> pa.Table:
        """The facts, one row for each sample, attack and epsilon; columns as in ``docs/contracts.md``."""
        return self.run.facts

    @property
    def facts(self) -> pd.DataFrame:
        """`table` as a data frame.

        Raises:
            MissingPackage: pandas is not installed.
        """
        _pandas()
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    @property
    def metrics(self) -> pd.DataFrame:
        """One row for the clean accuracy, each attack and the worst case at each epsilon, with 95 % intervals.

        Columns: attack, epsilon, epsilon_label, accuracy, low, high, status, broken, forwards, backwards.

        Raises:
            MissingPackage: pandas is not installed.
        """
        columns = ("attack", "epsilon", "epsilon_label", "accuracy", "low", "high", "status")
        frame: pd.DataFrame = _pandas().DataFrame(
            self._records(), columns=[*columns, "broken", "forwards", "backwards"]
        )
        return frame.astype(dict.fromkeys(("broken", "forwards", "backwards"), "Int64"))

    def plot(self, axes: Axes | None = None) -> Axes:
        """Robust accuracy over epsilon, one line an attack with its 95 % interval, on `axes` or new ones.

        Raises:
            MissingPackage: matplotlib is not installed.
        """
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError:
            raise MissingPackage(f"plots need matplotlib; run: {extra('figures')}") from None
        axes = axes if axes is not None else pyplot.subplots()[1]
        curves = self._curves()
        for name, shown in curves.items():
            x, y, low, high = zip(*((r["epsilon"], r["accuracy"], r["low"], r["high"]) for r in shown), strict=True)
            (line,) = axes.plot(x, y, marker="o", label=name)
            axes.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        grid = {cell["epsilon"]: cell["epsilon_label"] for cell in self.summary["cells"]}
        axes.set_xticks([0, *grid], ["0", *grid.values()])
        axes.set(xlabel=self._axis, ylabel="accuracy" if self._corrupts else "robust accuracy", ylim=(0, 1))
        axes.set_title(f"{self.summary['model']} on {self.summary['data']}, n={self.summary['n']}")
        if curves:
            axes.legend()
        return axes

    def verify(self, replay: int = 0, seed: int | None = None, device: str = "auto") -> Verdict:
        """Prove the claimed breaks again from the witnesses on disk, without any attack tool.

        Args:
            replay: Survivors to attack again.
            seed: Of their draw; None draws one that nobody could foresee.
            device: Where.

        Raises:
            BadRun, UsageError, MissingPackage: as `harness.trust.verify.verify.verify`.
        """
        import secrets

        from harness.trust.verify.verify import VerifyOptions, verify

        options = VerifyOptions(replay, secrets.randbits(31) if seed is None else seed, device)
        return verify(self.folder, self.model, self.data, options)

    def __repr__(self) -> str:
        summary = self.summary
        words = [f"model={summary['model']!r}", f"suite={summary['suite']!r}", f"data={summary['data']!r}"]
        words += [f"n={summary['n']}", f"clean={percent(summary['clean']['accuracy'])} %"]
        last = next(reversed(self._together()), None)
        if last is not None:
            share = last["robust_accuracy"]
            worst = "unknown" if share is None else f"{percent(share)} %"
            worst += " est." if last.get("status") == "estimated" else ""
            ruler = "severity" if self._corrupts else self.run.info.suite.ruler
            words.append(f"{self._union} at {ruler} {last['epsilon_label']}={worst}")
        return f"Result({', '.join(words)})"

    def __str__(self) -> str:
        return "\n".join([self._title(), *("  ".join(words) for words in self._rows()), *self._notes()])

    def _repr_html_(self) -> str:
        """What a notebook shows: the table, a curve, and what was noticed."""
        return as_html(self._title(), self._rows(), self._curves(), self._notes())

    @property
    def _corrupts(self) -> bool:
        return self.run.info.suite.threat == "corruption"

    @property
    def _union(self) -> str:
        """What all attacks say together is called."""
        return MEAN if self._corrupts else WORST

    @property
    def _axis(self) -> str:
        suite = self.run.info.suite
        if suite.threat == "patch":
            return "covered share of the image"
        return "severity" if self._corrupts else f"{suite.ruler} epsilon"

    def _together(self) -> list[dict[str, Any]]:
        """The worst case up the grid, or under corruptions the mean, in the same form."""
        if not self._corrupts:
            return list(self.summary["worst_case"])
        levels = {int(level.value): level for level in self.run.info.suite.grid}
        return [
            {
                "epsilon": levels[row["severity"]].value,
                "epsilon_label": levels[row["severity"]].label,
                "robust_accuracy": row["accuracy"],
                "ci95": row["ci95"],
            }
            for row in self.summary["means"]
        ]

    def _title(self) -> str:
        summary = self.summary
        words = f"{summary['model']} under {summary['suite']} on {data_words(summary)}"
        threat = "corruptions" if self._corrupts else f"{self.run.info.suite.ruler}, {mode_words(summary)}"
        return f"{words}, {threat}: grade {summary['grade'] or '–'}"

    def _notes(self) -> list[str]:
        notes = [f"{entry['level']}: {entry['check']}: {entry['message']}" for entry in self.summary["findings"]]
        if self.run.info.status != "complete":
            notes.append(f"{self.run.info.status}: the same call goes on from what is on disk")
        words = about_estimates(self.summary)
        return [*([words] if words else ()), *notes, f"evidence in {self.folder}"]

    def _curves(self) -> dict[str, list[dict[str, Any]]]:
        """The measured points of each line of the picture, by its name; each begins at the clean accuracy."""
        clean, *records = self._records()
        if clean["accuracy"] is None:
            return {}
        names = list(dict.fromkeys(record["attack"] for record in records))
        if len(names) == 2:  # the worst case of a single attack is that attack, or nearly so: one line is enough
            names.remove(self._union)
        measured = [record for record in records if record["accuracy"] is not None]
        return {name: [clean, *(point for point in measured if point["attack"] == name)] for name in names}

    def _records(self) -> list[dict[str, Any]]:
        """The rows of `metrics`."""
        clean = {"attack": CLEAN, "epsilon": 0.0, "epsilon_label": "0", "status": "ok"}
        rows = [clean | _share(self.summary["clean"], "accuracy")]
        for cell in self.summary["cells"]:
            kept = ("attack", "epsilon", "epsilon_label", "status", "broken", "forwards", "backwards")
            rows.append({name: cell[name] for name in kept} | _share(cell, "robust_accuracy"))
        for row in self._together():
            status = row.get("status") or ("ok" if row["robust_accuracy"] is not None else "missing")
            named = {"attack": self._union, "epsilon": row["epsilon"], "epsilon_label": row["epsilon_label"]}
            rows.append(named | {"status": status} | _share(row, "robust_accuracy"))
        return rows

    def _rows(self) -> list[list[str]]:
        """Header and one row an attack, accuracies in percent."""
        summary, grid = self.summary, self.summary["grid"]
        cells = {(cell["attack"], cell["epsilon_label"]): cell for cell in summary["cells"]}
        shown = [["accuracy, %", "clean", *grid]]
        clean = percent(summary["clean"]["accuracy"], summary["clean"]["ci95"])
        for name in (entry.id for entry in self.run.info.suite.attacks):
            found = [cells.get((name, label), {"status": "missing"}) for label in grid]
            shown.append([name, clean, *(_text(cell) for cell in found)])
        if len(shown) > 2:
            worst = {row["epsilon_label"]: row for row in self._together()}
            shown.append([self._union, clean, *(worst_words(worst.get(label, {})) for label in grid)])
        return shown


def _text(cell: dict[str, Any]) -> str:
    return percent(cell["robust_accuracy"], cell["ci95"]) if cell["status"] == "ok" else str(cell["status"])


def _share(row: dict[str, Any], name: str) -> dict[str, Any]:
    low, high = row["ci95"] or (None, None)
    return {"accuracy": row[name], "low": low, "high": high}


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError:
        raise MissingPackage(
            f"data frames need pandas; run: {extra('notebook')}, or use Result.table (pyarrow)"
        ) from None
    return pandas
