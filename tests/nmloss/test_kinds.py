"""Labels and identities of any kind are compared by value, or refused by name."""

import dataclasses
import decimal
import enum
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_metric_learning.reducers import ClassWeightedReducer
from torch import Tensor, tensor

import nmloss
from nmloss import (
    CrossBatchMemory,
    IdentityAwareMiner,
    IdentityTupleSampler,
    NMTupleClustersLoss,
    OnlinePositiveMiner,
    SelfSupervisedLoss,
    functional,
    tuple_indices,
)
from nmloss.labels.values import codes


class Emotion(enum.Enum):
    A, B, C = "a", "b", "c"


class Text(enum.StrEnum):
    A, B, C = "a", "b", "c"


@dataclasses.dataclass(frozen=True)
class Person:
    name: str


class Unequal:
    """Equal only to itself."""


NUMBERS = np.arange(36) % 3
NAMES = [" abc"[k + 1] for k in NUMBERS]
COLUMN = pd.Series(NAMES, index=range(100, 64, -1))
KINDS: dict[str, Callable[[], Any]] = {
    "numbers": NUMBERS.tolist,
    "names": lambda: NAMES,
    "0-d tensors": lambda: list(tensor(NUMBERS)),
    "tensors (1,)": lambda: tensor(NUMBERS).split(1),
    "tensors (1, 1)": lambda: [tensor([[k]]) for k in NUMBERS],
    "tensors that have a gradient": lambda: [tensor(float(k), requires_grad=True) for k in NUMBERS],
    "(n, 1)": lambda: tensor(NUMBERS)[:, None],
    "parameter": lambda: torch.nn.Parameter(tensor(NUMBERS).float()),
    "bfloat16": lambda: tensor(NUMBERS).bfloat16(),
    "uint64": lambda: tensor(NUMBERS).to(torch.uint64),
    "complex": lambda: tensor(NUMBERS) * 1j,
    "8 bits": lambda: NUMBERS.astype(np.uint8),
    "longdouble": lambda: NUMBERS.astype(np.longdouble),
    "scalars of all kinds": lambda: [
        [int, float, np.int8, np.float64, np.array, tensor][i % 6](k) for i, k in enumerate(NUMBERS)
    ],
    "objects": lambda: np.array([*NUMBERS[:-1], tensor(NUMBERS[-1])], dtype=object),
    "decimals": lambda: [decimal.Decimal(int(k)) for k in NUMBERS],
    "texts of NumPy": lambda: list(np.array(NAMES)),
    "bytes": lambda: [name.encode() for name in NAMES],
    "column": lambda: COLUMN,
    "categories": lambda: COLUMN.astype(pd.CategoricalDtype(["c", "a", "b"])),
    "Categorical": lambda: pd.Categorical(NAMES, categories=["b", "c", "a"]),
    "nullable": lambda: pd.Series(NUMBERS, dtype="Int64"),
    "frame": lambda: COLUMN.to_frame(),
    "index": lambda: pd.Index(NAMES),
    "days": lambda: pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(NUMBERS, "D")),
    "members": lambda: [Emotion(name) for name in NAMES],
    "members that are texts": lambda: [Text(name) for name in NAMES],
    "paths": lambda: [pathlib.Path(name) for name in NAMES],
    "data classes": lambda: [Person(name) for name in NAMES],
    "generator": lambda: (name for name in NAMES),
    "values": dict(enumerate(NAMES)).values,
    "lists of one": lambda: [[name] for name in NAMES],
    "whole": lambda: NUMBERS + 2**53,
    "a text": lambda: "".join(NAMES),
}
all_kinds = pytest.mark.parametrize("kind", KINDS)
PEOPLE = np.arange(36) // 3 % 3


def people(kind: str) -> Any:
    """As `KINDS`, of persons."""
    values = KINDS[kind]()
    values = values if hasattr(values, "__getitem__") else list(values)
    order = [int(np.flatnonzero(person == NUMBERS)[0]) for person in PEOPLE]
    if isinstance(values, (pd.Series, pd.DataFrame)):
        return values.iloc[order]
    return values[order] if hasattr(values, "shape") else [values[place] for place in order]


