"""The observer: the model an attack tool is given, which sees every query and stops paying for what is broken.

A tool calls it like any network. Each query is judged by a `WitnessBoard`; rows that already have a safe witness leave
the network's batch and get their last logits back, without gradient; when no row is left the tool is stopped by
`AllBroken`. No line of the tool is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.base.deadline import Deadline
from harness.base.memory import is_out_of_memory, release
from harness.measure.unit.board import QUERY, RETURNED, WitnessBoard
from harness.measure.unit.matching import Matcher

Watch = Literal["freeze", "judge", "count"]
"""``freeze``: judge queries and drop broken rows. ``judge``: judge only. ``count``: only count (faithful mode)."""

_ROWS = ("forwards", "backwards", "dead_gradients", "useful")
_SUMS = ("unmatched", "queries", "restart", "batch_size", "out_of_memory", "without_gradient", "_recompute")


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
        deadline: When it is over, neither the next piece of a query nor its gradient is computed any more.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        board: WitnessBoard,
        watch: Watch = "freeze",
        batch_size: int = 512,
        keep_rows: bool = False,
        deadline: Deadline | None = None,
    ) -> None:
        super().__init__()
        # Tools look for a parameter to learn the device from. The network itself is kept out of nn.Module's sight, so
        # that a tool's .train(), .eval() or .to() cannot reach it.
        self.anchor = nn.Parameter(torch.empty(0, device=board.clean.device), requires_grad=False)
        self._network: list[Callable[[Tensor], Tensor]] = [network]
        self.board, self.watch, self.batch_size, self.keep_rows = board, watch, batch_size, keep_rows
        self.deadline = deadline or Deadline()
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
        self._matcher = Matcher(board.clean, board.norm, board.epsilon, board.nearest_wins, board.masks)
        self._all = self._matcher.all
        self._standing: tuple[int, Tensor, Tensor | None] | None = None
        """Of the last answer of `_live`: the number of safe rows, the query's rows, and the answer."""
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits [m,K] of `images` [m,C,H,W]; differentiable where rows are still under attack.

        Raises:
            AllBroken: no sample is left to attack.
            Halted: the deadline passed.
        """
        self.deadline.check()
        query, self.queries = self.queries, self.queries + 1
        rows = self._matcher.rows_of(images)
        if rows is None:
            self.unmatched += len(images)
            return self._compute(images, _flat)
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
        known = self._standing
        if known is None or known[0] != self.board.n_safe or known[1] is not rows:  # rows only ever become safe
            live = (~self.board.safe[rows]).nonzero().squeeze(1)
            known = self._standing = self.board.n_safe, rows, live if len(live) < len(rows) else None
        return known[2]

    def _partial(self, images: Tensor, rows: Tensor, live: Tensor, query: int) -> Tensor:
        """Logits of a query of which only the `live` positions are computed."""
        assert self._last is not None  # else `_live` says that all rows need the network
        logits = self._last[rows]  # advanced indexing: a fresh tensor, which tools may write into
        if not len(live):  # only samples already broken: keep the graph alive for tools that differentiate anyway
            return logits + images.sum() * 0 if images.requires_grad and torch.is_grad_enabled() else logits
        mine = live if rows is self._all else rows[live]
        if self.keep_rows:  # which rows go through the network is all that it changes
            asked, computed = images.detach()[live], self._counted(images, rows)[live]
        else:
            picked = images.index_select(0, live)  # whose backward is much cheaper than that of images[live]
            asked, computed = picked.detach(), self._counted(picked, mine)
        self._judge(asked, mine, computed, query)
        return logits.index_copy(0, live, computed)

    def _judge(self, images: Tensor, rows: Tensor, logits: Tensor, query: int) -> None:
        answers = self.board.reference.logits(images.detach()) if self.asks_reference else logits.detach()
        wrong = self.board.broken(answers.argmax(1), rows).nonzero().squeeze(1)
        if len(wrong):
            self.board.offer(images.detach()[wrong], rows[wrong], QUERY, query, self.restart)

    def _remember(self, rows: Tensor, logits: Tensor) -> None:
        if self._last is None:
            self._last = torch.zeros(len(self._all), logits.shape[1], dtype=logits.dtype, device=logits.device)
        if rows is self._all:
            self._last.copy_(logits.detach())
        else:
            self._last[rows] = logits.detach()

    def _counted(self, images: Tensor, rows: Tensor) -> Tensor:
        """Forward with the counts of forwards and, once a gradient comes back, backwards."""
        asks = images.requires_grad and torch.is_grad_enabled()
        logits = self._compute(images, lambda gradient: self._count_dead(gradient, rows))
        self.without_gradient |= asks and not logits.requires_grad
        self._add(self.forwards, rows)
        if logits.requires_grad:
            logits.register_hook(lambda _grad: self._add(self.backwards, rows))
        return logits

    def _add(self, counts: Tensor, rows: Tensor, which: Tensor | None = None) -> None:
        """Add 1 to the counts of `rows` [m], of which one may come more than once; of those in `which`, bool [m]."""
        if rows is self._all:
            counts += 1 if which is None else which
        else:
            counts.index_add_(0, rows, torch.ones_like(rows) if which is None else which.to(counts.dtype))

    def _count_dead(self, gradient: Tensor | None, rows: Tensor) -> Tensor | None:
        if gradient is None:
            self.without_gradient = True
            return None
        flat = gradient.detach().flatten(1)
        low, high = flat.amin(1), flat.amax(1)  # a tenth of the time of vector_norm; NaN is NaN in both
        alive = ((low < 0) | (high > 0)) & (low > -torch.inf) & (high < torch.inf)
        self.useful += (alive & ~self.board.safe[rows]).sum() if self.board.n_safe else alive.sum()
        self._add(self.dead_gradients, rows, ~alive)
        return _flat(gradient)

    def _compute(self, images: Tensor, seen: Callable[[Tensor | None], Tensor | None]) -> Tensor:
        """The network in pieces of `batch_size` rows; out of memory, halves the pieces and goes on.

        After the first such event pieces are recomputed in the backward pass, so that activations of one piece at a
        time are held; the arithmetic of a piece is the same. The gradient that comes back goes through `seen`.
        """
        if images.requires_grad and torch.is_grad_enabled():
            images = images.view_as(images)  # of this query alone: tools ask about the same tensor again
            images.register_hook(seen)
        images = images.to(torch.float32)
        while True:
            try:
                if len(images) <= self.batch_size:
                    return self._piece(images)
                return torch.cat([self._piece(piece) for piece in images.split(self.batch_size)])
            except Exception as error:
                if not is_out_of_memory(error) or not self.shrink(len(images)):
                    raise

    def _piece(self, piece: Tensor) -> Tensor:
        self.deadline.check()
        if self._recompute and piece.requires_grad and torch.is_grad_enabled():
            logits = plain(checkpoint(self._network[0], piece, use_reentrant=False))
        else:
            logits = plain(self._network[0](piece))
        if self.deadline.known and logits.requires_grad:
            logits.register_hook(lambda _gradient: self.deadline.check())
        return logits

    def state(self) -> dict[str, Any]:
        """Counts and last answers, between two calls of the tool."""
        kept: dict[str, Any] = {name: getattr(self, name).cpu().numpy() for name in _ROWS}
        kept |= {name: getattr(self, name) for name in _SUMS}
        return kept | {"last": None if self._last is None else self._last.cpu().numpy()}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Take up what `state` told of an observer of the same rows."""
        for name in _ROWS:
            getattr(self, name).copy_(torch.from_numpy(kept[name]))
        for name in _SUMS:
            setattr(self, name, kept[name])
        if kept["last"] is not None:
            self._last = torch.from_numpy(kept["last"]).to(self.forwards.device)

    def release(self) -> None:
        """Let go of images and logits; to be called when nothing is asked any more.

        Tools hold what they attack in reference cycles, which Python finds late, and by then many chunks would be held.
        """
        self._last = self._standing = None
        self._network.clear()
        del self.board, self._matcher

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
    closer = board.reach(images, torch.arange(len(images), device=images.device)) < board.distance
    rows = (closer if board.nearest_wins else ~board.safe).nonzero().squeeze(1)
    if len(rows):
        board.offer(images[rows], rows, RETURNED, -1, restart)
