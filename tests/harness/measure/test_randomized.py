"""A randomized model under attack: what breaks by law, and nothing by chance."""

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from noisy import Noisy
from toys import Linear, labeled, loaded, scripted

from harness.base.threat import Epsilon
from harness.base.votes import LEAD
from harness.evidence.facts import of_whole
from harness.inputs.draws import Draws
from harness.inputs.reference import ReferenceModel
from harness.measure.unit.board import QUERY, WitnessBoard
from harness.measure.unit.compute import run_unit
from harness.measure.unit.job import Job, Setting
from harness.measure.unit.outcome import Chunk
from harness.types import AttackSpec

EPSILON = 0.05


def linear_step(model, images, labels, epsilon):
    """The optimal linf perturbation of `toys.Linear`: it moves the score by epsilon |w|_1."""
    toward = torch.where(labels == 1, -1.0, 1.0)[:, None] * model.weight.detach().sign()
    return (images + epsilon * toward.view_as(images)).clamp(0, 1)


def unit(model, data, attack, mode="observed", draws=None, epsilon=EPSILON, **setting):
    n = len(data.images)
    chunk = Chunk(
        index=0, sample_ids=np.arange(n), images=data.images, labels=data.labels, clean_pred=data.labels.clone()
    )
    with ReferenceModel(loaded(model, 2)) as reference:
        shared = Setting(reference=reference, norm="linf", mode=mode, seed=0, batch_size=n, draws=draws, **setting)
        spec = AttackSpec("scripted", "test", "scripted", {})
        return run_unit(Job(setting=shared, attack=attack, spec=spec, grid=(Epsilon(epsilon, "e"),), chunk=chunk))


def broken(result):
    return of_whole(result.facts)["outcome"].to_numpy(zero_copy_only=False) == "witness"


@pytest.fixture(scope="module")
def inner():
    """Images that a step of EPSILON leaves inside the box, so that the radius is that of the plane."""
    return labeled(Linear(), 60, low=EPSILON, high=1 - EPSILON)


def test_the_majority_of_noisy_logits_breaks_just_where_the_plane_is_reached(inner):
    """Of symmetric noise the majority is the noiseless answer, so its robust radius is |w.x + b| / |w|_1."""
    model = Noisy(1.0)
    radius = model.net.margin(inner.images, "linf").numpy()
    attack = scripted(lambda _, p: linear_step(model.net, p.images, p.labels, p.epsilon), freezable=True)
    moved = linear_step(model.net, inner.images, inner.labels, EPSILON)
    law = model.wrong(moved, inner.labels)
    assert np.array_equal(law > 0.5, radius < EPSILON)
    assert (law > 0.9).sum() > 10
    assert ((law < 0.5) & (law > 0.02)).sum() > 2  # single draws would break some of these
    result = unit(model, inner, attack, draws=Draws(count=200))
    assert not broken(result)[radius > EPSILON].any()
    assert broken(result)[law > 0.9].all()
    table = result.witnesses
    assert table.column_names[-3:] == ["votes", "hits", "candidate"]
    assert pc.all(pc.greater(pc.multiply(table["hits"], 2), table["votes"])).as_py()
    shares = (2 * table["hits"].to_numpy() - table["votes"].to_numpy()) / table["votes"].to_numpy()
    assert shares == pytest.approx(table["margin"].to_numpy(), abs=1e-6)


def test_a_sample_that_is_right_four_times_in_five_is_not_broken_by_a_thousand_candidates():
    model = Noisy(1.0)
    lead = 0.8416  # a normal draw is above it with probability .2
    direction = model.net.weight.detach() / model.net.weight.detach().norm() ** 2
    image = torch.full((1, 3, 8, 8), 0.5)
    with torch.no_grad():
        score = model.net(image)[0, 1]
    image = image + ((lead - score) * direction).view_as(image)
    label = torch.tensor([1])
    assert model.wrong(image, label) == pytest.approx([0.2], abs=1e-3)
    with ReferenceModel(loaded(model, 2)) as reference:
        board = WitnessBoard(reference, image, label, "linf", 0.01, draws=Draws(count=100), samples=[5])
        for query in range(1000):
            board.offer(image, torch.tensor([0]), QUERY, query, 0)
        plain = WitnessBoard(reference, image, label, "linf", 0.01)
        for query in range(100):
            plain.offer(image, torch.tensor([0]), QUERY, query, 0)
    assert not bool(board.found)
    assert board.unconfirmed == 1000
    assert board.confirmations / 1000 == pytest.approx(LEAD / (0.8 - 0.2), rel=0.15)  # a walk to -4, .6 a step
    assert bool(plain.found)  # a single draw falls at once


def walk(model, steps=12):
    """Small steps uphill, each after a query of its own: many candidates, some wrong by chance alone."""

    def play(asked, problem):
        for step in range(1, steps + 1):
            asked(linear_step(model.net, problem.images, problem.labels, problem.epsilon * step / steps))
        return None

    return scripted(play, freezable=True)


def test_early_exit_changes_nothing_and_numbers_come_again_bit_for_bit(inner):
    model, draws = Noisy(3.0), Draws(count=60)
    watched, again, frozen = (
        unit(model, inner, walk(model), mode, draws) for mode in ("watch", "observed", "observed")
    )
    assert 5 < broken(frozen).sum() < 55
    assert frozen.unconfirmed > 20
    assert np.array_equal(broken(watched), broken(frozen))
    assert frozen.facts.equals(again.facts)
    assert frozen.witnesses.equals(again.witnesses)
    known = ["sample_id", "votes", "hits", "candidate", "margin", "image"]
    assert frozen.witnesses.select(known).equals(watched.witnesses.select(known))


def test_a_target_needs_most_of_the_votes():
    model = Noisy(1.0)
    data = labeled(model.net, 1)
    with ReferenceModel(loaded(model, 2)) as reference:
        draws, far = Draws(count=50), linear_step(model.net, data.images, data.labels, 0.5)
        label = int(data.labels)
        hit = draws.trial(reference, far, 0, 1, label, target=1 - label)
        missed = draws.trial(reference, far, 0, 1, label, target=label)
    assert (hit.accepted, hit.prediction, hit.margin) == (True, 1 - label, 1.0)
    assert (missed.accepted, missed.hits) == (False, 0)


def test_of_nearest_witnesses_the_nearest_that_holds_is_kept(inner):
    model = Noisy(1.0)
    radius = model.net.margin(inner.images, "linf").numpy()

    def play(asked, problem):
        for share in (1.0, 0.9, 0.8, 0.7):
            asked(linear_step(model.net, problem.images, problem.labels, problem.epsilon * share))

    result = unit(model, inner, scripted(play, kind="minimum"), draws=Draws(count=100))
    found = of_whole(result.facts)
    distance = found["distance"].to_numpy(zero_copy_only=False)
    assert broken(result).sum() > 5
    assert np.all(distance[broken(result)] > radius[broken(result)])
    assert len({round(float(d), 3) for d in distance[broken(result)]}) > 1