def batch(size: int = 36, seed: int = 0) -> Tensor:
    return torch.randn(size, 8, generator=torch.Generator().manual_seed(seed))


@all_kinds
def test_the_sampler_plans_the_same_for_values_of_any_kind(kind: str) -> None:
    expected = list(IdentityTupleSampler(NUMBERS, PEOPLE, positives=3))
    assert list(IdentityTupleSampler(KINDS[kind](), people(kind), positives=3)) == expected


@pytest.mark.parametrize("wrap", [list, lambda x: x.split(1), lambda x: [k[None] for k in x]])
def test_negatives_never_show_the_label_of_the_query(wrap: Callable[[Tensor], Any]) -> None:
    labels, persons = tensor(NUMBERS), tensor(PEOPLE)
    planned = IdentityTupleSampler(wrap(labels), wrap(persons), positives=2)
    assert planned.negatives == 2
    for found in planned:
        for query, positive, *negatives in np.reshape(found, (-1, 4)).tolist():
            assert NUMBERS[positive] == NUMBERS[query]
            assert NUMBERS[query] not in NUMBERS[negatives]


@all_kinds
@pytest.mark.parametrize(
    "loss_fn", [NMTupleClustersLoss(), nmloss.NPlusOneTupletLoss(), nmloss.CoupledClustersLoss()]
)
def test_the_losses_compare_labels_of_any_kind_by_value(loss_fn: Any, kind: str) -> None:
    embeddings, references = batch(), batch(36, 1)
    labels = tensor(NUMBERS)
    assert torch.equal(loss_fn(embeddings, KINDS[kind]()), loss_fn(embeddings, labels))
    # Joint with those of the references: here two of the three, in another order.
    expected = loss_fn(embeddings, labels, None, references[1:3], labels[[2, 1]])
    some = people(kind)
    at = [6, 3]
    some = some.iloc[at] if hasattr(some, "iloc") else [some[place] for place in at]
    assert torch.equal(loss_fn(embeddings, KINDS[kind](), None, references[1:3], some), expected)


@all_kinds
def test_the_miner_compares_labels_and_identities_of_any_kind_by_value(kind: str) -> None:
    miner, embeddings, references = IdentityAwareMiner(), batch(), batch(36, 1)
    labels, persons = tensor(NUMBERS), tensor(PEOPLE)
    expected = miner(embeddings, labels, identities=persons)
    found = miner(embeddings, KINDS[kind](), identities=people(kind))
    assert all(map(torch.equal, found, expected))
    expected = miner(
        embeddings, labels, references, persons, identities=persons, ref_identities=labels
    )
    found = miner(
        embeddings,
        KINDS[kind](),
        references,
        people(kind),
        identities=people(kind),
        ref_identities=KINDS[kind](),
    )
    assert all(map(torch.equal, found, expected))
    found = OnlinePositiveMiner(miner)(embeddings, KINDS[kind](), identities=people(kind))
    expected = OnlinePositiveMiner(miner)(embeddings, labels, identities=persons)
    assert all(map(torch.equal, found, expected))


def test_names_of_references_have_the_numbers_of_the_batch() -> None:
    a1, p, a2, n = IdentityAwareMiner()(
        batch(2),
        ["joy", "fear"],
        batch(3, 1),
        ["fear", "joy", "joy"],
        identities=["ann", "bob"],
        ref_identities=["ann", "ann", "cy"],
    )
    assert (a1.tolist(), p.tolist()) == ([0, 1], [2, 0])
    assert (a2.tolist(), n.tolist()) == ([0, 1], [0, 1])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1.0, True, np.float32(1), 2], [0, 0, 0, 0, 1]),
        ([2**53, 2**53 + 1, float(2**53)], [0, 1, 0]),
        (tensor([2**64 - 1, 2**64 - 2], dtype=torch.uint64), [1, 0]),
        (tensor([2049.0, 2048.0]).half(), [0, 0]),  # what the tensor holds
        (["a", "a ", "A"], [1, 2, 0]),
        ([0.0, -0.0, float("inf")], [0, 0, 1]),
        ([1j, 1 + 0j, 1], [0, 1, 1]),
    ],
)
def test_values_are_the_same_where_python_says_so(values: Any, expected: list[int]) -> None:
    assert codes("labels", values)[1].tolist() == expected


