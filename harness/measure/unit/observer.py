"""The observer: the model an attack tool is given, which sees every query and stops paying for what is broken.

A tool calls it like any network. Each query is judged by a `WitnessBoard`; rows that already have a safe witness leave
the network's batch and get their last logits back, without gradient; when no row is left the tool is stopped by
`AllBroken`. No line of the tool is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.base.memory import is_out_of_memory, release
from harness.base.threat import distance, radius
from harness.measure.unit.board import QUERY, RETURNED, WitnessBoard

Watch = Literal["freeze", "judge", "count"]
"""``freeze``: judge queries and drop broken rows. ``judge``: judge only. ``count``: only count (faithful mode)."""


class AllBroken(BaseException):
    """Every sample has a safe witness: stops the tool. A BaseException, so that no tool swallows it by accident."""


class ObservedModel(nn.Module):
    """Stands in for the network while a tool attacks it.

    Args:
        network: What is differentiated: float32 [n,C,H,W] in [0,1] to logits [n,K]; the reference's module, or a copy.
        board: Where candidates are judged; its rows are the samples.
        watch: What to do with queries, see `Watch`.
        batch_size: Rows that go through the network at once.
        keep_rows: Compute frozen rows along with the others (their logits are still replaced): then every other
            row's arithmetic is that of the bare tool, bit for bit. For tests.
        deadline: When `time.time` reaches it, the next query is not answered.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        board: WitnessBoard,
        watch: Watch = "freeze",
        batch_size: int = 512,
        keep_rows: bool = False,
        deadline: float | None = None,
    ) -> None:
        super().__init__()
        # Tools look for a parameter to learn the device from. The network itself is kept out of nn.Module's sight, so
        # that a tool's .train(), .eval() or .to() cannot reach it.
        self.anchor = nn.Parameter(torch.empty(0, device=board.clean.device), requires_grad=False)
        self._network: list[Callable[[Tensor], Tensor]] = [network]
        self.board, self.watch, self.batch_size, self.keep_rows = board, watch, batch_size, keep_rows
        self.deadline = deadline
        n, device = len(board.clean), board.clean.device
        self.forwards = torch.zeros(n, dtype=torch.int64, device=device)
        self.backwards = torch.zeros(n, dtype=torch.int64, device=device)
        self.dead_gradients = torch.zeros(n, dtype=torch.int64, device=device)
        """Backwards whose gradient on the image was zero everywhere, or not finite."""
        self.useful = torch.zeros((), dtype=torch.int64, device=device)
        """Backwards, all samples together, of samples without a safe witness whose gradient was not dead."""
        self.unmatched = 0
        """Rows of queries that could not be matched to samples; they were computed, not judged."""
        self.asks_reference = False
        """Whether the reference model is asked about every query, as the network predicts something else."""
        self.queries = 0
        self.restart = 0
        self.out_of_memory = 0
        """How often a query had to be split because memory ran out."""
        self.without_gradient = False
        """Whether a tool asked for a gradient, and the network's answer had none."""
        self._recompute = False
        self._last: Tensor | None = None
        self._all = torch.arange(n, device=device)
        self._matched: dict[int, Tensor] = {}
        self._alone: Tensor | None = None
        self._standing: tuple[int, Tensor] | None = None
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits [m,K] of `images` [m,C,H,W]; differentiable where rows are still under attack.

        Raises:
            AllBroken: no sample is left to attack.
            OutOfBudget: the deadline passed.
        """
        if self.deadline is not None and time.time() > self.deadline:
            raise OutOfBudget
        query, self.queries = self.queries, self.queries + 1
        rows = self._match(images)
        if rows is None:
            self.unmatched += len(images)
            return self._compute(images)
        if self.watch == "count":
            return self._counted(images, rows)
        live = self._live(rows)
        if live is None:
            logits = self._counted(images, rows)
            self._judge(images, rows, logits, query)
        else:
            logits = self._partial(images, rows, live, query)
        if self.watch == "freeze":
            self._remember(rows, logits)
            if self.board.n_safe == len(self._all):
                raise AllBroken
        return logits

    def _live(self, rows: Tensor) -> Tensor | None:
        """Positions of the query's rows that still need the network, or None if all do."""
        if self.watch != "freeze" or not self.board.n_safe or self._last is None:
            return None  # what a tool returned can be safe before anything was asked
        if rows is not self._all:
            done = self.board.safe[rows]
            return None if not bool(done.any()) else (~done).nonzero().squeeze(1)
        if self._standing is None or self._standing[0] != self.board.n_safe:  # rows only ever become safe
            self._standing = self.board.n_safe, (~self.board.safe).nonzero().squeeze(1)
        return self._standing[1]

    def _partial(self, images: Tensor, rows: Tensor, live: Tensor, query: int) -> Tensor:
        """Logits of a query of which only the `live` positions are computed."""
        assert self._last is not None  # else `_live` says that all rows need the network
        logits = self._last[rows]  # advanced indexing: a fresh tensor, which tools may write into
        if not len(live):  # only samples already broken: keep the graph alive for tools that differentiate anyway
            return logits + images.sum() * 0 if images.requires_grad and torch.is_grad_enabled() else logits
        # Which rows go through the network is all that `keep_rows` changes.
        all_rows = self.keep_rows
        computed = self._counted(images, rows)[live] if all_rows else self._counted(images[live], rows[live])
        self._judge(images.detach()[live], rows[live], computed, query)
        return logits.index_copy(0, live, computed)

    def _judge(self, images: Tensor, rows: Tensor, logits: Tensor, query: int) -> None:
        answers = self.board.reference.logits(images.detach()) if self.asks_reference else logits.detach()
        wrong = self.board.broken(answers.argmax(1), rows).nonzero().squeeze(1)
        if len(wrong):
            self.board.offer(images.detach()[wrong], rows[wrong], QUERY, query, self.restart)

    def _remember(self, rows: Tensor, logits: Tensor) -> None:
        if self._last is None:
            self._last = torch.zeros(len(self._all), logits.shape[1], dtype=logits.dtype, device=logits.device)
        self._last[rows] = logits.detach()

    def _match(self, images: Tensor) -> Tensor | None:
        """The sample of each row of a query, int64 [m], or None where that is not certain.

        A query of all rows keeps their order. A single sample owns every row. A shorter query is matched only if each
        of its rows is inside the ball of exactly one sample, in ascending order (tools drop finished rows; they don't
        shuffle).
        """
        clean = self.board.clean
        if images.shape[1:] != clean.shape[1:]:
            return None
        if len(images) == len(clean):
            return self._all
        if len(clean) == 1:
            return torch.zeros(len(images), dtype=torch.int64, device=clean.device)
        if len(images) > len(clean) or self.board.nearest_wins:
            return None
        reach = radius(self.board.epsilon, self.board.norm)
        known = self._matched.get(len(images))
        if known is not None and self._holds(images, known, reach):
            return known
        near = self._distances(images, clean) <= reach
        rows = near.int().argmax(1)
        if not (bool((near.sum(1) == 1).all()) and bool((rows[1:] > rows[:-1]).all())):
            return None
        self._matched[len(images)] = rows
        return rows

    def _holds(self, images: Tensor, rows: Tensor, reach: float) -> bool:
        """Whether the last match of this length is still the only one; much cheaper than matching again."""
        if self._alone is None:  # samples whose balls meet no other ball
            apart = self._distances(self.board.clean, self.board.clean) > 2 * reach
            self._alone = (apart | torch.eye(len(apart), dtype=torch.bool, device=apart.device)).all(1)
        inside = distance(images, self.board.clean[rows], self.board.norm) <= reach
        return bool((inside & self._alone[rows]).all())

    def _distances(self, images: Tensor, others: Tensor) -> Tensor:
        """Distances [m,n] between all rows of two sets of images."""
        p = {"linf": torch.inf, "l2": 2.0, "l1": 1.0}[self.board.norm]
        flat = images.detach().flatten(1), others.flatten(1)
        return torch.cdist(*flat, p=p, compute_mode="donot_use_mm_for_euclid_dist")

    def _counted(self, images: Tensor, rows: Tensor) -> Tensor:
        """Forward with the counts of forwards and, once a gradient comes back, backwards."""
        asks = images.requires_grad and torch.is_grad_enabled()
        if asks:
            images = images.view_as(images)  # of this query alone: tools ask about the same tensor again
            images.register_hook(lambda gradient: self._count_dead(gradient, rows))
        logits = self._compute(images)
        self.without_gradient |= asks and not logits.requires_grad
        self.forwards.index_add_(0, rows, torch.ones_like(rows))
        if logits.requires_grad:
            logits.register_hook(lambda _grad: self._count_backward(rows))
        return logits

    def _count_backward(self, rows: Tensor) -> None:
        self.backwards.index_add_(0, rows, torch.ones_like(rows))

    def _count_dead(self, gradient: Tensor | None, rows: Tensor) -> None:
        if gradient is None:
            self.without_gradient = True
            return
        largest = torch.linalg.vector_norm(gradient.detach().flatten(1), torch.inf, dim=1)
        alive = (largest > 0) & (largest < torch.inf)  # NaN is neither
        self.useful += (alive & ~self.board.safe[rows]).sum()
        self.dead_gradients.index_add_(0, rows, (~alive).to(torch.int64))

    def _compute(self, images: Tensor) -> Tensor:
        """The network in pieces of `batch_size` rows; out of memory, halves the pieces and goes on.

        After the first such event pieces are recomputed in the backward pass, so that activations of one piece at a
        time are held; the arithmetic of a piece is the same.
        """
        images = images.to(torch.float32)
        if images.requires_grad and torch.is_grad_enabled():
            images = images.view_as(images)
            images.register_hook(_flat)
        while True:
            try:
                pieces = [self._piece(piece) for piece in images.split(self.batch_size)]
                return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
            except Exception as error:
                if not is_out_of_memory(error) or not self.shrink(len(images)):
                    raise

    def _piece(self, piece: Tensor) -> Tensor:
        if self._recompute and piece.requires_grad and torch.is_grad_enabled():
            return plain(checkpoint(self._network[0], piece, use_reentrant=False))
        return plain(self._network[0](piece))

    def release(self) -> None:
        """Let go of images and logits; to be called when nothing is asked any more.

        Tools hold what they attack in reference cycles, which Python finds late, and by then many chunks would be held.
        """
        self._last = self._standing = self._alone = None
        self._matched.clear()
        self._network.clear()
        del self.board

    def shrink(self, rows: int) -> bool:
        """Halve the batch after an out-of-memory error; False if there is nothing left to halve."""
        size = min(self.batch_size, rows)
        if size <= 1 and self._recompute:
            return False
        self.out_of_memory += 1
        self.batch_size = max(1, size // 2)
        self._recompute = True
        release()
        return True


def _flat(gradient: Tensor | None) -> Tensor | None:
    """A gradient that tools can flatten with ``.view``; operators without a derivative give None."""
    return None if gradient is None else gradient.contiguous()


def plain(logits: Tensor) -> Tensor:
    """Logits as tools expect them, and as they are judged: float32, contiguous, and free to be written into."""
    logits = logits.clone() if logits.is_inference() else logits
    return logits.float().contiguous()


def offer_returned(board: WitnessBoard, images: Tensor | None, restart: int) -> None:
    """Judge what a tool returned, [n,C,H,W], clamped to the box; rows with a safe witness are left alone."""
    if images is None or images.shape != board.clean.shape:
        return
    images = images.detach().to(board.clean.device, torch.float32).clamp(0, 1)
    closer = distance(images, board.clean, board.norm) < board.distance
    rows = (closer if board.nearest_wins else ~board.safe).nonzero().squeeze(1)
    if len(rows):
        board.offer(images[rows], rows, RETURNED, -1, restart)


class OutOfBudget(BaseException):
    """The time is over: the unit is given up where it stands. A BaseException, so that no tool swallows it."""
