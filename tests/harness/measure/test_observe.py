"""What the observer promises: true counts, true witnesses, and no gradient for what is broken."""

import pytest
import torch
from toys import Linear, SmallNet, labeled, loaded

from harness.base.threat import distance
from harness.inputs.reference import ReferenceModel, usual_range
from harness.measure.unit.board import SOURCES, WitnessBoard
from harness.measure.unit.observer import AllBroken, ObservedModel, offer_returned

EPSILON = 8 / 255


@pytest.fixture
def linear():
    model = Linear()
    data = labeled(model, 20)
    with ReferenceModel(loaded(model, 2)) as reference:
        yield model, data, reference


def observer_of(reference, data, epsilon=EPSILON, kind="budget", norm="linf", **options):
    board = WitnessBoard(reference, data.images, data.labels, norm, epsilon, kind)
    return ObservedModel(reference.module, board, **options), board


def step(model, data, epsilon):
    """The optimal linf perturbation of a linear model."""
    direction = torch.where(data.labels == 1, -1.0, 1.0)[:, None] * model.weight.detach().sign()
    return (data.images + epsilon * direction.view_as(data.images)).clamp(0, 1)


def test_any_query_is_a_witness_even_if_the_tool_walks_away(linear):
    model, data, reference = linear
    observer, board = observer_of(reference, data)
    moved = step(model, data, EPSILON)
    with torch.no_grad():
        truly = model(moved).argmax(1) != data.labels
    assert 0 < truly.sum() < len(truly)
    observer(data.images)
    observer(moved)
    observer(data.images)
    assert torch.equal(board.found, truly)
    assert {SOURCES[s] for s in board.source[truly].tolist()} == {"query"}
    assert set(board.query[truly].tolist()) == {1}
    assert torch.equal(board.images[truly], moved[truly])


def test_counts_are_exact_and_broken_rows_cost_nothing(linear):
    model, data, reference = linear
    observer, board = observer_of(reference, data)
    moved = step(model, data, EPSILON)
    for images in (data.images, moved, moved):
        images = images.clone().requires_grad_()
        logits = observer(images)
        torch.autograd.grad(logits.sum(), images)
    broken = board.safe
    assert broken.any()
    assert set(observer.forwards[broken].tolist()) == {2}
    assert set(observer.forwards[~broken].tolist()) == {3}
    assert torch.equal(observer.forwards, observer.backwards)


def test_frozen_rows_get_their_last_logits_without_gradient(linear):
    model, data, reference = linear
    observer, board = observer_of(reference, data)
    moved = step(model, data, EPSILON)
    last = observer(moved).detach()
    images = data.images.clone().requires_grad_()
    logits = observer(images)
    gradient = torch.autograd.grad(logits[:, 1].sum(), images)[0].flatten(1)
    safe = board.safe
    assert safe.any()
    assert torch.equal(logits[safe], last[safe])
    assert (gradient[safe] == 0).all()
    torch.testing.assert_close(gradient[~safe], model.weight.detach().expand(int((~safe).sum()), -1))
    logits.detach()[safe] = -1.0  # a tool may write into what it got
    assert torch.equal(observer._last[safe], last[safe])


def test_what_is_returned_before_the_first_query_freezes_nothing_in_it(linear):
    model, data, reference = linear
    observer, board = observer_of(reference, data)
    offer_returned(board, step(model, data, EPSILON), 0)
    safe = board.safe.clone()
    assert 0 < safe.sum() < len(safe)
    logits = observer(data.images)
    assert torch.equal(logits, model(data.images))
    assert set(observer.forwards.tolist()) == {1}
    assert torch.equal(observer(data.images)[safe], logits[safe])
    assert set(observer.forwards[safe].tolist()) == {1}


def test_the_tool_is_stopped_when_nothing_is_left(linear):
    model, data, reference = linear
    observer, board = observer_of(reference, data, epsilon=1.0)
    with pytest.raises(AllBroken):
        observer(step(model, data, 1.0))
    assert board.found.all()
    assert not issubclass(AllBroken, Exception)