@pytest.mark.parametrize("swap", [False, True])
def test_whole_numbers_and_fractions_are_not_rounded_to_be_compared(swap: bool) -> None:
    embeddings, other = batch(2), batch(1, 1)
    for whole, fraction in (
        (tensor([2**24, 2**24 + 1]), tensor([2.0**24])),
        (tensor([2**53, 2**53 + 1]), tensor([2.0**53], dtype=torch.float64)),
        (tensor([2049, 2048], dtype=torch.int16), tensor([2048.0]).half()),
    ):
        place = int(whole[0] != fraction[0].double())
        sides = (whole, fraction)
        points: tuple[Tensor, Tensor] = (embeddings, other)
        if swap:
            sides, points = sides[::-1], points[::-1]
        a1, p, _, _ = OnlinePositiveMiner()(points[0], sides[0], points[1], sides[1])
        assert (a1 if not swap else p).tolist() == [place]


SEVERAL = [
    (tensor([[1, 2], [1, 3]]), r"labels of shape \(2, 2\)"),
    (tensor([[1, 2]]), r"labels of shape \(1, 2\)"),
    (tensor(1), r"labels of shape \(\)"),
    (pd.DataFrame({"x": [1, 2], "y": [1, 2]}), r"labels of shape \(2, 2\)"),
    ([tensor(1), tensor([1, 2])], r"labels: at 1 is a Tensor of shape \(2,\)"),
    ([("a", 1), ("b", 2)], "labels: at 0 is a tuple of 2 values"),
    ({"a": 1, "b": 2}.items(), "labels: at 0 is a tuple of 2 values"),
    (pd.MultiIndex.from_tuples([(1, 2), (1, 3)]), "labels: at 0 is a tuple of 2 values"),
    ([[1], [1, 2]], "labels: at 1 is a list of 2 values"),
    ([1, np.array([])], r"labels: at 1 is a ndarray of shape \(0,\)"),
    ([1, {"a": 1}], "labels: at 1 is a dict"),
    ({"a": 1, "b": 2}, "labels: a dict names its values by keys"),
    ({1, 2}, "labels: a set has no order"),
    ([Unequal(), Unequal()], r"labels: at 0 is a Unequal \(equal only to itself\)"),
    ([1, "1"], "labels: they must be of one kind.*1 at 0|'1' at 1"),
    (["a", b"a"], "labels: they must be of one kind"),
    ([Emotion.A, "a"], "labels: they must be of one kind"),
    ([1, None], "labels: 1 are missing, the first at 1"),
    ([1, float("nan")], "labels: 1 are missing, the first at 1"),
    (tensor([1, float("nan")]), "labels: 1 are missing, the first at 1"),
    (pd.Series(["a", None]), "labels: 1 are missing, the first at 1"),
    (pd.Series([1, None], dtype="Int64"), "labels: 1 are missing, the first at 1"),
    (np.array(["2020-01-01", "NaT"], dtype="M8[ns]"), "labels: 1 are missing, the first at 1"),
    (np.ma.array([1, 2], mask=[False, True]), "labels: 1 are missing, the first at 1"),
    (5, "labels: needed are values, one for each image, got int"),
    (torch.empty(2, device="meta"), "labels: needed are values.* got Tensor"),
    (tensor([1, 2]).to_sparse(), "labels: needed are values.* got Tensor"),
]


