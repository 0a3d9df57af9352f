"""Miners one after the other, against loops; and pairs by any function of two labels."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_metric_learning import distances, losses, miners
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_triplets_indices
from torch import Tensor

import nmloss
from nmloss import ChainedMiner, IdentityAwareMiner, LabelMatch, OnlinePositiveMiner

B, R, D = 40, 30, 8
Pairs = set[tuple[int, ...]]
L2 = distances.LpDistance()


def draw(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, D, generator=torch.Generator().manual_seed(seed))


def choice(high: int, size: int, seed: int = 0) -> Tensor:
    return torch.randint(high, (size,), generator=torch.Generator().manual_seed(seed))


EMBEDDINGS, REFERENCES = draw(B), draw(R, 1)
LABELS, REF_LABELS = choice(4, B), choice(4, R, 1)
PEOPLE, REF_PEOPLE = choice(6, B, 2), choice(6, R, 3)
BATCHES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "itself": ((EMBEDDINGS, LABELS), {"identities": PEOPLE}),
    "references": (
        (EMBEDDINGS, LABELS, REFERENCES, REF_LABELS),
        {"identities": PEOPLE, "ref_identities": REF_PEOPLE},
    ),
}
all_batches = pytest.mark.parametrize("kind", BATCHES)


def listed(*indices: Tensor) -> Pairs:
    return set(zip(*(index.tolist() for index in indices), strict=True))


def sides(indices: Any) -> tuple[Pairs, Pairs]:
    """The positive and the negative pairs; of triplets, those in them."""
    negatives = indices[2:] if len(indices) == 4 else (indices[0], indices[2])
    return listed(*indices[:2]), listed(*negatives)


def of(query: int, pairs: Pairs) -> list[int]:
    return sorted(other for q, other in pairs if q == query)


def first_and_far(kind: str) -> tuple[Pairs, Pairs, Tensor]:
    given, options = BATCHES[kind]
    points = torch.nn.functional.normalize(given[0])
    references = torch.nn.functional.normalize(given[2]) if len(given) == 4 else points
    return *sides(IdentityAwareMiner()(*given, **options)), torch.cdist(points, references)


def chained(kind: str, *others: Any) -> Any:
    given, options = BATCHES[kind]
    return ChainedMiner([IdentityAwareMiner(), *others])(*given, **options)


@all_batches
def test_the_hardest_are_chosen_among_the_pairs_before(kind: str) -> None:
    positive, negative, far = first_and_far(kind)
    expected = set()
    for q in range(B):
        positives, negatives = of(q, positive), of(q, negative)
        if positives and negatives:
            hardest = (
                max(positives, key=lambda r: far[q, r]),
                min(negatives, key=lambda r: far[q, r]),
            )
            expected.add((q, *hardest))
    assert listed(*chained(kind, miners.BatchHardMiner(distance=L2))) == expected
    assert len(expected) > B / 2


@all_batches
def test_margins_are_taken_among_the_pairs_before(kind: str) -> None:
    positive, negative, far = first_and_far(kind)
    found = sides(chained(kind, miners.PairMarginMiner(1.2, 1.3, distance=L2)))
    assert found == (
        {pair for pair in positive if far[pair] > 1.2},
        {pair for pair in negative if far[pair] < 1.3},
    )
    assert 0 < len(found[0]) < len(positive)
    violating = {
        (q, p, n) for q, p in positive for n in of(q, negative) if far[q, n] - far[q, p] <= 0.1
    }
    miner = miners.TripletMarginMiner(margin=0.1, distance=L2)
    assert listed(*chained(kind, miner)) == violating


@all_batches
def test_a_miner_of_the_whole_batch_looks_at_all_pairs_before(kind: str) -> None:
    """PML's HDCMiner keeps the hardest half of all pairs, not of those of each query."""
    positive, negative, far = first_and_far(kind)
    found = sides(chained(kind, miners.HDCMiner(filter_percentage=0.5, distance=L2)))
    for pairs, got, sign in ((positive, found[0], -1), (negative, found[1], 1)):
        hardest = sorted(pairs, key=lambda pair: sign * far[pair].item())
        assert got == set(hardest[: math.ceil(len(pairs) / 2)])


