"""Every reader of files that may come from a stranger, with good files to start from and what it may do with bad ones.

A reader gets a folder in which one file was changed. It may refuse it with a `HarnessError` in one line, or read what
the good file says, or, of formats without checksums, something else that is well-formed: nothing else, and never an
exception of another kind.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from toy import FGSM, case

from harness.base.threat import parse_grid
from harness.errors import HarnessError
from harness.evidence import facts, witnesses
from harness.evidence.store import RunStore
from harness.inputs.fingerprint import FILE
from harness.inputs.fingerprint import read as read_fingerprint
from harness.inputs.ids import read_ids
from harness.inputs.seen import read_seen
from harness.inputs.suite_file import read_suite
from harness.run.job import Options, evaluate
from harness.trust.ledger import read_ledger
from harness.trust.verify.recount import check_key
from harness.trust.verify.verdict import Contradictions
from harness.types import DataRequest, Dataset
from leaderboard.compare import gate_report
from leaderboard.compare.gate import judge
from leaderboard.compare.requirements import parse
from leaderboard.runs.board import listed_as, read_board, write_board
from leaderboard.runs.check import check_summary
from leaderboard.runs.collect import collect
from leaderboard.runs.published import dump, read_published
from model_zoo.datasets.array_files import arrays
from model_zoo.datasets.csv_table import table
from model_zoo.datasets.folder import ImageFiles
from model_zoo.datasets.gtsrb import read_npz
from model_zoo.loading.card_file import read_card
from model_zoo.loading.checkpoint import entries
from model_zoo.loading.weights_file import read_tensors, read_weights
from model_zoo.recipe.named import read_recipe
from model_zoo.training import checkpoint

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: Its name in reports.
        file: The file in `folder` that is changed.
        folder: Good files.
        read: Reads the folder.
        exact: Whether what is read must be what the good file says, checksums being there.
    """

    name: str
    file: str
    folder: Path
    read: Callable[[Path], Any]
    exact: bool = False

    def good(self) -> bytes:
        """The good file."""
        return (self.folder / self.file).read_bytes()

    def feed(self, content: bytes, place: Path) -> str:
        """Read `content` in place of the good file, in a copy of the folder at `place`: ``read`` or ``refused``.

        Raises:
            Exception: the reader did what it may not do.
        """
        if not place.exists():
            shutil.copytree(self.folder, place)
        (place / self.file).write_bytes(content)
        refusal = ""
        try:
            found = self.read(place)
        except HarnessError as error:
            refusal = str(error)
        if refusal:
            assert len(refusal.splitlines()) == 1, "more than one line"
            assert len(refusal) < 2000, "a message too long to be read"
            return "refused"
        if self.exact:
            assert found.equals(self.read(self.folder)), "another table was read"
        return "read"