@pytest.mark.parametrize(("values", "message"), SEVERAL, ids=[message for _, message in SEVERAL])
def test_what_is_not_one_value_is_refused_everywhere(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IdentityTupleSampler(values, [1, 2])
    with pytest.raises(ValueError, match=message.replace("labels", "identities")):
        IdentityTupleSampler([1, 2], values)
    if getattr(values, "is_meta", False):
        return
    with pytest.raises(ValueError, match="labels"):
        NMTupleClustersLoss()(batch(2), values)
    with pytest.raises(ValueError, match="identities"):
        IdentityAwareMiner()(batch(2), [0, 1], identities=values)
    with pytest.raises(ValueError, match="labels"):
        CrossBatchMemory(NMTupleClustersLoss(), 8)(batch(2), values)


def test_names_and_numbers_on_two_sides_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"labels and ref_labels.*'a' at 0 of labels and 1 at 0 of"
    ):
        NMTupleClustersLoss()(batch(2), ["a", "b"], None, batch(2, 1), tensor([1, 2]))
    with pytest.raises(ValueError, match="identities and ref_identities: they must be of one kind"):
        IdentityAwareMiner()(
            batch(2), [0, 1], batch(2), [0, 1], identities=["a", "b"], ref_identities=[1, 2]
        )


def test_compiled_losses_take_every_dtype_and_refuse_missing_labels() -> None:
    loss_fn, embeddings = NMTupleClustersLoss(), batch()
    torch.compiler.reset()
    compiled = torch.compile(loss_fn, fullgraph=True, backend="aot_eager")
    labels = tensor(NUMBERS)
    for each in (labels, labels.int(), labels.float(), labels[:, None], labels == 0):
        torch.testing.assert_close(compiled(embeddings, each), loss_fn(embeddings, each))
    with pytest.raises(RuntimeError, match="labels: some are NaN"):
        compiled(embeddings, torch.where(labels == 0, torch.nan, labels.float()))
    torch.compiler.reset()


