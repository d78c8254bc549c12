"""A result on a notebook's page, and a run there: lines of progress, and the stop button."""

import json
import signal
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

import pytest
from toys import SmallNet, labeled

import harness
from harness.base.text import percent
from harness.inputs.suite_file import load_suite
from harness.run import notebook
from harness.run.progress import Lines, LiveReport
from harness.types import AttackSpec

MODEL = SmallNet()
TOY = labeled(MODEL, 40, wrong=3)
PAIR = (TOY.images, TOY.labels)
APGD = {"steps": 5, "eot": 1, "restarts": 1}
SUITE = replace(
    load_suite("fgsm").with_grid(["1/255", "8/255"]),
    attacks=(AttackSpec("ce<1>", "autoattack", "apgd-ce", APGD), AttackSpec("dlr", "autoattack", "apgd-dlr", APGD)),
    chunk=20,
    name="two",
)
UNITS = 2 + 2 * 2 * 2


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    options = {"results": tmp_path_factory.mktemp("results"), "progress": False}
    return harness.evaluate(MODEL, SUITE, PAIR, name='net "<b>" & co', **options)


def page(result):
    """The fragment as a tree, which it is only if all names are escaped."""
    return ElementTree.fromstring(result._repr_html_())


def words(row):
    return ["".join(cell.itertext()).removeprefix("● ") for cell in row]


def test_the_table_has_every_cell_and_the_worst_case(result):
    head, *body = [words(row) for row in page(result).iter("tr")]
    assert head == ["accuracy, %", "clean", "1/255", "8/255"]
    cells = {(cell["attack"], cell["epsilon_label"]): cell for cell in result.summary["cells"]}
    clean = percent(37 / 40, result.summary["clean"]["ci95"])
    for name, row in zip(["ce<1>", "dlr"], body[:2], strict=True):
        shown = [cells[name, label] for label in head[2:]]
        assert row == [name, clean, *(percent(c["robust_accuracy"], c["ci95"]) for c in shown)]
    worst = [percent(row["robust_accuracy"], row["ci95"]) for row in result.summary["worst_case"]]
    assert body[2] == ["worst case", clean, *worst]
    assert len(body) == 3


def test_strangers_names_are_text(result):
    text = "".join(page(result).itertext())
    assert 'net "<b>" & co under two@1 on tensors, n=40, linf, mode observed' in text
    assert str(result.folder) in text


def test_the_curve_has_the_numbers(result):
    (picture,) = page(result).iter("svg")
    lines = [line.get("points").split() for line in picture.iter("polyline")]
    height = notebook.HEIGHT - notebook.TOP - notebook.BOTTOM
    for name, points in zip(["ce<1>", "dlr", None], lines, strict=True):
        shares = [result.clean_accuracy, *(result.robust_accuracy(label, name) for label in ("1/255", "8/255"))]
        drawn = [1 - (float(point.split(",")[1]) - notebook.TOP) / height for point in points]
        assert drawn == pytest.approx(shares, abs=0.06 / height)  # a tenth of a pixel is what is written
        across = [float(point.split(",")[0]) for point in points]
        assert (across[2] - across[0]) == pytest.approx(8 * (across[1] - across[0]), abs=0.5)
    told = [title.text for title in picture.iter("title")]
    last = next(cell for cell in result.summary["cells"] if cell["attack"] == "ce<1>" and cell["epsilon"] > 0.01)
    assert f"ce<1> at 8/255: {percent(last['robust_accuracy'], last['ci95'])} %" in told
    assert picture.get("aria-label").endswith("ce<1>, dlr, worst case")


def test_labels_of_a_dense_grid_do_not_overlap():
    line = [
        {"epsilon": k / 255, "epsilon_label": f"{k}/255", "accuracy": 1.0, "low": 1.0, "high": 1.0} for k in range(17)
    ]
    tree = ElementTree.fromstring(notebook.picture({"pgd": line}, {"pgd": "red"}))
    places = [float(text.get("x")) for text in tree.iter("text") if text.get("text-anchor") == "middle"]
    assert 5 <= len(places) < 17
    assert min(b - a for a, b in pairwise(places)) >= notebook.ROOM


