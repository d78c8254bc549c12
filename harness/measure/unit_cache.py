"""The evidence cache: units that any run of a results folder has computed, found again by what determines them.

A unit's facts follow from model, plan, attack, epsilon, chunk, seed, and the witnesses it is handed. So another run
with one more attack, a larger epsilon or more samples finds what it shares with earlier ones, bit for bit, and computes
the rest; with a smaller epsilon the larger ones are handed other witnesses, and are computed again where that is so.

::

    results/.units/<key>/facts.parquet   links to the shards of the run that computed the unit; and its witnesses
    results/.units/<key>/fingerprint.npz how the model behaved: an entry of one that behaves otherwise is computed again
    results/.units/<key>/unit.json       cost and findings, written last: without it the entry does not count

The folder can be deleted at any time. ``--fresh`` does not read from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Container
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.base.files import key_of, write_atomically
from harness.errors import BadRun
from harness.evidence import facts
from harness.evidence import witnesses as codec
from harness.evidence.costs import Cost, read_note
from harness.evidence.facts import NO_GRADIENT
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore, Unit
from harness.evidence.structs import as_json
from harness.inputs.fingerprint import FILE as FINGERPRINT
from harness.inputs.fingerprint import Fingerprint, difference, read
from harness.measure.unit.job import Job, UnitResult
from harness.measure.unit.outcome import INHERITED

FOLDER = ".units"
SCHEMA_VERSION = 2

_FAILED = ("exception", "not_installed", "timeout", NO_GRADIENT)


class UnitCache:
    """The cache as one run uses it.

    Args:
        results: Folder of all runs.
        info: Content of run.json: model, mode, seed, plan, versions and attacks are read from it.
        fingerprint: How the run's model behaves; None reuses nothing.
        read: Of which attacks entries are used; of the others they are only written. None: of all.
    """

    def __init__(
        self,
        results: Path,
        info: RunInfo,
        fingerprint: Fingerprint | None = None,
        read: Container[str] | None = None,
    ) -> None:
        self.folder, self.read, self._fingerprint = results.resolve() / FOLDER, read, fingerprint
        self._witnesses, self._placed = info.witnesses != "none", info.suite.place != "drawn"
        self._same = {
            "schema": SCHEMA_VERSION,
            "facts_schema": facts.SCHEMA_VERSION,
            "model": [info.model.sha256, info.model.code],
            "norm": info.suite.norm,
            "mode": info.mode,
            "seed": info.seed,
            "plan": as_json(info.planned),
            "hardware": info.device.name,
            "versions": info.versions,
            "witnesses": self._witnesses,
        } | ({} if info.suite.threat == "ball" else {"threat": info.suite.threat})
        if info.randomness is not None:
            self._same["randomness"] = as_json(info.randomness)
        self._attacks = {attack.id: attack for attack in info.suite.attacks}
        self._chunk: tuple[bytes, str] = (b"", "")

    def key(self, job: Job, clean: pa.Table) -> str:
        """What names the job's unit: a sha256 over everything that its facts depend on.

        Args:
            job: The unit before it runs.
            clean: Facts of its chunk's clean pass; their margins tell apart models whose tensors and visible code
                are the same.
        """
        attack = as_json(self._attacks[job.spec.id])
        attack["resolved"] = [attack["resolved"][epsilon.label] for epsilon in job.grid]
        for name in ("n", "chunk", "after"):  # told by the samples and by what is handed on
            attack.pop(name, None)
        plan = dict(self._same["plan"])
        plan["batch_size"] = min(plan["batch_size"], len(job.chunk.sample_ids))
        handed = hashlib.sha256()
        shared = list(vars(job.offered).values()) if job.offered is not None else []
        for part in (
            _inherited(job.before),
            job.stored if job.stored is not None and job.stored.any() else None,
            job.implied,
            *shared,
        ):
            content = b"" if part is None else np.asarray(part).tobytes()
            handed.update(len(content).to_bytes(8, "little") + content)
        return key_of(
            {
                **self._same,
                "plan": plan,
                "attack": attack,
                "grid": [(epsilon.label, epsilon.value.hex()) for epsilon in job.grid],
                "chunk": [job.chunk.index, self._content(job, clean)],
                "handed": handed.hexdigest(),
            }
        )

    def fetch(
        self, key: str, unit: Unit, store: RunStore, fits: Callable[[pa.Table], bool]
    ) -> tuple[UnitResult, Cost] | None:
        """Put a known unit into the run's folder; None if it is not known, not whole, or not this one.

        An entry shares its bytes with the shard of the run that computed it, and what overwrote one overwrote both: so
        `fits` says whether facts are of this unit at all.
        """
        entry = self.folder / key
        told = self.read is None or unit.attack in self.read
        if not told or self._fingerprint is None or not (entry / "unit.json").exists():
            return None
        known = read(entry / FINGERPRINT)
        if known is None or difference(known, self._fingerprint):
            return None
        try:
            note = json.loads((entry / "unit.json").read_text(encoding="utf-8"))
            found = facts.read(entry / "facts.parquet")
            path = entry / "witnesses.parquet"
            witnesses = codec.read(path) if path.exists() else codec.empty()
            if note["witnesses"] != len(witnesses) or not fits(found):
                return None
            cost = read_note(note["cost"])
        except (BadRun, OSError, ValueError, TypeError, KeyError):
            return None
        result = UnitResult(
            facts=found,
            witnesses=witnesses,
            findings=list(cost.findings),
            unconfirmed=cost.unconfirmed,
            again=cost.again,
            reused=True,
        )
        store.write(unit, found, witnesses if self._witnesses else None)
        return result, cost

    def keep(self, key: str, unit: Unit, store: RunStore, result: UnitResult, cost: Cost) -> None:
        """Remember a unit that is on disk; not one that failed, or whose batch memory decided.

        A cache that cannot be written only costs a later run its time.
        """
        failed = np.isin(result.facts["reason"].to_numpy(zero_copy_only=False), _FAILED)
        if failed.any() or result.out_of_memory:
            return
        entry = self.folder / key
        count = len(result.witnesses) if self._witnesses else 0
        note = {"cost": asdict(cost), "witnesses": count}
        try:
            entry.mkdir(parents=True, exist_ok=True)
            (entry / "unit.json").unlink(missing_ok=True)  # of another model: no reader may see a mixture
            _link(store.folder / FINGERPRINT, entry / FINGERPRINT)
            _link(store.folder / "facts" / unit.filename, entry / "facts.parquet")
            if count:
                _link(store.folder / "witnesses" / unit.filename, entry / "witnesses.parquet")
            write_atomically(
                entry / "unit.json", lambda path: path.write_text(json.dumps(note) + "\n", encoding="utf-8")
            )
        except (OSError, BadRun):
            return

    def _content(self, job: Job, clean: pa.Table) -> str:
        """A hash of the chunk's samples and of what the reference says of them; the last one is remembered."""
        ids = np.ascontiguousarray(job.chunk.sample_ids).tobytes()
        if self._chunk[0] != ids:
            total = hashlib.sha256(ids)
            for tensor in (job.chunk.images, job.chunk.labels):
                total.update(tensor.cpu().contiguous().numpy().tobytes())
            if self._placed and job.chunk.masks is not None:
                total.update(job.chunk.masks.sides.cpu().numpy().tobytes())
            total.update(clean["margin"].to_numpy().tobytes())
            self._chunk = ids, total.hexdigest()
        return self._chunk[1]


def _inherited(before: pa.Table | None) -> np.ndarray | None:
    """The witnesses that facts hand on; nothing if there are none, whatever else the facts say."""
    if before is None:
        return None
    whole = before.filter(pc.is_null(before["component"]))
    broken = whole.filter(pc.is_in(whole["outcome"], pa.array(facts.BROKEN)))
    if not len(broken):
        return None
    columns = ["sample_id", "epsilon", "origin_epsilon", *INHERITED]
    text = json.dumps(broken.select(columns).to_pydict(), sort_keys=True)
    return np.frombuffer(text.encode(), np.uint8)


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