def readers(top: Path) -> list[Reader]:
    """All readers, with their good files under `top`."""
    model, suite, data = case(n=16, chunk=8, attacks=(FGSM,))
    run = evaluate(model, suite, data, Options(top / "results", device="cpu", batch_size=8, precision="exact")).folder
    shard = sorted((run / "facts").iterdir())[0].name
    proof = sorted((run / "witnesses").iterdir())[0].name
    good = top / "good"
    good.mkdir(parents=True)
    shutil.copy(sorted((ROOT / "model_zoo/cards/models").glob("*.toml"))[0], good / "card.toml")
    shutil.copy(ROOT / "harness/suites/standard.toml", good / "suite.toml")
    safetensors.torch.save_file(
        {"a": torch.ones(3, 4), "b": torch.ones(2, dtype=torch.float16)}, good / "w.safetensors"
    )
    np.savez(good / "d.npz", images=np.zeros((4, 32, 32, 3), np.uint8), labels=np.arange(4), track=np.arange(4))
    np.savez_compressed(good / "c.npz", images=np.zeros((4, 32, 32, 3), np.uint8), labels=np.arange(4))
    for kind in ("png", "jpeg", "ppm"):
        Image.new("RGB", (8, 8), (10, 200, 30)).save(good / f"image.{kind}")
    checkpoint.save(good / "resume.pt", {"settings": "x", "model": {"w": torch.ones(3)}, "epoch": 3})
    (good / "ledger.jsonl").write_text(
        json.dumps(
            {"content": "sha256:0", "run": "r", "verdict": "no", "evidence": "all", "replayed": 0, "at_most": None,
             "problems": 1, "by": None, "device": "cpu", "at": "2026-01-01T00:00:00+00:00", "schema": 1}
        ) + "\n"
    )  # fmt: skip
    counted = json.loads((run / "summary.json").read_text())
    found = [
        Reader("card", "card.toml", good, lambda here: read_card(here / "card.toml")),
        Reader("suite", "suite.toml", good, lambda here: read_suite(here / "suite.toml").resolve()),
        Reader("facts", f"facts/{shard}", run, lambda here: facts.read(here / "facts" / shard), exact=True),
        Reader(
            "witnesses", f"witnesses/{proof}", run, lambda here: witnesses.read(here / "witnesses" / proof), exact=True
        ),
        Reader("run.json", "run.json", run, _read_run),
        Reader("fingerprint", FILE, run, lambda here: read_fingerprint(here / FILE)),
        Reader("summary.json", "summary.json", run, lambda here: _read_summary(here, counted)),
        Reader("weights", "w.safetensors", good, lambda here: read_weights(here / "w.safetensors")),
        Reader("data (npz)", "d.npz", good, lambda here: read_npz(here / "d.npz", ("images", "labels", "track"))),
        Reader("data (npz, deflated)", "c.npz", good, lambda here: read_npz(here / "c.npz", ("images", "labels"))),
        Reader("checkpoint", "resume.pt", good, lambda here: checkpoint.load(here / "resume.pt", "x")),
        Reader("ledger", "ledger.jsonl", good, lambda here: read_ledger(here / "ledger.jsonl")),
    ]
    for kind in ("png", "jpeg", "ppm"):
        name = f"image.{kind}"
        found.append(Reader(f"image ({kind})", name, good, lambda here, name=name: _read_image(here / name)))
    np.save(good / "images.npy", np.zeros((4, 8, 8, 3), np.uint8))
    np.save(good / "labels.npy", np.arange(4))
    (good / "table.csv").write_text("Path,ClassId\nimage.png,0\nimage.jpeg,1\n")
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(good / "deep.png")
    torch.save({"state_dict": {"w": torch.ones(3, 4), "b": torch.ones(2)}, "epoch": 3}, good / "state.pt")
    found += [
        Reader("data (npz by path)", "c.npz", good, lambda here: _take(arrays, here, "c.npz")),
        Reader("images (npy)", "images.npy", good, lambda here: _take(arrays, here, "images.npy", "labels.npy")),
        Reader("labels (npy)", "labels.npy", good, lambda here: _take(arrays, here, "images.npy", "labels.npy")),
        Reader("table (csv)", "table.csv", good, lambda here: _take(table, here, "table.csv")),
        Reader("image (png, 16 bit)", "deep.png", good, lambda here: _read_image(here / "deep.png")),
        Reader("state dict", "state.pt", good, lambda here: entries(read_tensors(here / "state.pt"), here, None)),
    ]
    (good / "epsilons.txt").write_text("1/255,0.03,8/255")
    found.append(Reader("epsilons", "epsilons.txt", good, _read_grid))
    return found + _of_boards(run, top / "board") + _of_lists(good)


def _of_boards(run: Path, board: Path) -> list[Reader]:
    """A published run and what lists it; the gate's verdicts that head a page."""
    (record,) = collect([run])
    board.mkdir()
    file = board / f"{run.name}.run.json"
    file.write_text(dump(record), encoding="utf-8")
    write_board(board, [listed_as(file.name, file.read_bytes(), record)])
    verdicts = gate_report.as_data(judge([record], [parse("fgsm@8/255>=0.1")]), confident=False)
    (board / "gate.json").write_text(json.dumps({"command": "gate", "data": verdicts}))
    return [
        Reader("published run", file.name, board, lambda here: read_published(here / file.name)),
        Reader("board", "board.toml", board, read_board),
        Reader("verdicts", "gate.json", board, lambda here: gate_report.read(here / "gate.json", {run.name})),
    ]


