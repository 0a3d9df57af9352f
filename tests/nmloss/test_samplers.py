"""The sampling rule (Liu et al. 2017, Sec. 3) on CK+-like counts, epochs and ranks."""

import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import islice, permutations, product

import numpy as np
import pandas as pd
import pytest
import torch

from nmloss import IdentityTupleSampler

CLASSES = ["anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]
# CK+: how many of its 118 subjects have how many of the seven expressions, three images each.
SEQUENCES_PER_SUBJECT = {1: 21, 2: 22, 3: 47, 4: 20, 5: 7, 6: 1}


def ckplus() -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(0)
    counts = [count for count, people in SEQUENCES_PER_SUBJECT.items() for _ in range(people)]
    share = np.array([45, 18, 59, 25, 69, 28, 83]) / 327
    shown = [
        (expression, f"S{subject:03d}")
        for subject, count in enumerate(counts)
        for expression in rng.choice(CLASSES, count, replace=False, p=share)
        for _ in range(3)
    ]
    labels, identities = zip(*shown, strict=True)
    return list(labels), list(identities)


LABELS, IDENTITIES = ckplus()


def sampler(**options: object) -> IdentityTupleSampler:
    return IdentityTupleSampler(LABELS, IDENTITIES, **options)  # type: ignore[arg-type]


def tuples(planned: IdentityTupleSampler) -> list[list[int]]:
    size = planned.positives + planned.negatives
    return [
        batch[start : start + size] for batch in planned for start in range(0, len(batch), size)
    ]


Shape = tuple[Sequence[Hashable], Sequence[Hashable]]

MANY_LABELS = (
    np.random.default_rng(1).integers(60, size=1500).tolist(),
    np.random.default_rng(2).integers(40, size=1500).tolist(),
)
SHAPES: dict[str, Shape] = {
    "ckplus": (LABELS, IDENTITIES),
    "everyone has everything": (CLASSES * 40, [k // 7 % 10 for k in range(280)]),
    "two people": ("jjjjfffaaj", "aaaaaabbbb"),
    "one image per label": (range(20), [k % 3 for k in range(20)]),
    "one label per person": ([k % 30 // 6 for k in range(120)], [k % 30 for k in range(120)]),
    "a label by one person, another by one image": ("jjjjjjjfffffax", "aaaaaaabbcccbb"),
    "many labels": MANY_LABELS,
}


def assert_the_rules_hold(planned: IdentityTupleSampler, shape: Shape) -> None:
    """The sampling rule, in words, for every tuple of a plan."""
    labels, identities = shape
    of_label, of_both = defaultdict(set), defaultdict(set)
    for image, (label, identity) in enumerate(zip(labels, identities, strict=True)):
        of_label[label].add(image)
        of_both[label, identity].add(image)
    others_of = {label: sorted(set(labels) - {label}) for label in of_label}  # type: ignore[type-var]
    counts = Counter[str]()
    queries = []
    for members in tuples(planned):
        query, positives = members[0], members[: planned.positives]
        negatives = members[planned.positives :]
        label, identity = labels[query], identities[query]
        queries.append(query)

        alike = of_label[label]
        able = alike - of_both[label, identity] or alike - {query} or {query}
        assert set(positives[1:]) <= able
        if len(able) >= len(positives[1:]):
            assert len(set(positives[1:])) == len(positives[1:])

        others = others_of[label]
        shown = [labels[index] for index in negatives]
        if len(negatives) < len(others):
            assert set(shown) <= set(others)
            assert len(set(shown)) == len(shown)
        else:
            assert shown == [others[k % len(others)] for k in range(len(negatives))]

        for other, negative in zip(shown, negatives, strict=True):
            people = [identities[index] for index in positives]
            able_people = [person for person in people if of_both.get((other, person))]
            if able_people:
                assert identities[negative] == able_people[0]
                counts["own" if able_people[0] == identity else "positives"] += 1
            else:
                counts["anyone"] += 1
    assert sorted(queries) == list(range(len(labels)))
    assert planned.sources._asdict() == {name: counts[name] for name in planned.sources._fields}


@pytest.mark.parametrize("negatives", [None, 0, 2, 65])
@pytest.mark.parametrize("positives", [1, 2, 6, 30])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_rules_hold_for_every_tuple(
    shape: Shape, positives: int, negatives: int | None
) -> None:
    planned = IdentityTupleSampler(*shape, positives=positives, negatives=negatives)
    assert_the_rules_hold(planned, shape)


def test_the_counts_are_those_of_ckplus() -> None:
    assert len(LABELS) == 981 == 3 * 327
    assert len(set(IDENTITIES)) == 118


def test_a_batch_is_12_tuples_of_6_and_6() -> None:
    planned = sampler()
    sizes = [len(batch) for batch in planned]
    assert sizes[:-1] == [144] * 81
    assert sizes[-1] == (981 - 81 * 12) * 12
    assert len(planned) == 82


def test_every_image_is_the_query_once_an_epoch() -> None:
    assert sorted(members[0] for members in tuples(sampler())) == list(range(981))


def test_positives_are_different_images_of_the_label_by_other_people() -> None:
    for query, *rest in tuples(sampler()):
        positives = rest[:5]
        assert {LABELS[index] for index in positives} == {LABELS[query]}
        assert IDENTITIES[query] not in {IDENTITIES[index] for index in positives}
        assert len(set(positives)) == 5


def test_negatives_are_one_of_every_other_label_from_the_first_place_that_has_it() -> None:
    planned = sampler()
    shown = set(zip(LABELS, IDENTITIES, strict=True))
    counts = Counter[str]()
    for members in tuples(planned):
        positives, negatives = members[:6], members[6:]
        query = positives[0]
        assert [LABELS[index] for index in negatives] == [c for c in CLASSES if c != LABELS[query]]
        for index in negatives:
            label, identity = LABELS[index], IDENTITIES[index]
            people = [IDENTITIES[p] for p in positives]
            able = [person for person in people if (label, person) in shown]
            if able:
                assert identity == able[0]
                counts["own" if identity == IDENTITIES[query] else "positives"] += 1
            else:
                counts["anyone"] += 1
    assert planned.sources._asdict() == {name: counts[name] for name in planned.sources._fields}
    assert sum(planned.sources) == 981 * 6


def test_the_sources_are_those_of_the_batches_so_far() -> None:
    _, identities = MANY_LABELS
    planned = IdentityTupleSampler(*MANY_LABELS, positives=3)
    negatives = own = 0
    for batch in planned:
        for query, _, _, *others in np.reshape(batch, (-1, 3 + 59)).tolist():
            own += sum(identities[index] == identities[query] for index in others)
            negatives += len(others)
        assert (planned.sources.own, sum(planned.sources)) == (own, negatives)


def test_on_ckplus_the_fallback_is_the_usual_path() -> None:
    """A query has on average 2.25 of the 6 other expressions by its own subject."""
    planned = sampler()
    list(planned)
    assert planned.sources.own / 981 == pytest.approx(736 / 327, abs=0.01)
    assert planned.sources.own < planned.sources.positives
    assert planned.sources.anyone > 0


def test_who_has_every_label_needs_no_fallback() -> None:
    labels, people = CLASSES * 4, np.repeat(np.arange(4), 7)
    planned = IdentityTupleSampler(labels, people)
    for members in tuples(planned):
        assert {int(people[index]) for index in members[6:]} == {int(people[members[0]])}
    assert planned.sources == (28 * 6, 0, 0)


def test_the_plan_depends_on_seed_and_epoch_alone_and_is_shared_by_the_ranks() -> None:
    def plan(epoch: int = 0, **options: object) -> list[list[int]]:
        planned = sampler(**options)
        planned.sampler.set_epoch(epoch)
        return list(planned)

    assert plan() == plan()
    assert plan() != plan(epoch=1)
    assert plan() != plan(seed=1)
    planned = sampler()
    assert list(planned) == list(planned)
    first = plan(num_replicas=2, rank=0)
    assert first == plan(num_replicas=2, rank=0) != plan(num_replicas=2, rank=1)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_the_ranks_share_the_queries_and_make_equally_many_batches(
    replicas: int, drop_last: bool
) -> None:
    ranks = [
        sampler(num_replicas=replicas, rank=rank, drop_last=drop_last) for rank in range(replicas)
    ]
    plans = [list(rank) for rank in ranks]
    assert [len(plan) for plan in plans] == [len(rank) for rank in ranks]
    assert len({len(plan) for plan in plans}) == 1
    assert [[len(b) for b in plan] for plan in plans] == [[len(b) for b in plans[0]]] * replicas
    queries = Counter(members[0] for rank in ranks for members in tuples(rank))
    if drop_last:
        assert max(queries.values()) == 1
        assert all(len(batch) == 144 for plan in plans for batch in plan)
    else:
        assert len(queries) == 981
        assert sum(queries.values()) - 981 < replicas


def joined(ranks: Sequence[IdentityTupleSampler]) -> list[list[list[int]]]:
    """The tuples of the k-th batches of all ranks: the first of each rank, then the second."""
    size = ranks[0].positives + ranks[0].negatives
    return [
        np.reshape(batches, (len(ranks), -1, size)).swapaxes(0, 1).reshape(-1, size).tolist()
        for batches in zip(*ranks, strict=True)
    ]


@pytest.mark.parametrize("negatives", [None, 3, 8])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_the_ranks_together_see_the_batches_of_one_process(
    replicas: int, drop_last: bool, negatives: int | None
) -> None:
    """Equal, but for the tuples that fill up the last batch where the queries do not divide."""
    alike: dict[str, object] = {"drop_last": drop_last, "negatives": negatives}
    alone = sampler(tuples_per_batch=4 * replicas, **alike)
    ranks = [
        sampler(tuples_per_batch=4, num_replicas=replicas, rank=rank, **alike)
        for rank in range(replicas)
    ]
    for epoch in range(2):
        for planned in (alone, *ranks):
            planned.set_epoch(epoch)
        expected, found = joined([alone]), joined(ranks)
        extra = 0 if drop_last else -len(LABELS) % replicas
        *firsts, last = found
        assert firsts == expected[:-1]
        assert last[: len(last) - extra] == expected[-1]
        refilled = [members[0] for members in last[len(last) - extra :]]
        assert refilled == [members[0] for members in expected[0][:extra]]
        if extra == 0:
            counts = np.sum([rank.sources for rank in ranks], axis=0)
            assert tuple(counts) == alone.sources


def test_the_plan_is_the_same_whatever_the_size_of_its_batches() -> None:
    assert tuples(sampler(tuples_per_batch=1)) == tuples(sampler(tuples_per_batch=500))


def test_more_processes_than_images_still_have_a_tuple_each() -> None:
    labels, people = ["joy", "fear", "anger"], ["a", "b", "c"]
    for rank in range(7):
        planned = IdentityTupleSampler(labels, people, num_replicas=7, rank=rank)
        assert [len(batch) for batch in planned] == [6 + 2]


def test_without_shuffling_the_queries_come_in_order() -> None:
    assert [members[0] for members in tuples(sampler(shuffle=False))] == list(range(981))


def test_balanced_queries_show_every_label_equally_often_and_every_image_in_time() -> None:
    planned = sampler(balanced=True)
    seen: set[int] = set()
    for epoch in range(12):
        planned.set_epoch(epoch)
        queries = [found[0] for found in tuples(planned)]
        assert len(queries) == len(LABELS)
        counts = Counter(LABELS[query] for query in queries)
        assert counts.keys() == set(CLASSES)
        assert max(counts.values()) - min(counts.values()) <= 1
        of_rare = Counter(query for query in queries if LABELS[query] == "contempt")
        assert max(of_rare.values()) - min(of_rare.values()) <= 1
        seen |= set(queries)
    assert seen == set(range(len(LABELS)))


def test_balanced_queries_are_shared_by_the_ranks_and_may_keep_their_order() -> None:
    whole = [found[0] for found in tuples(sampler(balanced=True, tuples_per_batch=12))]
    ranks = [tuples(sampler(balanced=True, tuples_per_batch=6, num_replicas=2, rank=rank))
             for rank in range(2)]  # fmt: skip
    halves = [query[0] for pair in zip(*ranks, strict=True) for query in pair]
    assert halves[: len(whole)] == whole
    in_order = [found[0] for found in tuples(sampler(balanced=True, shuffle=False))]
    assert in_order == sorted(in_order)


def test_other_numbers_of_negatives() -> None:
    for negatives in (0, 3, 8):
        planned = sampler(negatives=negatives)
        for members in tuples(planned)[:50]:
            labels = [LABELS[index] for index in members[6:]]
            assert len(labels) == negatives
            assert LABELS[members[0]] not in labels
            assert len(set(labels)) == min(negatives, 6)


def test_few_people_still_give_whole_tuples() -> None:
    labels = ["joy", "joy", "fear", "fear", "anger"]
    people = ["a", "a", "a", "b", "b"]
    for members in tuples(IdentityTupleSampler(labels, people, positives=4)):
        assert len(members) == 4 + 2
        assert {labels[index] for index in members[:4]} == {labels[members[0]]}


def is_uniform(drawn: Iterable[Hashable], outcomes: Iterable[Hashable]) -> bool:
    """Nothing else comes, and Pearson's statistic is within 4 standard deviations of its mean."""
    counts, expected = Counter(drawn), set(outcomes)
    mean = counts.total() / len(expected)
    statistic = sum((counts[outcome] - mean) ** 2 / mean for outcome in expected)
    freedom = len(expected) - 1
    return counts.keys() <= expected and statistic < freedom + 4 * (2 * freedom) ** 0.5


# Seven images of each of 3000 labels, by four persons: what a tuple draws is the same for all.
PERSONS = [0, 0, 1, 2, 2, 2, 3]
REPEATED = np.repeat(np.arange(3000), 7), np.tile(PERSONS, 3000)


@pytest.mark.parametrize("positives", [2, 3, 4, 5])
@pytest.mark.parametrize("query", [0, 3, 4, 6])
def test_positives_are_uniform_in_every_order(query: int, positives: int) -> None:
    planned = IdentityTupleSampler(*REPEATED, positives=positives, negatives=0)
    able = [image for image, person in enumerate(PERSONS) if person != PERSONS[query]]
    drawn = [
        tuple(image % 7 for image in members[1:])
        for members in tuples(planned)
        if members[0] % 7 == query
    ]
    assert is_uniform(drawn, permutations(able, positives - 1))


def test_positives_are_uniform_with_replacement_where_there_are_too_few() -> None:
    labels, people = np.repeat(np.arange(3000), 3), np.tile([0, 0, 1], 3000)
    planned = IdentityTupleSampler(labels, people, positives=4, negatives=0)
    drawn = [[image % 3 for image in members] for members in tuples(planned)]
    by_one = [tuple(positives) for query, *positives in drawn if query == 2]
    assert is_uniform(by_one, product([0, 1], repeat=3))


def test_positives_are_uniform_among_the_other_images_of_the_only_person() -> None:
    labels, people = np.repeat(np.arange(3000), 4), np.repeat([0, 1], 6000)
    planned = IdentityTupleSampler(labels, people, positives=3, negatives=0)
    drawn = [[image % 4 for image in members] for members in tuples(planned)]
    by_one = [tuple(positives) for query, *positives in drawn if query == 1]
    assert is_uniform(by_one, permutations([0, 2, 3], 2))


def test_the_labels_of_fewer_negatives_are_uniform() -> None:
    labels, people = np.tile(np.arange(6), 1500), np.repeat(np.arange(1500), 6)
    planned = IdentityTupleSampler(labels, people, positives=1, negatives=3)
    drawn = [members for members in tuples(planned) if labels[members[0]] == 2]
    by_label = [tuple(labels[members[1:]].tolist()) for members in drawn]
    assert is_uniform(by_label, permutations([0, 1, 3, 4, 5], 3))


def test_negatives_are_uniform_among_the_images_of_who_serves() -> None:
    """Persons of seven images, one joyful, and six afraid; then ones who show one label each."""
    labels, people = np.tile([0, 1, 1, 1, 1, 1, 1], 1500), np.repeat(np.arange(1500), 7)
    planned = IdentityTupleSampler(labels, people, positives=1)
    drawn = [negative % 7 for query, negative in tuples(planned) if labels[query] == 0]
    assert is_uniform(drawn, range(1, 7))
    assert planned.sources == (len(labels), 0, 0)

    labels, people = np.repeat([0, 1], [3000, 8]), np.repeat(np.arange(5), [3000, 1, 1, 2, 4])
    planned = IdentityTupleSampler(labels, people, positives=2)
    drawn = [negative for query, _, negative in tuples(planned) if labels[query] == 0]
    assert is_uniform(drawn, range(3000, 3008))
    assert planned.sources == (0, 0, len(labels))


def test_many_labels_make_no_table_of_tuples_by_labels() -> None:
    """Such a table, of single bytes, would take 400 MB; one of people by labels 200 MB."""
    labels = np.random.default_rng(0).integers(4_000, size=100_000)
    people = np.arange(100_000) % 50_000
    tracemalloc.start()
    planned = IdentityTupleSampler(labels, people, negatives=6)
    for _ in islice(planned, 100):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize(
    "convert", [list, np.array, lambda x: torch.tensor(np.unique(x, return_inverse=True)[1])]
)
def test_labels_come_in_many_forms(convert: type) -> None:
    planned = IdentityTupleSampler(convert(LABELS), convert(IDENTITIES))
    assert list(planned) == list(sampler())


@pytest.mark.parametrize(
    ("labels", "identities", "options", "message"),
    [
        ([], [], {}, "labels: at least two different ones are needed, found nothing"),
        (["joy"] * 4, [1, 2, 3, 4], {}, "labels: at least two .* only 'joy'"),
        (["joy", "fear"], ["a", "a"], {}, "identities: at least two .* only 'a'"),
        (["joy", "fear"], ["a", "b", "c"], {}, "2 labels and 3 identities"),
        (["joy", "fear", "joy"], ["a", "", ""], {}, "identities: 2 are missing, the first at 1"),
        (["joy", None], ["a", "b"], {}, "labels: 1 are missing, the first at 1"),
        (["joy", "fear"], ["a", float("nan")], {}, "identities: 1 are missing, the first at 1"),
        (["joy", "fear"], ["a", pd.NA], {}, "identities: 1 are missing, the first at 1"),
        (["joy", "fear"], ["a", 1], {}, "identities: they must be of one kind"),
        (["joy", "fear"], np.eye(2), {}, r"identities of shape \(2, 2\)"),
        (["joy", "fear"], ["a", "b"], {"seed": -1}, "seed=-1"),
        (["joy", "fear"], ["a", "b"], {"num_replicas": 0}, "num_replicas=0"),
        (["joy", "fear"], ["a", "b"], {"num_replicas": 2}, "rank: needed beside num_replicas=2"),
        (["joy", "fear"], ["a", "b"], {"positives": 0}, "positives=0"),
        (["joy", "fear"], ["a", "b"], {"negatives": -1}, "negatives=-1"),
        (["joy", "fear"], ["a", "b"], {"tuples_per_batch": 0}, "tuples_per_batch=0"),
        (["joy", "fear"], ["a", "b"], {"num_replicas": 2, "rank": 2}, "rank=2"),
    ],
)
def test_mistakes_are_named(
    labels: list[object], identities: list[object], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        IdentityTupleSampler(labels, identities, **options)  # type: ignore[arg-type]


def test_weights_say_how_often_an_image_is_the_query() -> None:
    labels, people = ["joy", "fear", "anger"] * 8, [i // 3 for i in range(24)]
    weights = [1.0] * 12 + [2.5] * 12
    planned = IdentityTupleSampler(
        labels, people, positives=3, tuples_per_batch=5, weights=weights, seed=3
    )
    queries = [batch[start] for batch in planned for start in range(0, len(batch), 5)]
    counts = np.bincount(queries, minlength=24)
    assert (counts[:12] == 1).all()
    assert sorted(counts[12:]) == [2] * 6 + [3] * 6
    assert len(planned) == 9  # 42 queries
    halves = [
        IdentityTupleSampler(
            labels,
            people,
            positives=3,
            tuples_per_batch=5,
            weights=weights,
            seed=3,
            num_replicas=2,
            rank=rank,
        )
        for rank in (0, 1)
    ]
    found = [[b[s] for b in half for s in range(0, len(b), 5)] for half in halves]
    assert [query for pair in zip(*found, strict=True) for query in pair] == queries


@pytest.mark.parametrize("weights", [[1.0], [1.0] * 5 + [0.0], [1.0] * 5 + [float("inf")]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        IdentityTupleSampler(["joy", "fear"] * 3, [1, 1, 2, 2, 3, 3], weights=weights)
