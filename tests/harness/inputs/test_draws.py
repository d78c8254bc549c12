"""What draws hang on, and how votes are read."""

import random

import numpy as np
import pytest
import torch
from noisy import Dice, Noisy
from toys import labeled, loaded, uniform_images

from harness.errors import UsageError
from harness.inputs.draws import Draws, Poll, chosen_draws
from harness.inputs.reference import ReferenceModel
from harness.types import ModelCard

IMAGES = uniform_images(6, 3)


@pytest.fixture
def dice():
    with ReferenceModel(loaded(Dice(), 3)) as reference:
        yield reference


def test_a_draw_hangs_on_run_sample_and_number_alone(dice):
    draws, ids = Draws(count=40), [7, 3, 9, 1, 0, 5]
    whole = draws.poll(dice, IMAGES, ids).votes
    torch.randn(5), np.random.rand(3), random.random()
    turned = draws.poll(dice, IMAGES.flip(0), ids[::-1]).votes.flip(0)
    alone = torch.cat([draws.poll(dice, IMAGES[i : i + 1], ids[i : i + 1]).votes for i in range(6)])
    assert torch.equal(whole, turned)
    assert torch.equal(whole, alone)
    assert len({tuple(row) for row in whole.tolist()}) > 1
    assert not torch.equal(whole, Draws(count=40, seed=1).poll(dice, IMAGES, ids).votes)
    assert draws.trial(dice, IMAGES[:1], 7, 2, 0) == draws.trial(dice, IMAGES[:1], 7, 2, 0)
    hits = {draws.trial(dice, IMAGES[:1], 7, number, 0, votes=40).hits for number in range(1, 9)}
    assert len(hits) > 2  # every candidate has draws of its own


def test_no_generator_notices(dice):
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    Draws(count=20).poll(dice, IMAGES, range(6))
    Draws(count=20).trial(dice, IMAGES[:1], 0, 1, 0)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_the_answer_is_what_has_more_than_half_of_the_votes():
    votes = torch.tensor([[6, 4, 0], [5, 5, 0], [5, 2, 3], [1, 4, 5]])
    labels = torch.tensor([0, 0, 0, 0])
    poll = Poll(votes, votes.float())
    assert poll.answers(labels).tolist() == [0, 1, 2, 2]
    assert poll.margins(labels).tolist() == pytest.approx([-0.2, 0.0, 0.0, 0.8])
    assert (poll.answers(labels) == labels).tolist() == (poll.margins(labels) < 0).tolist()


def test_shares_are_those_of_the_law_of_the_noise():
    model = Noisy(2.0)
    data = labeled(model.net, 12)
    with ReferenceModel(loaded(model, 2)) as reference:
        draws = Draws(count=400)
        votes = draws.poll(reference, data.images, range(12)).votes
    share = 1 - votes.gather(1, data.labels[:, None]).squeeze(1).numpy() / 400
    law = model.wrong(data.images, data.labels)
    assert np.all(np.abs(share - law) <= 4.5 * np.sqrt(law * (1 - law) / 400) + 1e-9)
    assert share.max() > 0.1


def test_one_draw_for_a_whole_batch_is_drawn_anew_for_each_vote():
    """A model that draws once a call, as a random choice of a member does: copies in one batch would all agree."""
    with ReferenceModel(loaded(Noisy(50.0, per_call=True), 2)) as reference:
        votes = Draws(count=200).poll(reference, IMAGES, range(6)).votes
    assert votes.min() > 40  # noise that is far above the score: either class in about half of the draws


def test_the_mean_of_ten_draws_votes():
    model = Noisy(2.0)
    data = labeled(model.net, 6)
    with ReferenceModel(loaded(model, 2)) as reference:
        one, ten = (Draws(count=400, rule=rule).poll(reference, data.images, range(6)) for rule in ("majority", "mean"))
    assert ten.votes.sum(1).tolist() == [40] * 6
    assert torch.allclose(one.logits, ten.logits, atol=1e-3)  # of the same draws
    right = [poll.votes.gather(1, data.labels[:, None]).squeeze(1) / poll.votes.sum(1) for poll in (one, ten)]
    assert bool((right[1] >= right[0]).all())


def test_options_go_before_the_card():
    card = ModelCard("m", "", "x", 3, (3, 8, 8), randomness={"draws": 200, "rule": "mean"})
    assert chosen_draws(None, None, None, 0) is None
    assert chosen_draws(card, 0, None, 0) is None
    assert chosen_draws(card, None, None, 4) == Draws(count=200, rule="mean", seed=4)
    assert chosen_draws(card, None, "majority", 0) == Draws(count=200)
    assert chosen_draws(card, 300, None, 0) == Draws(count=300, rule="mean")
    assert chosen_draws(None, 100, None, 0) == Draws(count=100)
    with pytest.raises(UsageError, match="--rule mean says how draws are counted"):
        chosen_draws(None, None, "mean", 0)
    with pytest.raises(UsageError, match=r"model card's randomness\.draws 5: by rule majority"):
        chosen_draws(ModelCard("m", "", "x", 3, (3, 8, 8), randomness={"draws": 5}), None, None, 0)
