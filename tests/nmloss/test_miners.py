"""The miners against loops that are written from their definitions."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import distances, losses, miners
from torch import Tensor

import nmloss
from nmloss import IdentityAwareMiner, MinedIndices, OnlinePositiveMiner, tuple_indices

Q, M, N, D = 16, 3, 2, 8
SIZE, REFERENCES = Q * (M + N), 40
Pairs = list[tuple[int, int]]


def draw(size: int = SIZE, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, D, generator=generator, dtype=torch.float64, requires_grad=True)


def choice(high: int, size: int = SIZE, seed: int = 0) -> Tensor:
    return torch.randint(high, (size,), generator=torch.Generator().manual_seed(seed))


def listed(*indices: Tensor) -> Pairs:
    return list(zip(*(index.tolist() for index in indices), strict=True))


def identity_loop(
    labels: Tensor, people: Tensor, ref_labels: Tensor, ref_people: Tensor
) -> tuple[Pairs, Pairs]:
    """Liu et al. 2017, Sec. 3; a label is lacking where no reference shows the person with it."""
    positive, negative = [], []
    references = listed(ref_labels, ref_people)
    for q, (label, person) in enumerate(listed(labels, people)):
        own = {y for y, who in references if who == person}
        lenders = {who for y, who in references if y == label and who != person}
        for r, (y, who) in enumerate(references):
            if y == label and who != person:
                positive.append((q, r))
            if y != label and (who == person or (y not in own and who in lenders)):
                negative.append((q, r))
    return positive, negative


@pytest.mark.parametrize(
    ("size", "kinds", "persons"), [(1, 1, 1), (9, 3, 2), (30, 4, 8), (60, 7, 25)]
)
@pytest.mark.parametrize("references", [None, 50])
def test_the_identity_aware_pairs_are_those_of_the_loop(
    size: int, kinds: int, persons: int, references: int | None
) -> None:
    """With 25 persons and 7 labels most of them lack most: their negatives are borrowed."""
    labels, people = choice(kinds, size), choice(persons, size, 1)
    ref_labels, ref_people, options = labels, people, {}
    arguments: tuple[Any, ...] = ()
    if references:
        ref_labels, ref_people = choice(kinds, references, 2), choice(persons, references, 3)
        arguments = (draw(references), ref_labels)
        options = {"ref_identities": ref_people}
    a1, p, a2, n = IdentityAwareMiner()(
        draw(size), labels, *arguments, identities=people, **options
    )
    expected = identity_loop(labels, people, ref_labels, ref_people)
    assert (sorted(listed(a1, p)), sorted(listed(a2, n))) == expected


@pytest.mark.parametrize("distance", [None, distances.CosineSimilarity()])
@pytest.mark.parametrize("keep", ["nearest", "farthest", "random"])
def test_a_cap_keeps_the_right_number_and_the_right_ones(
    keep: Any, distance: distances.BaseDistance | None
) -> None:
    labels, people, embeddings = choice(3), choice(12, seed=1), draw()
    options = {"distance": distance} if distance else {}
    of_all = [set(x) for x in identity_loop(labels, people, labels, people)]
    points = F.normalize(embeddings.detach())
    far = torch.cdist(points, points)
    for side, limit, caps in (
        (0, 4, {"max_positives": 4, "keep_positives": keep}),
        (1, 3, {"max_negatives": 3, "keep_negatives": keep}),
    ):
        mined = IdentityAwareMiner(**caps, **options)(embeddings, labels, identities=people)
        pairs = listed(*mined[2 * side : 2 * side + 2])
        for query in range(SIZE):
            possible = sorted((far[q, r].item(), r) for q, r in of_all[side] if q == query)
            if keep == "farthest":
                possible.reverse()
            kept = {r for q, r in pairs if q == query}
            if side and keep == "random":
                assert len(kept) == min(limit, len(possible))
            assert len([q for q, _ in pairs if q == query]) == len(kept)
            assert kept <= {r for _, r in possible}
            if keep != "random":
                assert kept == {r for _, r in possible[:limit]}


def test_a_random_cap_draws_anew() -> None:
    miner = IdentityAwareMiner(max_positives=2, keep_positives="random")
    draws = {tuple(miner(draw(), choice(2), identities=torch.arange(SIZE))[1]) for _ in range(3)}
    assert len(draws) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("keep", ["nearest", "farthest"])
def test_half_precision_is_mined_as_float32(keep: Any, dtype: torch.dtype) -> None:
    half, labels, people = draw().detach().to(dtype), choice(3), choice(12, seed=1)
    capped = IdentityAwareMiner(max_positives=2, keep_positives=keep, max_negatives=2)
    for miner, options in ((capped, {"identities": people}), (OnlinePositiveMiner(), {})):
        mined = miner(half, labels, **options)
        assert all(map(torch.equal, mined, miner(half.float(), labels, **options)))


def test_the_identity_aware_pairs_serve_losses_of_pml_and_ours() -> None:
    labels, people, embeddings = choice(3, 30), choice(6, 30, seed=1), draw(30)
    pairs = IdentityAwareMiner()(embeddings, labels, identities=people)
    positive, negative = identity_loop(labels, people, labels, people)
    points = F.normalize(embeddings)
    far = torch.cdist(points, points)
    pull = torch.stack([far[pair] for pair in positive])
    push = torch.stack([(1 - far[pair]).relu() for pair in negative])
    contrast = losses.ContrastiveLoss()(embeddings, labels, pairs)
    torch.testing.assert_close(contrast, pull.mean() + push[push > 0].mean())
    hinges = torch.stack(
        [(far[q, p] - far[a, n] + 0.05).relu() for q, p in positive for a, n in negative if a == q]
    )
    triplet = losses.TripletMarginLoss()(embeddings, labels, pairs)
    torch.testing.assert_close(triplet, hinges[hinges > 0].mean())
    tuples = [
        nmloss.functional.nm_tuple_clusters_loss(
            points[[query] + [p for q, p in positive if q == query]][None],
            points[[n for q, n in negative if q == query]][None],
        )
        for query in range(30)
        if any(q == query for q, _ in positive + negative)
    ]
    ours = nmloss.NMTupleClustersLoss()(embeddings, labels, pairs)
    torch.testing.assert_close(ours, torch.cat(tuples).mean())


def algorithm_1(
    indices: Any, embeddings: Tensor, references: Tensor | None = None
) -> tuple[set[tuple[int, int]], list[bool]]:
    """The positive pairs that stay, and whether each query is in its own cluster."""
    points = F.normalize(embeddings)
    others = points if references is None else F.normalize(references)
    a1, p, a2, n = indices if len(indices) == 4 else (*indices[:2], indices[0], indices[2])
    positives, negatives = set(listed(a1, p)), set(listed(a2, n))
    pairs, keeps_query = set(), []
    for query in range(len(points)):
        positive = sorted(r for q, r in positives if q == query)
        negative = sorted(r for q, r in negatives if q == query)
        members = torch.cat([points[query][None], others[positive]])
        center = members.mean(dim=0)
        far = (members - center).square().sum(dim=1)
        near = (others[negative] - center).square().sum(dim=1)
        kept = far <= min(near, default=torch.tensor(torch.inf))
        if not kept.any():
            kept = far <= far.min() * (1 + 1e-4)
        keeps_query.append(bool(kept[0]))
        pairs |= {(query, r) for r, stays in zip(positive, kept[1:], strict=True) if stays}
    return pairs, keeps_query


def in_layout(*_: Any) -> nmloss.TupleIndices:
    return tuple_indices(Q, M, N)


def in_pairs(*_: Any) -> tuple[Tensor, ...]:
    return tuple(in_layout())


def in_many_pairs(*_: Any) -> tuple[Tensor, ...]:
    return tuple(index.repeat(30) for index in in_layout())


def few_references(*_: Any) -> tuple[Tensor, ...]:
    # Eight queries; positives among the first twenty references, negatives among the others.
    return (choice(8, 30, 4), choice(20, 30, 5), choice(8, 30, 6), 20 + choice(20, 30, 7))


def many_references(*_: Any) -> tuple[Tensor, ...]:
    return tuple(index.repeat(30) for index in few_references())


BASES: dict[str, tuple[Callable[..., Any] | None, bool]] = {  # and whether there are references
    "all pairs": (None, False),
    "identities": (IdentityAwareMiner(), False),
    "similarity": (miners.MultiSimilarityMiner(), False),
    "triplets": (miners.TripletMarginMiner(), False),
    "layout": (in_layout, False),
    "few pairs": (in_pairs, False),
    "many pairs": (in_many_pairs, False),
    "references": (None, True),
    "few references": (few_references, True),
    "many references": (many_references, True),
    "identities of references": (IdentityAwareMiner(), True),
}
all_bases = pytest.mark.parametrize("base", BASES)


def given(base: str) -> tuple[tuple[Any, ...], dict[str, Tensor]]:
    """Arguments of the miner: references, identities."""
    miner, has_references = BASES[base]
    options = {}
    if isinstance(miner, IdentityAwareMiner):
        options = {"identities": choice(12, seed=1)}
        if has_references:
            options["ref_identities"] = choice(12, REFERENCES, 3)
    references = (draw(REFERENCES, 1).detach(), choice(4, REFERENCES, 2))
    return (draw(), choice(4), *(references if has_references else ())), options


def base_indices(base: str) -> Any:
    arguments, options = given(base)
    miner = BASES[base][0]
    return miner and miner(*arguments, **options)


@all_bases
def test_the_pairs_and_the_queries_that_stay_are_those_of_the_loop(base: str) -> None:
    (embeddings, labels, *references), options = given(base)
    mined = OnlinePositiveMiner(BASES[base][0])(embeddings, labels, *references, **options)
    indices = base_indices(base)
    if indices is None:
        same = labels[:, None] == (references[1] if references else labels)
        is_self = torch.eye(SIZE).bool() if not references else torch.zeros_like(same)
        indices = (*torch.where(same & ~is_self), *torch.where(~same))
    pairs, keeps_query = algorithm_1(indices, embeddings, *references[:1])
    assert set(listed(*mined[:2])) == pairs
    assert mined.keeps_query.tolist() == keeps_query
    assert len(pairs) < len(set(listed(*indices[:2])))
    negatives = indices[-2:] if len(indices) == 4 else (indices[0], indices[2])
    assert set(listed(*mined[2:])) == set(listed(*negatives))


LOSSES: dict[str, Callable[[], Any]] = {
    "fixed": nmloss.NMTupleClustersLoss,
    "adaptive": lambda: nmloss.AdaptiveNMTupleClustersLoss(D, rank=6),
    "manhattan": lambda: nmloss.NMTupleClustersLoss(distance=distances.LpDistance(p=1)),
    "cosine": lambda: nmloss.NMTupleClustersLoss(-0.5, distance=distances.CosineSimilarity()),
    "learned": lambda: nmloss.NMTupleClustersLoss(distance=nmloss.MahalanobisDistance(D)),
}


@all_bases
@pytest.mark.parametrize("name", LOSSES)
def test_mined_pairs_give_exactly_the_loss_that_mines_by_itself(name: str, base: str) -> None:
    torch.manual_seed(0)
    loss_fn, first = LOSSES[name]().double(), BASES[base][0]
    for weight in loss_fn.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    (embeddings, labels, *references), options = given(base)
    expected = loss_fn(embeddings, labels, base_indices(base), *references)
    loss_fn.mine_positives = False
    alike = [OnlinePositiveMiner(first, loss=loss_fn)]
    if name == "fixed":
        alike.append(OnlinePositiveMiner(first))
    elif name != "adaptive":
        alike.append(OnlinePositiveMiner(first, distance=loss_fn.distance))
    unmined = loss_fn(embeddings, labels, base_indices(base), *references)
    assert not torch.isclose(unmined, expected)
    sources = [embeddings, *loss_fn.parameters()]
    wanted = torch.autograd.grad(expected, sources)
    for miner in alike:
        mined = miner(embeddings, labels, *references, **options)
        loss = loss_fn(embeddings, labels, mined, *references)
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(torch.autograd.grad(loss, sources), wanted)


@pytest.mark.parametrize("loss_fn", [losses.ContrastiveLoss(), losses.TripletMarginLoss()])
def test_mined_indices_are_a_4_tuple_to_pml(loss_fn: losses.BaseMetricLossFunction) -> None:
    embeddings, labels = draw(), choice(4)
    mined = OnlinePositiveMiner()(embeddings, labels)
    a1, p, a2, n = mined
    assert torch.equal(
        loss_fn(embeddings, labels, mined), loss_fn(embeddings, labels, (a1, p, a2, n))
    )
    assert loss_fn(embeddings, labels, mined) != loss_fn(embeddings, labels)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda mined: pickle.loads(pickle.dumps(mined))]
)
def test_mined_indices_survive_pickling_and_copying(again: Callable[[Any], Any]) -> None:
    mined = OnlinePositiveMiner()(draw(), choice(4))
    same = again(mined)
    assert isinstance(same, MinedIndices)
    torch.testing.assert_close((*same, same.keeps_query), (*mined, mined.keeps_query))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: IdentityAwareMiner(max_positives=0), "max_positives=0"),
        (lambda: IdentityAwareMiner(max_negatives=-1), "max_negatives=-1"),
        (lambda: IdentityAwareMiner(keep_positives="x"), "keep_positives='x'"),  # type: ignore[arg-type]
        (lambda: IdentityAwareMiner(keep_negatives="x"), "keep_negatives='x'"),  # type: ignore[arg-type]
        (lambda: IdentityAwareMiner()(draw(), choice(4)), "identities"),
        (
            lambda: IdentityAwareMiner()(draw(), choice(4), identities=choice(4, 3)),
            r"of shape \(3,\)",
        ),
        (
            lambda: IdentityAwareMiner()(
                draw(), choice(4), draw(), choice(4), identities=choice(4)
            ),
            "ref_identities",
        ),
        (
            lambda: IdentityAwareMiner()(
                draw(),
                choice(4),
                draw(9),
                choice(4, 9),
                identities=choice(4),
                ref_identities=choice(4),
            ),
            rf"ref_identities of shape \({SIZE},\) for 9",
        ),
        (lambda: OnlinePositiveMiner(loss=nmloss.NPlusOneTupletLoss()), "loss=NPlusOneTupletLoss"),
        (lambda: OnlinePositiveMiner(loss=losses.ContrastiveLoss()), "loss=ContrastiveLoss"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
