"""Files from anywhere: refused in one line or read as what they say; nothing is allocated, unpickled or run."""

import io
import pickle
import random
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import mutate, readers

from harness.base import arrays
from harness.base.threat import parse_grid
from harness.errors import BadCard, BadData, BadEpsilon, BadRun, BadSuite, BadWeights, HarnessError, UsageError
from harness.evidence import facts, parquet, witnesses
from harness.evidence.run_info import run_name
from harness.evidence.store import Unit
from harness.inputs.suite_file import read_suite
from model_zoo.datasets.folder import ImageFiles
from model_zoo.loading.card_file import read_card
from model_zoo.loading.weights_file import read_weights
from model_zoo.training import checkpoint

NAMES = [
    "card", "suite", "facts", "witnesses", "run.json", "summary.json", "weights", "data (npz)", "data (npz, deflated)",
    "checkpoint", "ledger", "image (png)", "image (jpeg)", "image (ppm)", "epsilons", "data (npz by path)",
    "images (npy)", "labels (npy)", "table (csv)", "image (png, 16 bit)", "state dict",
    "fingerprint", "published run", "board", "verdicts", "recipe", "ids (text)", "ids (npy)", "images seen",
]  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return {reader.name: reader for reader in readers(tmp_path_factory.mktemp("readers"))}


def test_every_reader_is_fuzzed_here(known):
    assert sorted(known) == sorted(NAMES)


@pytest.mark.torchattacks
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**64), junk=st.one_of(st.none(), st.binary(max_size=300)))
def test_a_changed_file_is_refused_or_read(known, tmp_path_factory, name, seed, junk):
    reader = known[name]
    content = mutate(reader.good(), random.Random(seed)) if junk is None else junk
    reader.feed(content, tmp_path_factory.getbasetemp() / f"fed-{NAMES.index(name)}")


CARD = 'name = "x"\ndefense = "standard"\narchitecture = "resnet18"\nnum_classes = 43\ninput_shape = [3, 32, 32]\n'


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("43", "10000000000000", "num_classes"),
        ("[3, 32, 32]", "[3, 1000000, 1000000]", "input_shape"),
        ('"x"', '"../../x"', "name"),
        ('"x"', r'"a\\b"', "name"),
        ('"x"', '".hidden"', "name"),
        ('"x"', '""', "name"),
        ("43", "1" * 5000, "TOML"),
        ("[3, 32, 32]", "[" * 5000, "TOML"),
    ],
)
def test_cards_claim_possible_things_only(tmp_path, before, after, key):
    path = tmp_path / "card.toml"
    path.write_text(CARD)
    read_card(path)
    path.write_text(CARD.replace(before, after))
    with pytest.raises(BadCard, match=key):
        read_card(path)


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\\\b", ".x", "", "x" * 81])
def test_names_of_suites_lead_nowhere_else(tmp_path, name):
    path = tmp_path / "suite.toml"
    path.write_text(
        f'name = "{name}"\nversion = 1\nnorm = "linf"\nepsilons = ["1/255"]\n'
        '[[attack]]\nid = "x"\ntool = "torchattacks"\nmethod = "fgsm"\n'
    )
    with pytest.raises(BadSuite, match=r"name .* must be a plain name"):
        read_suite(path)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a//b", "/etc", "./x", "x/..", "x\\n"])
def test_ids_of_attacks_lead_nowhere_else(tmp_path, name):
    path = tmp_path / "suite.toml"
    path.write_text(
        f'name = "s"\nversion = 1\nnorm = "linf"\nepsilons = ["1/255"]\n'
        f'[[attack]]\nid = "{name}"\ntool = "torchattacks"\nmethod = "fgsm"\n'
    )
    with pytest.raises(BadSuite, match="attack id"):
        read_suite(path)


@given(st.text(max_size=120), st.text(max_size=120), st.integers(0, 10**6))
def test_no_name_becomes_a_path(model, suite, chunk):
    for name in (run_name(model, suite, "0" * 64), Unit(model.replace("\0", ""), "8/255", chunk).filename):
        assert "/" not in name
        assert name not in ("", ".", "..")
    assert len(run_name(model, suite, "0" * 64)) < 120


@given(st.lists(st.one_of(st.floats(0, 1), st.integers(0, 255).map(lambda i: f"{i}/255")), min_size=1, max_size=6))
def test_two_epsilons_never_share_a_label(values):
    """Units are stored under the label: of two epsilons that look alike one would be taken for the other."""
    try:
        grid = parse_grid(values)
    except BadEpsilon:
        return
    assert len({epsilon.label for epsilon in grid}) == len(values)


