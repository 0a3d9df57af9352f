"""All pairs of a labelled batch, a chunk of rows of their matrix at a time."""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmloss.arguments import no_autocast
from nmloss.tuples.members import FAR, Rows
from nmloss.tuples.tuples import Tables, Tuples

# Entries of the matrix that a processor's caches hold, and that keep a GPU busy.
ENTRIES = {"cpu": 2**19, "other": 2**25}
CPU_ROWS = 128  # of one chunk: the pairs of one label are a band as wide


class Chunk(NamedTuple):
    """Rows of the matrix, and the columns outside of which they have no pair of one label."""

    start: int
    stop: int
    first: int
    last: int

    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.start, self.stop), slice(self.first, self.last)


@dataclass(frozen=True)
class AllPairs(Tuples):
    """The tuples of all pairs under the squared Euclidean distance, one label after another.

    Nothing larger than a chunk is held: there are no tables. Positives and negatives have one slot
    a tuple, True where it has any.

    Args:
        points: (B, D) in the order of the labels.
        labels: (B,) in order.
        counts: (B,) positives of each, at least 1.
        chunks: All rows.
    """

    points: Tensor
    labels: Tensor
    counts: Tensor
    chunks: tuple[Chunk, ...]

    def n_plus_one(self, margin: float | Tensor, sharpness: float | None = None) -> Tensor:
        """(B,) losses of Eq. 1; k times the distance is that of points sqrt(k) times as far."""
        k = 1.0 if sharpness is None else sharpness
        points = self.points if sharpness is None else self.points * k**0.5
        given = (points, k * margin, self.labels, self.counts, self.chunks)
        losses: Tensor = _NPlusOne.apply(*given)  # type: ignore[no-untyped-call]
        return losses if sharpness is None else losses / k

    def distances_to_center(self, weights: Tensor) -> Tables:
        raise NotImplementedError("a matrix of all pairs is never held")

    def distances_to_query(self) -> Tables:
        raise NotImplementedError("a matrix of all pairs is never held")