@all_batches
def test_what_is_neither_positive_nor_negative_is_neither(kind: str) -> None:
    """PML's MultiSimilarityMiner takes what is no negative for a positive, and the other way."""
    positive, negative, far = first_and_far(kind)
    expected: tuple[Pairs, Pairs] = (set(), set())
    for q in range(B):
        positives, negatives = of(q, positive), of(q, negative)
        if positives and negatives:
            nearest, farthest = far[q, negatives].min(), far[q, positives].max()
            expected[0].update((q, p) for p in positives if far[q, p] + 0.1 > nearest)
            expected[1].update((q, n) for n in negatives if far[q, n] - 0.1 < farthest)
    assert sides(chained(kind, miners.MultiSimilarityMiner(epsilon=0.1, distance=L2))) == expected


@all_batches
def test_any_miner_of_labels_is_asked_query_by_query(kind: str) -> None:
    def nearest_positive(
        embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor
    ) -> Any:
        assert len(embeddings) == 1
        alike = (labels == ref_labels).nonzero()[:, 0]
        near = torch.cdist(*(torch.nn.functional.normalize(x) for x in (embeddings, ref_emb)))[0]
        best = alike[near[alike].argsort()[:1]]
        different = (labels != ref_labels).nonzero()[:, 0]
        return torch.zeros_like(best), best, torch.zeros_like(different), different

    positive, negative, far = first_and_far(kind)
    expected = {
        (q, min(of(q, positive), key=lambda r: far[q, r])) for q in range(B) if of(q, positive)
    }
    assert sides(chained(kind, nearest_positive)) == (expected, negative)
    drawn = chained(kind, miners.DistanceWeightedMiner())
    assert all(got <= given for got, given in zip(sides(drawn), (positive, negative), strict=True))
    assert len(drawn[0]) > 0


def test_triplets_stay_among_the_triplets_before() -> None:
    """Not only their pairs: a semi-hard triplet has its own positive."""
    wide = miners.TripletMarginMiner(margin=0.3, type_of_triplets="semihard", distance=L2)
    narrow = miners.TripletMarginMiner(margin=0.1, distance=L2)
    first = wide(EMBEDDINGS, LABELS)
    found = ChainedMiner([wide, narrow])(EMBEDDINGS, LABELS)
    far = torch.cdist(*(torch.nn.functional.normalize(EMBEDDINGS),) * 2)
    expected = {t for t in listed(*first) if far[t[0], t[2]] - far[t[0], t[1]] <= 0.1}
    assert listed(*found) == expected
    assert 0 < len(expected) < len(first[0])
    positive, negative = sides(first)
    pairs = sides(ChainedMiner([wide, miners.HDCMiner(1.0)])(EMBEDDINGS, LABELS))
    assert pairs == (positive, negative)


@all_batches
def test_three_miners_and_chains_in_chains(kind: str) -> None:
    margins, hard = miners.PairMarginMiner(1.0, 1.5), miners.BatchHardMiner()
    flat = chained(kind, margins, hard)
    given, options = BATCHES[kind]
    inner = ChainedMiner([IdentityAwareMiner(), margins])
    nested = ChainedMiner([inner, hard])(*given, **options)
    assert all(torch.equal(a, b) for a, b in zip(flat, nested, strict=True))
    middle = sides(inner(*given, **options))
    assert all(a <= b for a, b in zip(sides(flat), middle, strict=True))


@all_batches
def test_online_mining_after_another_is_online_mining_on_top_of_it(kind: str) -> None:
    given, options = BATCHES[kind]
    got = chained(kind, OnlinePositiveMiner())
    expected = OnlinePositiveMiner(IdentityAwareMiner())(*given, **options)
    assert torch.equal(got.keeps_query, expected.keeps_query)
    assert sides(got) == sides(expected)