def pressing(monkeypatch, kind, units, times):
    """Ctrl-C, or a notebook's stop button, when so many units are on disk."""
    finished, seen = kind.finished, []

    def press(self, done):
        finished(self, done)
        seen.append(done)
        if len(seen) == units:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(kind, "finished", press)


@pytest.mark.parametrize("progress", [True, False])
@pytest.mark.parametrize("times", [1, 2])
def test_the_stop_button_keeps_what_is_finished(progress, times, tmp_path, monkeypatch, capsys):
    options = {"results": tmp_path, "name": "net", "progress": progress}
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        pressing(patch, LiveReport if progress else Lines, 3, times)
        with pytest.raises(KeyboardInterrupt, match="what was finished is on disk, the same call goes on from there"):
            harness.evaluate(MODEL, SUITE, PAIR, **options)
    assert signal.getsignal(signal.SIGINT) is before
    told = capsys.readouterr().err
    assert "finishing what is running, then stopping" in told
    (folder,) = (path for path in tmp_path.iterdir() if (path / "run.json").exists())
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    facts = {path: path.stat().st_mtime_ns for path in (folder / "facts").iterdir()}
    assert len(facts) == 3
    if times == 1:  # a second one leaves no time for a table
        assert "net under two@1 on tensors" in told
        assert "missing" in told
        assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    again = harness.evaluate(MODEL, SUITE, PAIR, **options)
    assert again.complete
    assert f"read from disk: 3 of {UNITS} units" in capsys.readouterr().err
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in facts.items())


def test_a_part_says_that_it_is_one(tmp_path, monkeypatch):
    part = harness.evaluate(MODEL, SUITE, PAIR, results=tmp_path, budget=1e-9, progress=False)
    assert not part.complete
    rows = [words(row) for row in page(part).iter("tr")]
    assert [row[0] for row in rows] == ["accuracy, %", "ce<1>", "dlr", "worst case"]
    assert "missing" in rows[2]
    assert len({len(row) for row in rows}) == 1
    assert "interrupted: the same call goes on from what is on disk" in "".join(page(part).itertext())


class Page:
    """A console that believes to be on a notebook's page."""

    is_terminal, is_jupyter = False, True

    def __init__(self, real):
        self.real, self.lines = real, []

    def print(self, line, **_):
        self.lines.append(line)

    def __getattr__(self, name):
        return getattr(self.real, name)


def test_a_notebook_without_widgets_shows_lines(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("harness.run.progress.find_spec", lambda name: None)

    class Report(LiveReport):
        def __init__(self):
            super().__init__()
            self.console = Page(self.console)
            shown.append(self.console.lines)

    monkeypatch.setattr("harness.run.api.LiveReport", Report)
    harness.evaluate(MODEL, SUITE, PAIR, results=tmp_path, name="net")
    first, *_, last = shown[0]
    assert first.startswith("net under two@1 (observed) on tensors, n=40")
    assert last.startswith(f"{UNITS} of {UNITS} units after ")


def test_a_part_without_any_number_shows_itself(tmp_path, monkeypatch):
    """Stopped before the first unit: every way of showing it works, and no number is made up."""
    done = harness.evaluate(MODEL, SUITE, PAIR, results=tmp_path, progress=False)
    summary = done.summary
    summary["clean"] = {"accuracy": None, "ci95": None, "n": 0}
    summary["cells"], summary["worst_case"] = [], []
    assert done.clean_accuracy is None
    assert not list(page(done).iter("svg"))
    assert "–" in str(done)
    assert "100.0" not in str(done)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    axes = done.plot()
    assert axes.get_lines()[:] == []
    pyplot.close(axes.figure)
