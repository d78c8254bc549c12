"""Coverage-guided fuzzing of every reader of files that may come from a stranger (see `readers.py`), by atheris.

``python benchmarks/fuzz.py --seconds 60 -o benchmarks/results/fuzz.json`` gives each reader 60 seconds in a process of
its own and reports inputs tried, how many were refused, and what went wrong (``pip install atheris``). With ``--plain
N`` it feeds each reader N inputs without atheris.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

if "--child" in sys.argv:  # what is imported now is watched for coverage; torch is not
    import atheris

    with atheris.instrument_imports(include=["harness", "model_zoo", "leaderboard", "tomllib", "zipfile"]):
        from readers import Reader, mutate, readers
else:
    from readers import Reader, mutate, readers

from harness.base.machine import versions


def plain(reader: Reader, place: Path, inputs: int, seed: int) -> dict[str, Any]:
    """Feed mutated good files; what came of them, and the first failure of each kind."""
    chance, counts, crashes = random.Random(seed), Counter[str](), {}
    good, begun = reader.good(), time.monotonic()
    for _ in range(inputs):
        feed(reader, mutate(good, chance), place, counts, crashes)
    return row(reader, counts, crashes, time.monotonic() - begun)


def feed(reader: Reader, content: bytes, place: Path, counts: Counter[str], crashes: dict[str, str]) -> None:
    """One input."""
    try:
        counts[reader.feed(content, place)] += 1
    except Exception as error:  # what the reader may not do: counted, by kind and place
        counts["crash"] += 1
        at = traceback.extract_tb(error.__traceback__)[-1]
        crashes.setdefault(f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}", str(error)[:200])


def row(reader: Reader, counts: Counter[str], crashes: dict[str, str], seconds: float) -> dict[str, Any]:
    """One line of the report."""
    tried = sum(counts.values())
    figures = {"inputs": tried, "refused": counts["refused"], "read": counts["read"], "crashes": counts["crash"]}
    return {"reader": reader.name, **figures, "seconds": round(seconds, 1), "kinds": crashes}


def guided(reader: Reader, place: Path, seconds: int, out: Path) -> None:
    """Fuzz one reader with atheris for a while; it ends the process itself, so the report is rewritten on the way."""
    counts, crashes, begun = Counter[str](), dict[str, str](), time.monotonic()
    chance = random.Random(0)
    corpus = place.parent / "corpus"
    corpus.mkdir()
    (corpus / "good").write_bytes(reader.good())
    for number in range(20):
        (corpus / str(number)).write_bytes(mutate(reader.good(), chance))

    def one(content: bytes) -> None:
        feed(reader, content, place, counts, crashes)
        if sum(counts.values()) % 100 == 0:
            out.write_text(json.dumps(row(reader, counts, crashes, time.monotonic() - begun)))

    limits = [f"-max_total_time={seconds}", "-max_len=20000", "-rss_limit_mb=4096", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(corpus), *limits], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for each reader")
    parser.add_argument("--plain", type=int, help="inputs for each reader, without atheris")
    parser.add_argument("--reader", help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        found = readers(top / "files")
        chosen = [reader for reader in found if arguments.reader in (None, reader.name)]
        if arguments.child:
            guided(chosen[0], top / "here", arguments.seconds, arguments.child)
            return
        rows = []
        for reader in chosen:
            if arguments.plain:
                rows.append(plain(reader, top / f"here-{len(rows)}", arguments.plain, arguments.seed))
            else:
                out = top / "row.json"
                words = [sys.executable, __file__, "--reader", reader.name, "--seconds", str(arguments.seconds)]
                done = subprocess.run([*words, "--child", str(out)], capture_output=True, text=True)
                rows.append(json.loads(out.read_text()) | {"exit": done.returncode})
                out.unlink()
            print(json.dumps(rows[-1]), flush=True)
    report = {"benchmark": "fuzz", "guided": not arguments.plain, "rows": rows, "versions": versions()}
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