@all_batches
def test_identities_may_come_second(kind: str) -> None:
    """The caps are filled from what was found before."""
    given, options = BATCHES[kind]
    positive, negative, far = first_and_far(kind)
    before = sides(miners.PairMarginMiner(1.2, 1.5, distance=L2)(*given))
    second = IdentityAwareMiner(max_positives=1, keep_positives="farthest")
    found = ChainedMiner([miners.PairMarginMiner(1.2, 1.5, distance=L2), second])(*given, **options)
    both = positive & before[0]
    expected = {(q, max(of(q, both), key=lambda r: far[q, r])) for q, _ in both}
    assert sides(found)[0] == expected
    assert sides(found)[1] <= negative & before[1]


def test_after_a_match_of_sets_no_miner_sees_labels() -> None:
    sets = [{int(a), int(b)} for a, b in zip(choice(5, B, 7), choice(5, B, 8), strict=True)]
    before = sides(LabelMatch()(EMBEDDINGS, sets))
    for miner in (miners.BatchHardMiner(), miners.MultiSimilarityMiner(), OnlinePositiveMiner()):
        found = ChainedMiner([LabelMatch(), miner])(EMBEDDINGS, sets)
        assert all(got <= given for got, given in zip(sides(found), before, strict=True))
        assert len(found[0]) > 0
        losses.TripletMarginLoss()(EMBEDDINGS, indices_tuple=found)
        nmloss.NMTupleClustersLoss()(EMBEDDINGS, indices_tuple=found)
    again = ChainedMiner([miners.PairMarginMiner(), LabelMatch(lambda a, b: a == b)])
    assert all(a <= b for a, b in zip(
        sides(again(EMBEDDINGS, LABELS)), sides(miners.PairMarginMiner()(EMBEDDINGS, LABELS)),
        strict=True,
    ))  # fmt: skip


def test_a_chain_counts_and_knows_its_weights() -> None:
    learned = nmloss.MahalanobisDistance(D)
    chain = ChainedMiner([LabelMatch(lambda a, b: a == b), miners.HDCMiner(distance=learned)])
    assert [weight is learned.map for weight in chain.parameters()] == [True]
    chain.collect_stats = True
    found = chain(EMBEDDINGS, LABELS)
    assert (chain.num_pos_pairs, chain.num_neg_pairs) == (len(found[0]), len(found[2]))


def test_where_nothing_is_found_nothing_is() -> None:
    for second in (miners.BatchHardMiner(), miners.MultiSimilarityMiner(), OnlinePositiveMiner()):
        found = ChainedMiner([LabelMatch(lambda a, b: a == b), second])(draw(3), torch.arange(3))
        assert len(found[0]) == 0
    nothing = LabelMatch(lambda a, b: a == b, lambda a, b: (a - b).abs() > 9)
    found = ChainedMiner([nothing, miners.MultiSimilarityMiner()])(draw(3), torch.arange(3))
    assert [len(index) for index in found] == [0, 0, 0, 0]


def age_loop(ages: list[float], others: list[float], is_same: bool) -> tuple[Pairs, Pairs]:
    pairs = [(q, r) for q in range(len(ages)) for r in range(len(others)) if not is_same or q != r]
    return (
        {(q, r) for q, r in pairs if abs(ages[q] - others[r]) < 5},
        {(q, r) for q, r in pairs if abs(ages[q] - others[r]) > 20},
    )


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, pd.Series])
@pytest.mark.parametrize("with_references", [False, True])
def test_ages_match_by_their_difference(
    form: Callable[[list[float]], Any], with_references: bool
) -> None:
    ages, others = ((choice(70, n, seed) + 0.5).tolist() for n, seed in ((B, 4), (R, 5)))
    miner = LabelMatch(lambda a, b: abs(a - b) < 5, lambda a, b: abs(a - b) > 20)
    more = (REFERENCES, form(others)) if with_references else ()
    found = miner(EMBEDDINGS, form(ages), *more)
    assert sides(found) == age_loop(ages, others if with_references else ages, not with_references)
    assert 0 < len(found[0]) < len(found[2])


