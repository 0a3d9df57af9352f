"""All pairs in chunks of rows: the values of the matrix, in memory that grows with the batch."""

from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances as pml
from pytorch_metric_learning import reducers
from torch import Tensor

import nmloss
from benchmarks.losses import peak_megabytes
from nmloss import equations
from nmloss.tuples import all_pairs as chunked
from nmloss.tuples import builders


def embedded(count: int, size: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, size, generator=generator, dtype=torch.float64).requires_grad_()


def loop(points: Tensor, labels: Tensor, margin: Tensor) -> Tensor:
    """Eq. 1, pair by pair."""
    losses = []
    for i in range(len(points)):
        distances = [(points[i] - point).square().sum() for point in points]
        negatives = [d for d, label in zip(distances, labels, strict=True) if label != labels[i]]
        zero, terms = (0 * points).sum(), []
        for j, distance in enumerate(distances):
            if labels[j] == labels[i] and j != i:
                exponentials = [(distance + margin - negative).exp() for negative in negatives]
                terms.append(sum(exponentials, start=zero).log1p())
        losses.append(sum(terms, start=zero) / max(len(terms), 1))
    return torch.stack(losses)


def chunk_losses(points: Tensor, labels: Tensor, margin: Any, entries: int | None) -> Tensor:
    tuples = chunked.all_pairs(points, labels, entries)
    return equations.n_plus_one(tuples, margin)[tuples.inverse]


@pytest.mark.parametrize("entries", [1, 23, 3 * 23, 7 * 23, None])
@pytest.mark.parametrize("classes", [1, 3, 6, 40])
def test_chunks_of_any_size_match_the_loop(entries: int | None, classes: int) -> None:
    """23 rows, in chunks that do not divide them; some labels stand alone, one may be all."""
    points, margin = embedded(23), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(classes, (23,), generator=torch.Generator().manual_seed(0))
    weights = torch.linspace(-1, 2, 23, dtype=torch.float64)
    got, want = chunk_losses(points, labels, margin, entries), loop(points, labels, margin)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    gradients = [
        torch.autograd.grad((losses * weights).sum(), (points, margin), allow_unused=True)
        for losses in (got, want)
    ]
    for one, other in zip(*gradients, strict=True):
        expected = torch.zeros_like(one) if other is None else other
        torch.testing.assert_close(one, expected, rtol=1e-10, atol=1e-12)


def test_the_gradients_are_right() -> None:
    points, labels = embedded(11, 4), torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 3, 1, 1])
    margin = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda points, margin: chunk_losses(points, labels, margin, 33), (points, margin)
    )


@pytest.mark.parametrize(
    "labels",
    [
        torch.randint(29, (401,)),
        torch.randint(2, (401,)).bool(),
        torch.randint(29, (401,)) / 7,
        torch.randint(29, (401,)).half(),
        torch.randint(29, (401,)).to(torch.uint8),
        torch.arange(401) // 400,
        torch.zeros(401),
        torch.arange(401),
        [f"class {i % 31}" for i in range(401)],
    ],
)
@pytest.mark.parametrize(
    "distance",
    [
        None,
        pml.LpDistance(p=2, power=2, normalize_embeddings=False),
        nmloss.MahalanobisDistance(9, rank=5).double(),
    ],
)
@pytest.mark.parametrize(
    "reducer",
    [
        None,
        reducers.DoNothingReducer(),
        reducers.MultipleReducers({"loss": reducers.MeanReducer()}),
    ],
)
def test_a_batch_in_chunks_has_the_losses_of_the_matrix(
    labels: Any, distance: Any, reducer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels of all kinds, out of order; means, and losses of those tuples alone that count."""
    loss_fn = nmloss.NPlusOneTupletLoss(0.4, distance=distance, reducer=reducer, collect_stats=True)
    found = []
    for few in (0, 10**6):
        monkeypatch.setattr(builders, "FEW", few)
        embeddings = (embedded(401) / 2).detach().requires_grad_()
        loss = loss_fn(embeddings, labels)
        losses = loss["loss"]["losses"] if isinstance(loss, dict) else loss
        losses.sum().backward()
        stats = torch.tensor([loss_fn.positives_kept, loss_fn.tuples_with_loss])
        found.append((losses.detach(), embeddings.grad, stats))
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_far_apart_embeddings_do_not_overflow() -> None:
    points = (300 * embedded(330)).detach().float().requires_grad_()
    distance = pml.LpDistance(p=2, power=2, normalize_embeddings=False)
    loss = nmloss.NPlusOneTupletLoss(distance=distance)(points, torch.arange(330) % 11)
    loss.backward()
    assert torch.isfinite(loss)
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()


def test_without_waiting_the_whole_width_is_looked_through() -> None:
    """As on a GPU: the columns of a label are not asked for."""
    points, labels = embedded(23), torch.arange(23) % 4
    tuples = chunked.all_pairs(points, labels, 5 * 23)
    wide = tuple(chunk._replace(first=0, last=23) for chunk in tuples.chunks)
    assert wide != tuples.chunks
    object.__setattr__(tuples, "chunks", wide)
    got = equations.n_plus_one(tuples, 0.4)[tuples.inverse]
    torch.testing.assert_close(got, chunk_losses(points, labels, 0.4, None))


def test_half_precision_under_autocast_is_computed_in_float32() -> None:
    points, labels = embedded(330).detach().float(), torch.arange(330) % 11
    loss_fn, gradients = nmloss.NPlusOneTupletLoss(), []
    for enabled in (False, True):
        one = points.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss_fn(one, labels).backward()
        gradients.append(one.grad)
    torch.testing.assert_close(*gradients)


def test_memory_grows_with_the_batch_and_not_with_its_square() -> None:
    """Of 4 MB a float32 of all pairs at 1,024, of 64 MB at 4,096."""
    megabytes = {}
    for count in (1024, 2048, 4096):
        points = torch.randn(count, 16, requires_grad=True)
        labels = torch.arange(count) // 8

        def run(points: Tensor = points, labels: Tensor = labels) -> None:
            points.grad = None
            nmloss.NPlusOneTupletLoss()(points, labels).backward()

        run()
        megabytes[count] = peak_megabytes(run, "cpu")
    assert megabytes[4096] < 16
    assert megabytes[4096] < 2.2 * megabytes[2048]