def _of_lists(good: Path) -> list[Reader]:
    """Recipes, lists of ids, and of the images that a model was trained on."""
    shutil.copy(ROOT / "model_zoo/cards/recipes/study-trades.toml", good / "recipe.toml")
    (good / "ids.txt").write_text("3\n17\n250  # the last\n")
    np.save(good / "ids.npy", np.arange(0, 40, 3))
    np.save(good / "seen.npy", np.arange(8, dtype=np.uint64))
    return [
        Reader("recipe", "recipe.toml", good, lambda here: read_recipe(str(here / "recipe.toml"))),
        Reader("ids (text)", "ids.txt", good, lambda here: read_ids(here / "ids.txt")),
        Reader("ids (npy)", "ids.npy", good, lambda here: read_ids(here / "ids.npy")),
        Reader("images seen", "seen.npy", good, _read_seen),
    ]


def _read_run(here: Path) -> None:
    check_key(RunStore(here).read_info(), Contradictions())
    collect([here])


def _read_summary(here: Path, counted: dict[str, Any]) -> None:
    """Beside what its run's facts give; that these are read and counted is another reader's matter."""
    check_summary(RunStore(here).read_json("summary.json"), counted, here)


def _read_seen(here: Path) -> Any:
    """With the hash that a card would give: whoever can change the one file can change the other."""
    digest = hashlib.sha256((here / "seen.npy").read_bytes()).hexdigest()
    card = read_card(here / "card.toml")
    return read_seen(replace(card, data={"seen": {"file": "seen.npy", "sha256": digest}}, path=here / "card.toml"))


def _read_image(path: Path) -> Any:
    return ImageFiles("folder", [(str(path), 0)], ["0"]).take([0])


def _take(plugin: Callable[[DataRequest], Dataset], here: Path, *names: str) -> Any:
    return plugin(DataRequest(argument=",".join(str(here / name) for name in names))).take([0])


def _read_grid(here: Path) -> None:
    grid = parse_grid((here / "epsilons.txt").read_text(errors="replace").split(","))
    assert len({epsilon.label for epsilon in grid}) == len(grid), "two epsilons of one label"


TOKENS = (
    b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"[]", b"{}", b'""', b'"../../x"', b"[[[[",
    b"9" * 400,
    b"\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"'''", b"=", b"[[attack]]", b"../x", b"\n", b"1" * 5000,
)  # fmt: skip


def mutate(content: bytes, chance: random.Random) -> bytes:
    """A bad file: bytes changed, cut out, doubled, moved, or replaced by what readers stumble over."""
    if chance.random() < 0.4 and (changed := _mutate_json(content, chance)) is not None:
        return changed
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(made) + 1)
        end = min(len(made), at + chance.choice((1, 1, 2, 4, 8, 64, 512)))
        kind = chance.randrange(7)
        if kind == 0 and at < len(made):
            made[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            made[at:end] = chance.randbytes(end - at)
        elif kind == 2:
            del made[at:end]
        elif kind == 3:
            made[at:at] = made[at:end]
        elif kind == 4:
            made[at:end] = chance.choice(TOKENS)
        elif kind == 5:
            del made[at:]
        else:
            made[at:end] = bytes(end - at)
    return bytes(made)


def _mutate_json(content: bytes, chance: random.Random) -> bytes | None:
    """One value of a JSON file replaced, removed or doubled; None if it is none."""
    try:
        value = json.loads(content)
    except (ValueError, UnicodeDecodeError):
        return None
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    if not isinstance(value, (dict, list)) or not value:
        return None
    walk(value)
    strange = (
        None,
        True,
        -1,
        0,
        2**70,
        1e308,
        0.5,
        "",
        "x" * 300,
        "../../x",
        "<script>",
        [],
        {},
        [None],
        {"a": []},
        "\x00",
    )
    for _ in range(chance.choice((1, 1, 2))):
        node, key = chance.choice(places)
        if chance.random() < 0.3:
            other, name = chance.choice(places)
            with_key = name in other if isinstance(other, dict) else name < len(other)
            replacement = other[name] if with_key and other[name] is not node else None
        else:
            replacement = chance.choice(strange)
        if isinstance(node, dict) and chance.random() < 0.2:
            node.pop(key, None)
        elif isinstance(node, dict) or key < len(node):
            node[key] = replacement
    try:
        return json.dumps(value).encode()
    except ValueError:  # a circle
        return None