@pytest.mark.parametrize("form", ["sets", "lists", "tensor", "array", "table", "rows"])
def test_images_match_that_share_a_label(form: str) -> None:
    several = torch.rand(B, 6, generator=torch.Generator().manual_seed(0)) < 0.2
    sets = [set(row.nonzero()[:, 0].tolist()) for row in several]
    labels: Any = {
        "sets": sets,
        "lists": [list(each) for each in sets],
        "tensor": several.long(),
        "array": several.numpy(),
        "table": pd.DataFrame(several.numpy().astype(int)),
        "rows": list(several),
    }[form]
    pairs = [(q, r) for q in range(B) for r in range(B) if q != r]
    positive = {(q, r) for q, r in pairs if sets[q] & sets[r]}
    found = LabelMatch()(EMBEDDINGS, labels)
    assert sides(found) == (positive, set(pairs) - positive)
    assert any(not each for each in sets), "one without a label matches nothing, nor itself"


def test_equal_labels_are_the_labels_of_pml() -> None:
    pairs = LabelMatch(lambda a, b: a == b)(EMBEDDINGS, LABELS)
    for loss_fn in (losses.ContrastiveLoss(), losses.NTXentLoss(), nmloss.NPlusOneTupletLoss()):
        got = loss_fn(EMBEDDINGS, indices_tuple=pairs)
        torch.testing.assert_close(got, loss_fn(EMBEDDINGS, LABELS))
    triplets = get_all_triplets_indices(LABELS)
    chain = ChainedMiner([LabelMatch(lambda a, b: a == b), miners.TripletMarginMiner(margin=9)])
    assert listed(*chain(EMBEDDINGS, LABELS)) == listed(*triplets)


def all_of_the_references(
    embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor
) -> Any:
    """A miner that takes negatives for positives."""
    every = torch.arange(len(ref_emb))
    return every * 0, every, every[:0], every[:0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ChainedMiner([]), "miners: there are none"),
        (lambda: ChainedMiner([IdentityAwareMiner(), "hard"]), "miners: at 1 is 'hard'"),
        (
            lambda: ChainedMiner([miners.HDCMiner(), miners.BatchHardMiner()])(
                EMBEDDINGS, LABELS, identities=PEOPLE
            ),
            "identities: no miner of this chain takes them",
        ),
        (
            lambda: ChainedMiner([IdentityAwareMiner()])(EMBEDDINGS, LABELS),
            "identities: this miner",
        ),
        (
            lambda: ChainedMiner([miners.HDCMiner(), miners.EmbeddingsAlreadyPackagedAsTriplets()]),
            "EmbeddingsAlreadyPackagedAsTriplets does not choose; put it first",
        ),
        (
            lambda: ChainedMiner([miners.HDCMiner(), all_of_the_references])(EMBEDDINGS, LABELS),
            "function gives pairs that the miner before it did not find",
        ),
        (lambda: LabelMatch("equal"), "match='equal'"),  # type: ignore[arg-type]
        (lambda: LabelMatch()(EMBEDDINGS, [{1}]), "labels: 1 for 40 embeddings"),
        (lambda: LabelMatch()(EMBEDDINGS, None), "labels: none for 40 embeddings"),
        (lambda: LabelMatch()(EMBEDDINGS, [{1}] * B, REFERENCES), "ref_labels: none for 30"),
        (lambda: LabelMatch()(EMBEDDINGS, ["dog"] * B), "labels: 'dog': needed is a set"),
        (lambda: LabelMatch()(EMBEDDINGS, LABELS), "needed is a set of labels"),
        (lambda: LabelMatch()(EMBEDDINGS, [[1, 0, 0]] * B), r"labels: \[1, 0, 0\]: .* 0 and 1"),
        (lambda: LabelMatch(lambda a, b: a)(EMBEDDINGS, LABELS), "match: gave torch.int64"),
        (
            lambda: LabelMatch(lambda a, b: np.zeros(2))(EMBEDDINGS, ["x"] * B),
            "match: gave ndarray for two labels",
        ),
        (
            lambda: LabelMatch(lambda a, b: a == b, lambda a, b: a >= b)(EMBEDDINGS, LABELS),
            "both are True of label 0 and label 0",
        ),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
