"""A run of a suite of corruptions: every image judged, nothing inherited, made again by verify; tables and gate."""

import csv
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import nn
from toys import StopAfter, Toy, loaded

from harness.errors import BadEpsilon, BadSuite, UnknownName, UsageError
from harness.evidence import facts
from harness.evidence.corrupted import mean_interval
from harness.evidence.store import RunStore
from harness.inputs.corruptions.kinds import load_kind
from harness.inputs.find import find_data
from harness.inputs.samples import make_slice
from harness.inputs.suite_file import load_suite, read_suite
from harness.run.job import Options, evaluate
from harness.run.result import Result
from harness.trust.verify.verify import VerifyOptions, verify
from leaderboard.compare.gate import judge
from leaderboard.compare.requirements import parse
from leaderboard.figures.contact_sheet import GAP, HEAD, NAMES, draw_sheet
from leaderboard.figures.curves import security_panels
from leaderboard.render import csv as as_csv
from leaderboard.render import latex, markdown
from leaderboard.render.html import page as html
from leaderboard.runs.collect import collect, read_run
from leaderboard.runs.published import dump, read_published
from leaderboard.tables.tables import make_tables

TEXT = """\
name = "light"
version = 1
threat = "corruption"
severities = [1, 3, 5]
kinds = ["darkness", "brightness"]
chunk = 16
"""
CPU = VerifyOptions(device="cpu")


class Bright(nn.Module):
    """Class 1 where the mean is above one half; the weight is there to have one."""

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold))

    def forward(self, images):
        return 20 * torch.stack([self.threshold.expand(len(images)), images.flatten(1).mean(1)], 1)


def suite_of(tmp_path, text=TEXT):
    path = tmp_path / "light.toml"
    path.write_text(text)
    return read_suite(path)


def grays(n=40):
    """Gray images and labels, of which four are not what the clean image looks like."""
    values = np.linspace(20, 235, n).round().astype(np.uint8)
    labels = (values > 127).astype(np.int64)
    labels[[0, 1, n - 1, n - 2]] = 1 - labels[[0, 1, n - 1, n - 2]]
    images = torch.from_numpy(values).float()[:, None, None, None].expand(-1, 3, 8, 8).contiguous() / 255
    return values, Toy(images, torch.from_numpy(labels), ("dark", "bright"), "grays")


def expected(values, labels, kind, severity):
    """Which images are read right, by hand."""
    strength = load_kind(kind).strength(severity, 8)
    x = values.astype(np.float32)
    x = x * np.float32(1 - strength) if kind == "darkness" else np.minimum(x + np.float32(255 * strength), 255)
    return (np.floor(x + 0.5) / 255 > 0.5) == (labels == 1)


@pytest.fixture
def run(tmp_path):
    _, data = grays()
    return evaluate(loaded(Bright().eval(), 2), suite_of(tmp_path), data, Options(tmp_path, device="cpu", force=True))


def test_every_image_counts_also_those_that_are_wrong_clean(run):
    values, data = grays()
    labels = data.labels.numpy()
    clean = (values > 127) == (labels == 1)
    for cell in run.summary["cells"]:
        right = expected(values, labels, cell["attack"], int(cell["epsilon_label"]))
        assert cell["robust_accuracy"] == right.mean()
        assert cell["kept"] == (right & clean).sum() / clean.sum()
        assert cell["clean_correct"] == clean.sum() == 36
        assert (cell["broken"], cell["backwards"], cell["forwards"]) == ((~right).sum(), 0, 40)
    assert (right & ~clean).any()  # an image that is wrong clean is right where the corruption makes it so
    assert set(run.facts["outcome"].to_pylist()) == {"survived", "witness", "clean_wrong"}
    assert not any(run.facts.filter(pa.compute.equal(run.facts["outcome"], "inherited")))


def test_means_are_over_kinds(run):
    values, data = grays()
    labels = data.labels.numpy()
    for row in run.summary["means"]:
        shares = np.mean([expected(values, labels, kind, row["severity"]) for kind in ("darkness", "brightness")], 0)
        assert row["accuracy"] == pytest.approx(shares.mean(), abs=1e-12)
        assert row["families"] == {"weather": row["accuracy"]}
        assert row["ci95"][0] < row["accuracy"] < row["ci95"][1]
    assert run.summary["mean"] == pytest.approx(np.mean([row["accuracy"] for row in run.summary["means"]]))
    assert run.summary["threat"] == "corruption"
    assert run.summary["worst_case"] == []
    assert run.summary["grade"] == "A"


def test_the_interval_of_a_mean_is_wilson_s_where_every_share_is_0_or_1():
    from harness.base.statistics import wilson

    shares = np.repeat([1.0, 0.0], [1400, 600])
    assert mean_interval(shares) == pytest.approx(wilson(1400, 2000), abs=1e-5)
    assert mean_interval(np.ones(50)) == pytest.approx(wilson(50, 50))


