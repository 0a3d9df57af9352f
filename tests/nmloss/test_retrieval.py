"""Retrieval scores: a loop from the definitions, PML's calculator, chunks, ties, two processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pytorch_metric_learning import distances as pml
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from torch import Tensor

from nmloss import MahalanobisDistance, RetrievalScores, retrieval_scores
from nmloss.retrieval.nearness import on_grid
from tests.nmloss.gloo import gloo

KS = (1, 3, 1000)
DISTANCES: dict[str, Callable[[], Any]] = {
    "normalised": lambda: None,
    "euclidean": lambda: pml.LpDistance(normalize_embeddings=False),
    "city block": lambda: pml.LpDistance(p=1, normalize_embeddings=False),
    "falling": lambda: pml.LpDistance(power=-1),
    "cosine": pml.CosineSimilarity,
    "product": lambda: pml.DotProductSimilarity(normalize_embeddings=False),
    "signal to noise": pml.SNRDistance,
    "mahalanobis": lambda: mahalanobis(),
}


def mahalanobis() -> MahalanobisDistance:
    torch.manual_seed(5)
    return MahalanobisDistance(6, rank=3, normalize_embeddings=False)


def clusters(count: int, seed: int, classes: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, labels and identities; of few values, so that many are equally near."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    identities = torch.randint(5, (count,), generator=generator)
    noise = torch.randint(-2, 3, (count, 6), generator=generator)
    centers = torch.randint(-2, 3, (classes, 6), generator=torch.Generator().manual_seed(0))
    return (centers[labels] + noise + 0.5).float(), labels, identities


def far(distance: Any, query: Tensor, reference: Tensor) -> float:
    """How far by the distance's own word, without the rounding that splits ties."""
    distance = pml.LpDistance(power=2) if distance is None else distance
    pair = [distance.maybe_normalize(side[None].double())[0] for side in (query, reference)]
    if distance.is_inverted:
        found = pair[0] @ pair[1]
    elif isinstance(distance, MahalanobisDistance):
        found = (distance.map.detach().double() @ (pair[0] - pair[1])).square().sum()
    else:
        found = torch.linalg.vector_norm(pair[0] - pair[1], distance.p) ** distance.power
    return round((-1 if distance.is_inverted else 1) * float(found), 5)


def loop(distance: Any, queries: Any, references: Any, owners: tuple[Any, Any]) -> RetrievalScores:
    """The definitions, query by query; of equally near references the wrong ones come first."""
    rows, lone = [], 0
    for query, label, owner in zip(*queries, owners[0], strict=True):
        found = sorted(
            (far(distance, query, reference), other == label)
            for reference, other, its in zip(*references, owners[1], strict=True)
            if its != owner
        )
        hits = [bool(is_right) for _, is_right in found]
        total = sum(hits)
        if total == 0:
            lone += 1
            continue
        precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(total) if hits[i]]
        recalls = [any(hits[:k]) for k in KS]
        rows.append([sum(precisions) / total, sum(hits[:total]) / total, *recalls])
    means = np.mean(np.array(rows, dtype=float), axis=0).tolist()
    recall = dict(zip(KS, means[2:], strict=True))
    return RetrievalScores(recall, means[0], means[1], len(rows), lone)


def assert_same(found: RetrievalScores, wanted: RetrievalScores, within: float = 1e-12) -> None:
    assert (found.queries, found.left_out) == (wanted.queries, wanted.left_out)
    assert found.recall == pytest.approx(wanted.recall, abs=within)
    assert found.map_at_r == pytest.approx(wanted.map_at_r, abs=within)
    assert found.r_precision == pytest.approx(wanted.r_precision, abs=within)


@pytest.mark.parametrize("name", sorted(DISTANCES.keys() - {"signal to noise", "falling"}))
def test_scores_among_themselves_are_those_of_the_loop(name: str) -> None:
    distance, (embeddings, labels, _) = DISTANCES[name](), clusters(60, 1, classes=40)
    numbers = range(len(labels))
    wanted = loop(distance, (embeddings, labels), (embeddings, labels), (numbers, numbers))
    assert wanted.left_out > 0
    assert_same(retrieval_scores(embeddings, labels, distance=distance, k=KS), wanted)


