"""Corrupted images made again: each break is proved by its image, and of the others some are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.base.machine import versions
from harness.base.statistics import exact_upper_bound
from harness.base.threat import distance
from harness.errors import HarnessError
from harness.evidence.facts import BROKEN, CLEAN
from harness.evidence.suite_info import AttackInfo
from harness.inputs.corruptions.attack import LIBRARY, TOLERANCE, Corruption, corruption
from harness.inputs.reference import ReferenceModel, margins
from harness.inputs.samples import Slice
from harness.trust.verify.places import CountedRun, Place
from harness.trust.verify.remeasure import Proof
from harness.trust.verify.verdict import Bound, Contradictions, Hit, Ids, Marginal, Mask, Replay
from harness.trust.verify.witness import BLOCK, EXACT, Tau
from harness.types import AttackSpec


class Remake:
    """Makes the corrupted images of a run again and holds them to its facts.

    Args:
        records: The run's facts, with an exact clean pass.
        part: The run's samples; their hash was compared.
        reference: The run's model; its hash was compared.
        problems: Takes what contradicts the run, and kinds that are not here as they were recorded.
    """

    def __init__(self, records: CountedRun, part: Slice, reference: ReferenceModel, problems: Contradictions) -> None:
        self.records, self.part, self.reference, self.problems = records, part, reference, problems
        self.kinds = {attack.id: made for attack in records.attacks if (made := self._kind(attack)) is not None}
        self.same_library = versions(LIBRARY).get(LIBRARY) == records.info.versions.get(LIBRARY)
        self.tau: Tau | None = None

    def _kind(self, told: AttackInfo) -> Corruption | None:
        """The kind as it is here; None where it is another, which is named."""
        try:
            made = corruption(AttackSpec(told.id, told.tool, told.method))
            version = made.tool_version()
        except HarnessError as error:
            self.problems.add("attack", f"{told.id}: {error}")
            return None
        if not isinstance(made, Corruption) or version != told.tool_version:
            self.problems.add("attack", f"{told.id}: made by version {told.tool_version}, here is version {version}")
            return None
        return made

    def breaks(self, proof: Proof) -> list[Bound]:
        """Judge every image that the facts call misread; what is proved of each kind at each severity.

        Args:
            proof: Takes how many were judged, and which predictions are too close to be sure of.
        """
        found = []
        for attack in self.records.attacks:
            for at, level in enumerate(self.records.grid):
                rows = self.records.rows[attack.id, None, at]
                claimed = np.flatnonzero(np.isin(rows["outcome"], BROKEN))
                holds = np.zeros(len(self.records.ids), bool)
                for start in range(0, len(claimed), BLOCK):
                    mine = claimed[start : start + BLOCK]
                    misread, marginals = self._judge((attack.id, None, at), mine, broken=True)
                    holds[mine[misread]] = True
                    proof.marginals += marginals
                    proof.judged += len(mine)
                known = bool(np.isin(rows["outcome"], ("survived", *BROKEN)).all())
                share = 1 - len(claimed) / len(holds)
                found.append(
                    Bound(
                        attack=attack.id,
                        epsilon=level.value,
                        epsilon_label=level.label,
                        claimed=share if known else None,
                        broken=len(claimed),
                        proved=int(holds.sum()),
                        at_most=1 - float(holds.mean()),
                    )
                )
        return found

    def survivors(self, count: int, seed: int) -> Replay:
        """Judge `count` randomly drawn images that the facts call read right; one that is misread is a problem."""
        population = [
            (place, row)
            for place, rows in sorted(self.records.rows.items(), key=lambda item: (item[0][0], item[0][2]))
            if place[0] != CLEAN
            for row in np.flatnonzero(rows["outcome"] == "survived").tolist()
        ]
        size = min(count, len(population))
        picked = np.random.default_rng(seed).permutation(len(population))[:size]
        groups: dict[Place, list[int]] = {}
        for one in sorted(picked.tolist()):
            groups.setdefault(population[one][0], []).append(population[one][1])
        hits = []
        for place, mine in groups.items():
            misread, _ = self._judge(place, np.array(mine), broken=False)
            label = self.records.grid[place[2]].label
            hits += [Hit(int(self.records.ids[mine[i]]), place[0], label, 0, True) for i in np.flatnonzero(misread)]
        for hit in hits:
            what = f"sample {hit.sample_id} is said to be read right, and is misread"
            self.problems.add("replay", f"{hit.attack} at {hit.epsilon_label}: {what}")
        return Replay(
            asked=count,
            seed=seed,
            population=len(population),
            drawn=size,
            repeats=0,
            hits=tuple(hits),
            at_most=exact_upper_bound(len(hits), size) if size else 0.0,
        )

    def _judge(self, place: Place, at: Ids, broken: bool) -> tuple[Mask, list[Marginal]]:
        """Which of some images are misread here for certain, bool [m]; those of `broken` facts are held to them."""
        kind, nothing = self.kinds.get(place[0]), np.zeros(len(at), bool)
        if kind is None:
            return nothing, []
        records, level = self.records, self.records.grid[place[2]]
        ids = records.ids[at]
        clean, labels = self.part.data.take(ids.tolist())
        images = kind.images(clean, ids.tolist(), level.value)
        logits = self.reference.logits(images).cpu()
        self.tau = self.tau or Tau.of(logits)
        limit, margin = self.tau(logits), margins(logits, labels).double().numpy()
        misread = (logits.argmax(1) != labels).numpy()
        if not broken:
            return misread & (margin >= limit), []
        told = {name: records.rows[place][name][at] for name in ("distance", "margin")}
        loose = not (kind.corruption.exact or self.same_library)
        reach = distance(images, clean, records.info.suite.norm).numpy()
        off = np.abs(reach - told["distance"]) > (TOLERANCE / 255 if loose else EXACT)
        close = np.maximum(np.abs(margin), told["margin"]) < limit
        other: NDArray[np.bool_] = np.abs(margin - told["margin"]) > limit

        def refuse(check: str, mask: Mask, what: str) -> None:
            self.problems.rows(check, records.name(place), ids, mask, what)

        refuse("ball", off, "the recorded distance is not that of the image made here")
        if not loose:  # other images may be read otherwise
            refuse("prediction", ~misread & ~close & ~off, "the model reads the image right")
            refuse("margin", misread & other & ~off, "the recorded margin is not the model's")
        marginals = [
            Marginal(
                sample_id=int(ids[row]),
                attack=place[0],
                epsilon_label=level.label,
                recorded=float(told["margin"][row]),
                here=float(margin[row]),
                flipped=not misread[row],
            )
            for row in np.flatnonzero(~off & (close | (loose & ~misread)))
        ]
        return misread & ~off, marginals