def test_epsilons_that_look_alike_are_told_apart():
    assert [epsilon.label for epsilon in parse_grid([0.1234567, 0.1234568])] == ["0.1234567", "0.1234568"]
    assert [epsilon.label for epsilon in parse_grid(["8/255", "0.03137254902"])] == ["8/255", "0.03137254902"]


def header(shape, dtype="|u1"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header((10**12, 32, 32, 3)) + b"x", "more than the"),
        (header((2**62, 2**62)) + b"x", "more than the"),
        (header((4, 32, 32, 3)) + b"x", "claims 12,288 bytes"),
        (header((10,), "|O") + b"x", "pickled objects, which are never loaded"),
        (b"\x93NUMPY\x09\x00", "unknown version"),
        (b"", "cannot be read"),
        (header((3,))[:30], "cannot be read"),
    ],
)
def test_arrays_are_judged_before_they_are_allocated(tmp_path, content, words):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(BadData, match=words):
        arrays.read_arrays(path, ["images"])


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, images=np.zeros((4000, 32, 32, 3), np.uint8))
    assert path.stat().st_size < 100_000
    assert len(arrays.read_arrays(path, ["images"])["images"]) == 4000
    monkeypatch.setattr(arrays, "MAX_BYTES", 10**7)
    monkeypatch.setattr(zipfile.ZipExtFile, "readline", None)
    with pytest.raises(BadData, match="claims 12,288,000 bytes"):
        arrays.read_arrays(path, ["images"])


def rows(n, **changes):
    columns = {"sample_id": np.arange(n), "label": np.zeros(n, int), "attack": "a", "epsilon": 0.1,
               "epsilon_label": "0.1", "outcome": "survived"}  # fmt: skip
    return facts.table(n, {**columns, **changes})


def test_parquet_that_claims_too_much_is_refused_by_its_footer(tmp_path, monkeypatch):
    path = tmp_path / "f.parquet"
    facts.write(path, rows(2000))
    monkeypatch.setattr(parquet, "MAX_ROWS", 1000)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(BadRun, match="holds 2,000 rows of facts"):
        facts.read(path)


def test_one_huge_text_that_is_repeated_is_not_written_out(tmp_path):
    """A megabyte of text and five thousand references to it are five gigabytes."""
    path, n = tmp_path / "f.parquet", 5000
    table = rows(n)
    once = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), pa.array(["x" * 1_000_000]))
    place = table.schema.get_field_index("attack")
    bomb = table.set_column(place, "attack", once).replace_schema_metadata(table.schema.metadata)
    pq.write_table(bomb, path, store_schema=False)
    assert path.stat().st_size < 2_000_000
    before = pa.total_allocated_bytes()
    with pytest.raises(BadRun, match=r"column attack has 5,000,000,000 bytes|of schema"):
        facts.read(path)
    assert pa.total_allocated_bytes() - before < 50_000_000


def test_a_picture_that_claims_too_much_is_not_decoded(tmp_path):
    path = tmp_path / "x.ppm"
    path.write_bytes(b"P6 9000 9000 255\n" + bytes(100))
    with pytest.raises(BadData, match="claims 9000x9000 pixels"):
        ImageFiles("folder", [(str(path), 0)], ["0"]).take([0])


class Evil:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return (open, (self.mark, "w"))


@pytest.mark.filterwarnings("ignore")
def test_pickles_are_refused_and_never_run(tmp_path):
    mark, evil = tmp_path / "mark", tmp_path / "evil"
    evil.write_bytes(pickle.dumps(Evil(mark)))
    torch.save({"settings": Evil(mark)}, tmp_path / "evil.pt")
    array = np.empty(1, object)
    array[0] = Evil(mark)
    np.savez(tmp_path / "evil.npz", images=array, labels=array)
    for read, error in (
        (lambda: read_weights(evil), BadWeights),
        (lambda: read_weights(tmp_path / "evil.pt"), BadWeights),
        (lambda: checkpoint.load(evil, "x"), UsageError),
        (lambda: checkpoint.load(tmp_path / "evil.pt", "x"), UsageError),
        (lambda: arrays.read_arrays(tmp_path / "evil.npz", ["images"]), BadData),
        (lambda: facts.read(evil), BadRun),
        (lambda: witnesses.read(evil), BadRun),
    ):
        with pytest.raises(error):
            read()
    assert not mark.exists()


def test_a_message_never_fills_the_screen():
    assert len(str(HarnessError("x\n" * 100_000))) < 1600