@pytest.mark.parametrize("name", ["normalised", "euclidean", "product", "mahalanobis"])
@pytest.mark.parametrize("is_among_themselves", [True, False])
def test_those_of_the_own_identity_are_left_out(name: str, is_among_themselves: bool) -> None:
    distance = DISTANCES[name]()
    queries, labels, identities = clusters(40, 1)
    references, ref_labels, ref_identities = clusters(50, 2)
    if is_among_themselves:
        references, ref_labels, ref_identities = queries, labels, identities
    wanted = loop(
        distance, (queries, labels), (references, ref_labels), (identities, ref_identities)
    )
    texts = [f"person {number}" for number in identities]
    ref_texts = np.array([f"person {number}" for number in ref_identities])
    others: tuple[Any, ...] = () if is_among_themselves else (references, ref_labels.numpy())
    found = retrieval_scores(
        queries,
        labels.tolist(),
        *others,
        query_identities=texts,
        reference_identities=None if is_among_themselves else ref_texts,
        distance=distance,
        k=KS,
    )
    assert_same(found, wanted)


@pytest.mark.parametrize("name", ["normalised", "euclidean", "city block", "cosine", "product"])
@pytest.mark.parametrize("chunk_size", [1, 2, 7, 64])
def test_neither_chunks_nor_the_order_of_references_change_a_score(
    name: str, chunk_size: int
) -> None:
    distance = DISTANCES[name]()
    queries, references = clusters(30, 1), clusters(70, 2)
    wanted = retrieval_scores(*queries[:2], *references[:2], distance=distance, k=KS)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(3))
    shuffled = [part[order] for part in references[:2]]
    found = retrieval_scores(
        *queries[:2], *shuffled, distance=distance, k=KS, chunk_size=chunk_size
    )
    assert_same(found, wanted)