def all_pairs(points: Tensor, labels: Tensor, chunk: int | None = None) -> AllPairs:
    """The tuples of (B, D) points by their labels; waits for no device but the CPU.

    Args:
        points: As the distance takes them.
        labels: (B,) numbers.
        chunk: Entries of the matrix that are held at once; None for what suits the device.

    >>> all_pairs(torch.eye(3), torch.tensor([7, 5, 7]), chunk=4).chunks
    (Chunk(start=0, stop=1, first=0, last=1), Chunk(start=1, stop=2, first=1, last=3), \
Chunk(start=2, stop=3, first=1, last=3))
    """
    is_cpu, count = points.device.type == "cpu", len(points)
    ordered, order = (labels.double() if labels.is_floating_point() else labels.long()).sort()
    firsts = torch.searchsorted(ordered, ordered)
    lasts = torch.searchsorted(ordered, ordered, right=True)
    alike = lasts - firsts
    rows = max(1, (chunk or ENTRIES["cpu" if is_cpu else "other"]) // count)
    starts = [*range(0, count, min(rows, CPU_ROWS) if is_cpu else rows)]
    row_ends = [*itertools.pairwise([*starts, count])]
    column_ends = [(0, count)] * len(starts)
    if is_cpu:
        last_rows = [stop - 1 for _, stop in row_ends]
        column_ends = [*zip(firsts[starts].tolist(), lasts[last_rows].tolist(), strict=True)]
    return AllPairs(
        Rows((alike > 1)[:, None], points.dtype),
        Rows((alike < count)[:, None], points.dtype),
        False,
        points.index_select(0, order),
        ordered,
        (alike - 1).clamp_(min=1),
        tuple(Chunk(*rows, *columns) for rows, columns in zip(row_ends, column_ends, strict=True)),
        inverse=order.argsort(),
    )


class _NPlusOne(torch.autograd.Function):
    """Those of `AllPairs`, (B,); points and margin have a gradient.

    With m_i the soft minimum over the negatives of i, the derivative of its loss by D_ij is
    r_ij / M for one of M positives, r_ij = sigmoid(D_ij + tau - m_i), and -u_i exp(m_i - D_ij) for
    a negative, u_i the mean of r_ij. D is symmetric: one product gives the gradient of rows and of
    columns.
    """

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        margin: float | Tensor,
        labels: Tensor,
        counts: Tensor,
        chunks: tuple[Chunk, ...],
    ) -> Tensor:
        bounds, shares, losses = points.new_empty(3, len(points)).unbind()
        sides = _sides(points)
        for chunk in chunks:
            rows, columns = chunk.slices()
            closeness = _closeness(sides, rows)
            near, is_same = closeness[:, columns], labels[rows, None] == labels[columns]
            excess = margin - near
            near.masked_fill_(is_same, -FAR)
            top = closeness.amax(dim=1, keepdim=True)
            bound = closeness.sub_(top).exp_().sum(dim=1, keepdim=True).log_().add_(top).neg_()
            excess.sub_(bound).masked_fill_(~is_same, -torch.inf)
            excess.diagonal(chunk.start - chunk.first).fill_(-torch.inf)  # the query itself
            bounds[rows] = bound[:, 0]
            torch.sum(F.softplus(excess), dim=1, out=losses[rows])
            torch.sum(excess.sigmoid_(), dim=1, out=shares[rows])
        ctx.margin, ctx.chunks = margin, chunks
        ctx.save_for_backward(points, labels, counts, bounds, shares)
        return losses / counts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        points, labels, counts, bounds, shares = ctx.saved_tensors
        pulls = gradient / counts
        pushes, of_points, of_margin = pulls * shares, None, None
        if ctx.needs_input_grad[0]:
            of_points = torch.empty_like(points)
            with no_autocast(gradient):
                sides = _sides(points)
                for chunk in ctx.chunks:
                    table = _derivatives(sides, labels, chunk, ctx.margin, bounds, pulls, pushes)
                    own, rows = table.sum(dim=1, keepdim=True), chunk.slices()[0]
                    torch.mul(own * points[rows] - table @ points, 2, out=of_points[rows])
        if ctx.needs_input_grad[1]:
            of_margin = pushes.sum().reshape(ctx.margin.shape)
        return of_points, of_margin, None, None, None


def _derivatives(
    sides: tuple[Tensor, Tensor],
    labels: Tensor,
    chunk: Chunk,
    margin: float | Tensor,
    bounds: Tensor,
    pulls: Tensor,
    pushes: Tensor,
) -> Tensor:
    """(rows, B) of all losses by D_ij and by D_ji; what the diagonal holds has no part in it."""
    rows, columns = chunk.slices()
    closeness = _closeness(sides, rows)
    excess = margin - closeness[:, columns]
    table = (closeness + bounds[rows, None]).exp_().mul_(-pushes[rows, None])
    table.addcmul_(closeness.add_(bounds).exp_(), pushes, value=-1)
    pull = (excess - bounds[rows, None]).sigmoid_().mul_(pulls[rows, None])
    pull.addcmul_(excess.sub_(bounds[columns]).sigmoid_(), pulls[columns])
    near = table[:, columns]
    near.copy_(torch.where(labels[rows, None] == labels[columns], pull, near))
    return table


def _sides(points: Tensor) -> tuple[Tensor, Tensor]:
    """(2 f, -f.f, -1), (B, D + 2), and (f, 1, f.f), (D + 2, B): their product is -D."""
    squares = points.square().sum(dim=1, keepdim=True)
    ones = torch.ones_like(squares)
    left = torch.cat([2 * points, -squares, -ones], dim=1)
    return left, torch.cat([points.mT, ones.mT, squares.mT])


def _closeness(sides: tuple[Tensor, Tensor], rows: slice) -> Tensor:
    """-D, (rows, B)."""
    closeness: Tensor = sides[0][rows] @ sides[1]
    return closeness.clamp_(max=0)