def test_the_layout_may_be_made_inside_a_compiled_graph() -> None:
    loss_fn = NMTupleClustersLoss()

    def of(embeddings: Tensor) -> Any:
        return loss_fn(embeddings, indices_tuple=tuple_indices(len(embeddings) // 6, 4, 2))

    torch.compiler.reset()
    compiled = torch.compile(of, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (12, 24, 30):
        torch.testing.assert_close(compiled(batch(size)), of(batch(size)))
    torch.compiler.reset()


def test_the_memory_compares_labels_of_different_batches_by_value() -> None:
    one, other = (CrossBatchMemory(NMTupleClustersLoss(), 8, memory_size=100) for _ in range(2))
    labels = tensor(NUMBERS) + 2**40
    for seed, given in enumerate((labels, labels.tolist(), labels[:, None], list(labels))):
        assert torch.equal(one(batch(seed=seed), given), other(batch(seed=seed), labels))
    one(batch(), tensor(NUMBERS, dtype=torch.int8))
    assert one.label_memory.max() == 2**40 + 2
    with pytest.raises(ValueError, match=r"labels of torch.float32: those remembered are of torch"):
        one(batch(), labels.float())


CWR = NMTupleClustersLoss(reducer=ClassWeightedReducer(tensor([1.0, 2.0, 3.0])))
MEMORY = CrossBatchMemory(NMTupleClustersLoss(), 8, memory_size=36)
POSITIVES, NEGATIVES = batch(6).reshape(2, 3, 8), batch(4, 1).reshape(2, 2, 8)
MASK = torch.ones(2, 3, dtype=torch.bool)
EYE = {"map_a": torch.eye(8), "map_b": torch.eye(8), "linear": torch.zeros(8), "bias": tensor(2.0)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CWR(batch(), NAMES), "labels: ClassWeightedReducer .* got list"),
        (lambda: CWR(batch(), tensor(NUMBERS) == 0), "ClassWeightedReducer .* got torch.bool"),
        (lambda: MEMORY(batch(), NAMES), "labels: they are remembered"),
        (lambda: MEMORY(batch(37), range(37)), "memory_size=36: less than the 37"),
        (lambda: MEMORY(batch()[:, :1], NUMBERS), "embeddings of size 1"),
        (lambda: MEMORY(batch(), NUMBERS, None, NUMBERS), "enqueue_mask .* torch.int64"),
        (lambda: MEMORY(batch(), NUMBERS, None, [True]), r"enqueue_mask of shape \(1,\)"),
        (lambda: CrossBatchMemory(NMTupleClustersLoss(), 8, 2.5), "memory_size=2.5"),  # type: ignore[arg-type]
        (
            lambda: SelfSupervisedLoss(NMTupleClustersLoss())(batch(4), batch(3)),
            r"embeddings of shape \(4, 8\) and ref_emb of shape \(3, 8\)",
        ),
        (lambda: NMTupleClustersLoss()(batch(), NUMBERS[:3]), r"labels of shape \(3,\) for 36"),
        (
            lambda: NMTupleClustersLoss()(batch(), NUMBERS, None, None, NAMES),
            "ref_labels: given without ref_emb",
        ),
        (
            lambda: NMTupleClustersLoss()(batch(), NUMBERS, None, batch()[:, :3], NUMBERS),
            r"ref_emb of shape \(36, 3\)",
        ),
        (lambda: NMTupleClustersLoss()(batch().numpy(), NUMBERS), "embeddings .* ndarray"),  # type: ignore[arg-type]
        (lambda: NMTupleClustersLoss()(batch() * 1j, NUMBERS), "embeddings .*complex64"),
        (
            lambda: IdentityAwareMiner()(batch(), NUMBERS, identities=PEOPLE, ref_identities=NAMES),
            "ref_identities: given without ref_emb",
        ),
        (
            lambda: IdentityAwareMiner()(
                batch(), NUMBERS, batch(), identities=PEOPLE, ref_identities=PEOPLE
            ),
            "beside ref_emb, ref_labels",
        ),
        (lambda: IdentityAwareMiner(max_positives=True), "max_positives=True"),
        (lambda: IdentityAwareMiner(max_negatives=1.5), "max_negatives=1.5"),  # type: ignore[arg-type]
        (lambda: OnlinePositiveMiner("all"), "base='all'"),  # type: ignore[arg-type]
        (lambda: NMTupleClustersLoss()(batch(), None, ([0], [-1], [0], [2])), "others from -1"),
        (
            lambda: NMTupleClustersLoss()(batch(), None, ([0] * 99, [-1] * 99, [0], [2])),
            "others from -1 to -1 for 36",
        ),
        (lambda: NMTupleClustersLoss()(batch(), None, ([0], [36], [2])), "others from 36 to 36"),
        (lambda: NMTupleClustersLoss()(batch(), None, ([True],) * 4), "of torch.bool"),
        (lambda: NMTupleClustersLoss()(batch(), None, ([[0]],) * 3), r"of shapes \(1, 1\)"),
        (lambda: NMTupleClustersLoss()(batch(), None, ("a", "b", "c")), "indices_tuple: needed"),
        (lambda: tuple_indices(2.0), "num_tuples=2.0: needed is a whole number"),  # type: ignore[arg-type]
        (lambda: tuple_indices(True), "num_tuples=True"),
        (lambda: tuple_indices(2, tensor(1.0)), "positives="),  # type: ignore[arg-type]
        (lambda: tuple_indices(2, 1, "2"), "negatives='2'"),  # type: ignore[arg-type]
        (lambda: NMTupleClustersLoss(float("nan")), "threshold=nan"),
        (lambda: NMTupleClustersLoss("1"), "threshold='1'"),  # type: ignore[arg-type]
        (lambda: NMTupleClustersLoss(tensor([1.0, 2.0])), "threshold=tensor"),  # type: ignore[arg-type]
        (lambda: NMTupleClustersLoss(mine_positives="no"), "mine_positives='no'"),  # type: ignore[arg-type]
        (lambda: nmloss.CoupledClustersLoss(tensor(-1.0)), "margin=tensor.*negative"),  # type: ignore[arg-type]
        (lambda: nmloss.AdaptiveNMTupleClustersLoss(8.0), "embedding_size=8.0"),  # type: ignore[arg-type]
        (lambda: nmloss.AdaptiveNMTupleClustersLoss(8, scale=float("inf")), "scale=inf"),
        (lambda: nmloss.MahalanobisDistance(8, normalize_embeddings="no"), "normalize_embeddings"),  # type: ignore[arg-type]
        (lambda: IdentityTupleSampler("abc", "abb", seed=1.0), "seed=1.0"),  # type: ignore[arg-type]
        (lambda: IdentityTupleSampler("abc", "abb", positives="6"), "positives='6'"),  # type: ignore[arg-type]
        (lambda: IdentityTupleSampler("abc", "abb", shuffle="no"), "shuffle='no'"),  # type: ignore[arg-type]
        (lambda: IdentityTupleSampler("abc", "abb", num_replicas=2, rank=0.0), "rank=0.0"),  # type: ignore[arg-type]
        (lambda: IdentityTupleSampler("abc", "abb").set_epoch(-1), "epoch=-1"),
        (lambda: IdentityTupleSampler("abc", "abb").set_epoch(1.0), "epoch=1.0"),  # type: ignore[arg-type]
        (lambda: IdentityTupleSampler(iter("abc"), iter("ab")), "3 labels and 2 identities"),
        (
            lambda: functional.nm_tuple_clusters_loss(
                POSITIVES, NEGATIVES, positive_mask=MASK.float()
            ),
            "positive_mask .* torch.float32",
        ),
        (
            lambda: functional.n_plus_one_tuplet_loss(POSITIVES, NEGATIVES, positive_mask=MASK[:1]),
            r"positive_mask of shape \(1, 3\)",
        ),
        (
            lambda: functional.coupled_clusters_loss(POSITIVES, NEGATIVES[:1]),
            r"negatives of shape \(1, 2, 8\)",
        ),
        (
            lambda: functional.nm_tuple_clusters_loss(
                POSITIVES, NEGATIVES, threshold=torch.ones(3)
            ),  # type: ignore[arg-type]
            "threshold=tensor",
        ),
        (
            lambda: functional.n_plus_one_tuplet_loss(POSITIVES, NEGATIVES, queries=batch(1)),
            r"queries of shape \(1, 8\): needed is \(2, 8\)",
        ),
        (
            lambda: functional.squared_distances(POSITIVES, batch(1)),
            r"points of shape \(1, 8\)",
        ),
        (
            lambda: functional.mine_positives(torch.ones(2, 3), torch.ones(1, 3)),
            "positive_distances of 2 tuples, negative_distances of 1",
        ),
        (
            lambda: functional.adaptive_margin(
                POSITIVES, batch(2), **{**EYE, "bias": torch.ones(2)}
            ),
            r"bias of shape \(2,\)",
        ),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_numbers_of_any_kind_are_taken_by_value() -> None:
    assert list(map(torch.equal, tuple_indices(tensor(2), np.int64(3)), tuple_indices(2, 3)))
    assert NMTupleClustersLoss(tensor([0.5]), np.float32(0.25)).threshold == 0.5  # type: ignore[arg-type]
    learned = torch.nn.Parameter(tensor(0.5))
    loss_fn = NMTupleClustersLoss(learned)  # type: ignore[arg-type]
    loss_fn(batch(), NUMBERS).backward()
    assert learned.grad is not None
    planned = IdentityTupleSampler(
        "abc" * 4, "a" * 6 + "b" * 6, positives=tensor(2), seed=np.int8(3)
    )  # type: ignore[arg-type]
    planned.set_epoch(tensor(1))  # type: ignore[arg-type]
    expected = IdentityTupleSampler("abc" * 4, "a" * 6 + "b" * 6, positives=2, seed=3)
    expected.set_epoch(1)
    assert list(planned) == list(expected)


@pytest.mark.parametrize("loss_fn", [NMTupleClustersLoss(), nmloss.NPlusOneTupletLoss()])
def test_an_embedding_that_is_nan_makes_the_loss_nan(loss_fn: Any) -> None:
    """A miner that dropped every positive would make it 0."""
    embeddings, labels = batch(6), tensor([0, 0, 1, 1, 2, 2])
    embeddings[2] = torch.nan
    for indices in (None, OnlinePositiveMiner()(embeddings, labels), tuple_indices(2, 2, 1)):
        assert loss_fn(embeddings, labels, indices).isnan()