@pytest.mark.parametrize("size", [1, 3, 64, 100, 512])
def test_products_on_the_grid_are_exact(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    left, right = (torch.randn(50, size, generator=generator) for _ in range(2))
    left[0], right[0] = 1e-30, 3e20
    order = torch.randperm(size, generator=generator)
    gridded = on_grid(left), on_grid(right)
    products = gridded[0] @ gridded[1].mT
    assert torch.equal(products, gridded[0][:, order] @ gridded[1][:, order].mT)
    assert torch.equal(products[:3, :5], gridded[0][:3] @ gridded[1][:5].mT)
    largest = left.abs().amax(dim=1, keepdim=True)
    bits = (53 - int(np.ceil(np.log2(size)))) // 2
    assert ((gridded[0] - left).abs() <= largest * 2.0**-bits).all()


def test_a_collapsed_network_finds_nothing() -> None:
    labels = torch.arange(100) % 2
    for chunk_size in (3, 100):
        found = retrieval_scores(torch.ones(100, 8), labels, chunk_size=chunk_size)
        assert found == RetrievalScores({1: 0.0}, 0.0, 0.0, 100, 0)


def test_embeddings_far_from_the_origin_keep_their_neighbours() -> None:
    embeddings, labels, _ = clusters(80, 1)
    distance = DISTANCES["euclidean"]()
    wanted = retrieval_scores(embeddings, labels, distance=distance, k=KS)
    moved = retrieval_scores(embeddings.double() + 1e7, labels, distance=distance, k=KS)
    assert_same(moved, wanted)


def test_a_vector_of_zeros_is_as_far_as_pml_says() -> None:
    """Normalised it stays 0, at distance 1 from all others: nearer than those across."""
    embeddings = torch.tensor([[2.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [-1.0, 0.1]])
    found = retrieval_scores(embeddings[:1], [1], embeddings[1:], [1, 0, 0])
    assert found.recall == {1: 1.0}


class InFull(CustomKNN):  # type: ignore[misc]
    """PML's search in float64: what it rounds in float32 has neighbours change places."""

    def __call__(self, query: Tensor, k: int, reference: Tensor, *is_included: bool) -> Any:
        return super().__call__(query.double(), k, reference.double(), *is_included)


def by_pml(distance: Any, *arguments: Tensor) -> RetrievalScores:
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r", "r_precision"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=InFull(pml.LpDistance() if distance is None else distance),
    )
    found = calculator.get_accuracy(*arguments)
    scores = (found["mean_average_precision_at_r"], found["r_precision"])
    return RetrievalScores({1: found["precision_at_1"]}, *scores, len(arguments[0]), 0)


@pytest.mark.parametrize("name", ["normalised", "euclidean", "cosine", "product"])
@pytest.mark.parametrize("is_among_themselves", [True, False])
def test_scores_of_5000_are_those_of_pml(name: str, is_among_themselves: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(5000) % 50
    centers = torch.randn(50, 64, generator=generator)
    embeddings = 2 * torch.randn(5000, 64, generator=generator) + centers[labels]
    arguments = (embeddings, labels)
    if not is_among_themselves:
        arguments = (embeddings[:1000], labels[:1000], embeddings[1000:], labels[1000:])
    distance = DISTANCES[name]()
    wanted = by_pml(distance, *arguments)
    assert 0.1 < wanted.recall[1] < 0.9
    # At 23 bits a few of the 25,000,000 pairs are as far as others that are not in 53.
    assert_same(retrieval_scores(*arguments, distance=distance), wanted, within=1e-7)


@pytest.mark.parametrize("name", ["city block", "falling", "signal to noise"])
def test_any_distance_gives_the_scores_of_pml(name: str) -> None:
    embeddings = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.arange(300) % 5
    distance = DISTANCES[name]()
    found = retrieval_scores(embeddings, labels, distance=distance, chunk_size=64)
    if name == "falling":  # PML takes the smallest, which are the farthest
        assert found.recall[1] < 0.3
    assert_same(found, by_pml(distance, embeddings, labels), within=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_count_as_their_values(dtype: torch.dtype) -> None:
    embeddings, labels, _ = clusters(50, 1)
    wanted = retrieval_scores(embeddings, labels, k=KS)  # small halves: the same in all
    assert_same(retrieval_scores(embeddings.to(dtype), labels, k=KS), wanted)


def test_no_gradient_is_asked_for_and_autocast_does_not_round() -> None:
    embeddings, labels, _ = clusters(50, 1)
    distance = mahalanobis()
    wanted = retrieval_scores(embeddings, labels, distance=distance, k=KS)
    with torch.autocast("cpu"):
        found = retrieval_scores(embeddings.requires_grad_(), labels, distance=distance, k=KS)
    assert_same(found, wanted)


POINTS, LABELS = torch.eye(4), [0, 0, 1, 1]
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (
        lambda: retrieval_scores(POINTS / POINTS[:1].flip(0), LABELS),
        "queries: 4 of 4 embeddings .* NaN, infinite .* the first at 0",
    ),
    "infinite reference": (
        lambda: retrieval_scores(POINTS, LABELS, POINTS.diag().log().neg() / POINTS, LABELS),
        "references: 4 of 4 embeddings",
    ),
    "length": (lambda: retrieval_scores(POINTS, [0, 1, 0]), "query_labels: 3 for 4 embeddings"),
    "length of references": (
        lambda: retrieval_scores(POINTS, LABELS, POINTS, [1]),
        "reference_labels: 1 for 4 embeddings",
    ),
    "no labels": (lambda: retrieval_scores(POINTS, LABELS, POINTS), "reference_labels: needed"),
    "no references": (
        lambda: retrieval_scores(POINTS, LABELS, None, LABELS),
        "reference_labels: given without references",
    ),
    "half of the identities": (
        lambda: retrieval_scores(POINTS, LABELS, POINTS, LABELS, query_identities=LABELS),
        "reference_identities: needed",
    ),
    "missing label": (lambda: retrieval_scores(POINTS, [0, None, 1, 1]), "query_labels: 1 are mis"),
    "two kinds": (
        lambda: retrieval_scores(POINTS, LABELS, POINTS, list("aabb")),
        "query_labels and reference_labels: they must be of one kind",
    ),
    "alone": (lambda: retrieval_scores(POINTS, range(4)), "none of the 4 queries has a right ref"),
    "alone across identities": (
        lambda: retrieval_scores(POINTS, LABELS, query_identities=LABELS),
        "with its label and of another identity",
    ),
    "nobody": (lambda: retrieval_scores(POINTS[:0], []), "none of the 0 queries"),
    "sizes": (
        lambda: retrieval_scores(POINTS, LABELS, POINTS[:, :3], LABELS),
        r"references of shape \(4, 3\)",
    ),
    "k": (lambda: retrieval_scores(POINTS, LABELS, k=0), "k=0: at least 1"),
    "no k": (lambda: retrieval_scores(POINTS, LABELS, k=()), "k: needed is one"),
    "chunk": (lambda: retrieval_scores(POINTS, LABELS, chunk_size=0), "chunk_size=0"),
    "distance": (
        lambda: retrieval_scores(POINTS, LABELS, distance=torch.cdist),  # type: ignore[arg-type]
        "distance: needed is one of pytorch-metric-learning",
    ),
    "size of the distance": (
        lambda: retrieval_scores(POINTS, LABELS, distance=MahalanobisDistance(3)),
        "queries of size 4, but the distance was made with embedding_size=3",
    ),
    "distance that is NaN": (
        lambda: retrieval_scores(0 * POINTS, LABELS, distance=pml.SNRDistance()),
        "distance: SNRDistance of some embeddings is NaN",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_refused_by_name(name: str) -> None:
    call, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message):
        call()


SHARES = {"halves": (15, 30), "all queries there": (0, 65), "nothing there": (40, 70)}
VARIANTS = ("labels", "identities", "themselves", "themselves, identities")


def scores_of(variant: str, queries: slice, references: slice, **options: Any) -> RetrievalScores:
    own, others = clusters(40, 1), clusters(70, 2)
    texts = [[f"{number}" for number in part[2]] for part in (own, others)]
    if "identities" in variant:
        options["query_identities"] = texts[0][queries]
    if "themselves" in variant:
        return retrieval_scores(own[0][queries], own[1][queries], k=KS, **options)
    if "identities" in variant:
        options["reference_identities"] = texts[1][references]
    parts = own[0][queries], own[1][queries], others[0][references], others[1][references]
    return retrieval_scores(*parts, k=KS, **options)


REFUSED: dict[str, Callable[[int], Any]] = {
    "process 1: queries: 1 of 4 embeddings": lambda rank: retrieval_scores(
        POINTS + torch.tensor([torch.nan if rank else 0.0, 0, 0, 0]).diag(),
        LABELS,
        group=dist.group.WORLD,
    ),
    "chunk_size: 7 in process 0, 8 in process 1": lambda rank: retrieval_scores(
        POINTS, LABELS, chunk_size=7 + rank, group=dist.group.WORLD
    ),
    "labels: they must be of one kind": lambda rank: retrieval_scores(
        POINTS, list("aabb") if rank else LABELS, group=dist.group.WORLD
    ),
    "none of the 8 queries has a right": lambda rank: retrieval_scores(
        POINTS, [4 * rank + place for place in range(4)], group=dist.group.WORLD
    ),
}


def work(rank: int, folder: str) -> None:
    with gloo(rank, folder):
        results: dict[str, Any] = {}
        for name, ends in SHARES.items():
            own = [slice(0, end) if rank == 0 else slice(end, None) for end in ends]
            for variant in VARIANTS:
                found = scores_of(variant, own[0], own[1], chunk_size=16, group=dist.group.WORLD)
                results[f"{name}, {variant}"] = tuple(found)
        for message, call in REFUSED.items():
            with pytest.raises(ValueError, match=message):
                call(rank)
        alone = retrieval_scores(POINTS, LABELS) if rank == 0 else None  # nobody waits
        results["alone"] = alone and tuple(alone)
        torch.save(results, f"{folder}/{rank}")


def test_two_processes_give_the_scores_of_one_whatever_their_shares(tmp_path: Path) -> None:
    mp.spawn(work, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    found = [torch.load(tmp_path / str(rank)) for rank in range(2)]
    everything = slice(None)
    for name in SHARES:
        for variant in VARIANTS:
            wanted = scores_of(variant, everything, everything)
            for of_rank in found:
                assert_same(RetrievalScores(*of_rank[f"{name}, {variant}"]), wanted)
    assert found[0]["alone"] == tuple(retrieval_scores(POINTS, LABELS))