def test_a_run_goes_on_to_the_same_facts(tmp_path, run):
    model, (_, data) = loaded(Bright().eval(), 2), grays()
    options = Options(tmp_path / "again", device="cpu", force=True)
    half = evaluate(model, suite_of(tmp_path), data, options, StopAfter(7))
    assert half.summary["mean"] is None
    assert half.summary["means"][-1] == {"severity": 5, "accuracy": None, "ci95": None, "kept": None, "families": {}}
    whole = evaluate(model, suite_of(tmp_path), data, options)
    key = [("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
    assert whole.facts.sort_by(key).equals(run.facts.sort_by(key))
    assert whole.info.key == run.info.key


def test_page_paper_and_sheet_show_corruptions(run, tmp_path):
    """The page has a table of its own for them, the paper means, the sheet a row for each kind."""
    table = make_tables([read_run(run.folder)])[0]
    page = html.render([table])
    assert 'data-norm="corruption"' in page
    assert "mean over kinds" in page
    assert "worst case" not in page.partition("<script")[0].partition("</style>")[2]
    assert "mean over kinds" in latex.render([table])
    assert [panel.xlabel for panel in security_panels(table)] == ["severity"] * 3
    _, data = grays()
    draw_sheet(data, 3, ["darkness", "fog"], [1, 5], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (NAMES + 3 * (96 + GAP), HEAD + 2 * (96 + GAP))
        clean = np.asarray(sheet)[HEAD + 4, NAMES + 4]
        assert clean.tolist() == [grays()[0][3]] * 3


def test_verify_makes_the_images_again(run):
    model, (_, data) = loaded(Bright().eval(), 2), grays()
    verdict = verify(run.folder, model, data, replace(CPU, replay=50))
    assert [finding.message for finding in verdict.problems] == []
    assert verdict.value == "replayed 50"
    broken = sum(cell["broken"] for cell in run.summary["cells"])
    assert verdict.witnesses == broken > 0
    assert all(bound.claimed == pytest.approx(bound.at_most) for bound in verdict.bounds)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("distance", 0.5, "the recorded distance is not that of the image"), ("adv_pred", 1, None), ("outcome", 0, None)],
)
def test_verify_refutes_facts_that_the_images_do_not_show(run, column, value, said):
    """A changed distance, a changed prediction, and a break of an image that is read right."""
    store = RunStore(run.folder)
    path = sorted((run.folder / "facts").glob("darkness*"))[-1]
    found = facts.read(path)
    rows = found.to_pylist()
    if column == "outcome":
        row = next(row for row in rows if row["outcome"] == "survived")
        row |= {
            "outcome": "witness",
            "distance": 0.1,
            "margin": 0.1,
            "adv_pred": 1 - row["label"],
            "source": "returned",
        }
    else:
        row = next(row for row in rows if row["outcome"] == "witness" and row["adv_pred"] == 0)
        row[column] = value
    facts.write(path, pa.Table.from_pylist(rows, schema=found.schema))
    assert store.all_facts().num_rows
    model, (_, data) = loaded(Bright().eval(), 2), grays()
    verdict = verify(run.folder, model, data, CPU)
    assert verdict.value == "no"
    assert any(said in finding.message for finding in verdict.problems) if said else verdict.problems


def test_tables_gate_and_published_file_say_the_same(run, tmp_path):
    record = read_run(run.folder)
    mean = run.summary["means"][1]["accuracy"]
    shown = record.scores["worst", "3"]
    assert shown.accuracy == pytest.approx(mean)
    assert shown.ci95 == pytest.approx(run.summary["means"][1]["ci95"])
    path = tmp_path / "x.run.json"
    path.write_text(dump(record))
    again = read_published(path)
    assert again.scores == record.scores
    table = make_tables([record], baseline="toy-model")[0]
    assert table.rows[0].relative == 1.0
    text = markdown.render([table])
    assert f"{100 * mean:.1f} [" in text
    assert "| darkness | brightness |" in text
    lines = list(csv.DictReader(io.StringIO(as_csv.render([table]))))
    dark = next(line for line in lines if (line["attack"], line["epsilon_label"]) == ("darkness", "5"))
    cell = next(c for c in run.summary["cells"] if (c["attack"], c["epsilon_label"]) == ("darkness", "5"))
    assert float(dark["accuracy"]) == cell["robust_accuracy"]
    assert int(dark["kept"]) / int(dark["kept_of"]) == pytest.approx(cell["kept"])
    assert {line["threat"] for line in lines} == {"corruption"}
    records = collect([run.folder])
    asked = [f"mean@3>={mean - 0.01}", f"mean@3>={mean + 0.01}", f"darkness@5>={cell['robust_accuracy']}"]
    assert [ruling.passed for ruling in judge(records, [parse(text) for text in asked])] == [True, False, True]
    (told,) = judge(records, [parse("worst@3>=0.1")])
    assert not told.passed
    assert "worst" in told.message


def test_two_models_are_compared_image_by_image(tmp_path):
    _, data = grays()
    for threshold in (0.5, 0.2):
        model = replace(loaded(Bright(threshold).eval(), 2), name=f"from-{threshold}")
        evaluate(model, suite_of(tmp_path), data, Options(tmp_path / "two", device="cpu", force=True))
    (table,) = make_tables(collect([tmp_path / "two"]))
    assert table.rows[0].label == max(table.rows, key=lambda row: row.worst[-1].accuracy or 0).label
    (pair,) = table.pairs
    last = next(cell for cell in pair.cells if (cell.attack, cell.epsilon_label) == ("worst", "5"))
    scores = [table.rows[place].worst[-1].accuracy for place in (pair.a, pair.b)]
    assert last.difference == pytest.approx(scores[0] - scores[1])
    assert last.ci95[0] < last.difference < last.ci95[1]


def test_what_a_suite_of_corruptions_cannot_say(tmp_path):
    for old, new, message in (
        ("[1, 3, 5]", "[1, 6]", "line 4: severities are 1, 2, 3, 4, 5; not 6"),
        ("[1, 3, 5]", "[1, 1]", "line 4: a severity stands twice"),
        ('"brightness"]', '"brigthness"]', "line 5: unknown kind 'brigthness'; known: brightness, contrast"),
        ("chunk = 16", 'norm = "linf"', "line 6: norm says nothing of corruptions"),
        ('threat = "corruption"', 'threat = "patch"', "key 'norm' is missing"),
        ("severities = [1, 3, 5]\n", "", "key 'severities' is missing"),
    ):
        with pytest.raises(BadSuite, match=message.replace("[", "\\[")):
            suite_of(tmp_path, TEXT.replace(old, new))
    with pytest.raises(UsageError, match="suite 'light' sets mode 'faithful' itself"):
        suite_of(tmp_path).with_mode("observed")
    assert [level.label for level in suite_of(tmp_path).with_grid(["2"]).grid] == ["2"]
    _, data = grays()
    with pytest.raises(UsageError, match="corrupted images are made again"):
        evaluate(loaded(Bright().eval(), 2), suite_of(tmp_path), data, Options(tmp_path, witnesses="all"))


def test_the_built_in_suite_has_every_kind_of_this_package():
    suite = load_suite("corruptions")
    assert len(suite.attacks) == 18
    assert [attack.tool_version() for attack in suite.resolve()] == ["1"] * 18


def test_data_sets_compose():
    plain, fog = find_data("signs"), find_data("signs+fog:3")
    assert fog.name == "signs+fog:3"
    assert len(fog) == len(plain)
    images, labels = fog.take([5, 2])
    assert torch.equal(labels, plain.take([5, 2])[1])
    assert torch.equal(fog.take([2])[0], images[1:])
    assert not torch.equal(images, plain.take([5, 2])[0])
    assert find_data("signs+fog:3+jpeg:2").name == "signs+fog:3+jpeg:2"
    with pytest.raises(UnknownName, match="foog"):
        find_data("signs+foog:3")
    with pytest.raises(UsageError, match="severity 9 is none of"):
        find_data("signs+fog:9")


def test_a_slice_that_a_library_makes_is_named_by_its_source(monkeypatch):
    """Another rounding of JPEG is the same slice; another severity is not."""
    one = make_slice(find_data("signs+jpeg:2"), 4, 4).digest()
    assert one != make_slice(find_data("signs+jpeg:3"), 4, 4).digest()
    assert one != make_slice(find_data("signs"), 4, 4).digest()
    whole = find_data("signs+jpeg:2")
    rounded = type(whole).take
    monkeypatch.setattr(type(whole), "take", lambda self, ids: (rounded(self, ids)[0] * 0.99, rounded(self, ids)[1]))
    assert make_slice(whole, 4, 4).digest() == one


def test_a_result_in_python_knows_its_mean(run):
    _, data = grays()
    result = Result(run, loaded(Bright().eval(), 2), data)
    means = {str(row["severity"]): row["accuracy"] for row in run.summary["means"]}
    assert result.robust_accuracy("3") == result.robust_accuracy(3) == means["3"]
    cell = next(c for c in run.summary["cells"] if (c["attack"], c["epsilon_label"]) == ("darkness", "5"))
    assert result.robust_accuracy("5", "darkness") == cell["robust_accuracy"]
    assert f"mean at severity 5={100 * means['5']:.1f} %" in repr(result)
    assert "mean" in str(result)
    assert "<svg" in result._repr_html_()
    with pytest.raises(BadEpsilon, match="severities are 1, 2, 3, 4, 5; not 8/255"):
        result.robust_accuracy("8/255")