def test_outside_the_ball_or_the_box_is_no_witness(linear):
    model, data, reference = linear
    for images in (step(model, data, 0.5), step(model, data, 0.5) * 0 + float("nan")):
        observer, board = observer_of(reference, data, epsilon=0.4)
        observer(images)
        offer_returned(board, images, 0)
        assert not board.found.any()
    # Inside the ball, but a pixel or more outside the box.
    direction = torch.where(data.labels == 1, -1.0, 1.0)[:, None] * model.weight.detach().sign()
    outside = data.images + EPSILON * direction.view_as(data.images)
    leaves = (outside < 0).flatten(1).any(1) | (outside > 1).flatten(1).any(1)
    with torch.no_grad():
        assert (leaves & (model(outside).argmax(1) != data.labels)).any()
    observer, board = observer_of(reference, data)
    observer(outside)
    assert not board.found[leaves].any()


def test_watching_freezes_nothing_and_counting_judges_nothing(linear):
    model, data, reference = linear
    moved = step(model, data, EPSILON)
    observer, board = observer_of(reference, data, watch="judge")
    observer(moved)
    observer(moved)
    assert board.found.any()
    assert set(observer.forwards.tolist()) == {2}
    observer, board = observer_of(reference, data, watch="count")
    observer(moved)
    assert not board.found.any()
    assert set(observer.forwards.tolist()) == {1}


def test_the_nearest_witness_wins_for_minimum_attacks(linear):
    model, data, reference = linear
    observer, board = observer_of(reference, data, epsilon=1.0, kind="minimum", watch="judge")
    for size in (0.5, 0.1, 0.3):
        observer(step(model, data, size))
    needed = model.margin(data.images, "linf")
    reach = distance(step(model, data, 0.1), data.images, "linf")
    with torch.no_grad():
        at_tenth = model(step(model, data, 0.1)).argmax(1) != data.labels
    assert at_tenth.any()
    assert torch.equal(board.distance[at_tenth], reach[at_tenth])
    assert (board.distance[board.found] >= needed[board.found] - 1e-6).all()


class FarThird(Linear):
    """The same decision, with a third class far below that widens the logit range."""

    def forward(self, images):
        return torch.cat([super().forward(images), torch.full((len(images), 1), -100.0)], dim=1)


def test_a_marginal_witness_is_kept_but_its_row_goes_on():
    model = FarThird()
    data = labeled(model, 1, seed=3, low=0.3, high=0.7)
    needed = float(model.margin(data.images, "linf"))
    assert needed < 0.15
    with ReferenceModel(loaded(model, 3)) as reference:
        observer, board = observer_of(reference, data, epsilon=0.3)
        observer(step(model, data, needed * 1.01))
        assert board.found.all()
        assert not board.safe.any()
        before = float(board.margin)
        with pytest.raises(AllBroken):
            observer(step(model, data, needed + 0.1))
        assert float(board.margin) > before


def test_two_classes_have_marginal_witnesses_too():
    """Their range at the boundary is the margin, so it is the model's usual range that counts."""
    model = Linear()
    data = labeled(model, 64, seed=3, low=0.3, high=0.7)
    with ReferenceModel(loaded(model, 2)) as reference:
        usual = usual_range(reference.logits(data.images))
        board = WitnessBoard(reference, data.images, data.labels, "linf", 0.3, usual=usual)
        needed = model.margin(data.images, "linf")[:, None, None, None]
        rows = torch.arange(64)
        for past, safe in ((1e-6, False), (0.01, True)):
            sign = model.weight.detach().sign().view(3, 8, 8) * (1 - 2 * data.labels)[:, None, None, None]
            board.offer((data.images + (needed + past) * sign).float(), rows, 0, 0, 0)
            assert board.found.all()
            assert bool(board.safe.all() if safe else not board.safe.any())


def test_shorter_queries_are_matched_in_order_or_left_alone(linear):
    model, data, reference = linear
    observer, board = observer_of(reference, data)
    moved = step(model, data, EPSILON)
    rows = torch.tensor([2, 5, 11])
    observer(moved[rows])
    with torch.no_grad():
        truly = model(moved).argmax(1) != data.labels
    assert set(board.found.nonzero().flatten().tolist()) == set(rows[truly[rows]].tolist())
    assert observer.unmatched == 0
    shuffled = moved[torch.tensor([11, 5, 2, 7])]
    with torch.no_grad():
        assert torch.equal(observer(shuffled), model(shuffled))
    assert observer.unmatched == 4


def test_pieces_give_the_whole(linear):
    _, data, reference = linear
    whole, _ = observer_of(reference, data, epsilon=0.0)
    pieces, _ = observer_of(reference, data, epsilon=0.0, batch_size=7)
    images = data.images.clone().requires_grad_()
    torch.testing.assert_close(whole(images), pieces(images))


def test_out_of_memory_halves_the_batch_and_goes_on():
    model = SmallNet()
    data = labeled(model, 16)
    sizes = []

    def hungry(images):
        sizes.append(len(images))
        if len(images) > 4:
            raise torch.OutOfMemoryError("too much")
        return model(images)

    with ReferenceModel(loaded(model, 5)) as reference:
        board = WitnessBoard(reference, data.images, data.labels, "linf", EPSILON)
        observer = ObservedModel(hungry, board, batch_size=16)
        images = data.images.clone().requires_grad_()
        logits = observer(images)
        gradient = torch.autograd.grad(logits.square().sum(), images)[0]
        expected = torch.autograd.grad(model(images).square().sum(), images)[0]
    assert observer.out_of_memory == 2
    assert observer.batch_size == 4
    torch.testing.assert_close(gradient, expected)


def test_memory_that_never_suffices_is_an_error():
    model = SmallNet()
    data = labeled(model, 4)

    def starving(images):
        raise torch.OutOfMemoryError("never enough")

    with ReferenceModel(loaded(model, 5)) as reference:
        board = WitnessBoard(reference, data.images, data.labels, "linf", EPSILON)
        with pytest.raises(torch.OutOfMemoryError):
            ObservedModel(starving, board, batch_size=4)(data.images)


class Handing(torch.autograd.Function):
    """Logits whose gradient on the images is the one that is given."""

    @staticmethod
    def forward(ctx, images, gradient):
        ctx.gradient = gradient
        return images.new_tensor([[0.0, 1.0]]).repeat(len(images), 1)

    @staticmethod
    def backward(ctx, _):
        return ctx.gradient, None


DEAD = [0.0, -0.0, float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("value", [*DEAD, 1.0, -1.0, 1e-42, -1e-42, 3e38])
def test_a_gradient_is_dead_where_it_is_zero_everywhere_or_not_finite(linear, value):
    _, data, reference = linear
    gradient = torch.zeros_like(data.images)
    gradient[1:, 0, 2, 3] = value
    if value != 0:
        gradient[1:, 1, 0, 0] = -1e-30  # one finite pixel does not make up for one that is not
    board = WitnessBoard(reference, data.images, data.labels, "linf", EPSILON)
    observer = ObservedModel(lambda images: Handing.apply(images, gradient), board, "judge")
    images = data.images.clone().requires_grad_()
    (got,) = torch.autograd.grad(observer(images).sum(), images)
    torch.testing.assert_close(got, gradient, rtol=0, atol=0, equal_nan=True)
    dead = any(value is other for other in DEAD)
    assert observer.dead_gradients.tolist() == [1, *[int(dead)] * 19]
    assert int(observer.useful) == (0 if dead else 19)
    assert observer.backwards.tolist() == [1] * 20
