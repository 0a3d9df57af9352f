"""The losses inside pytorch-metric-learning (PML), against a loop over tuples."""

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses, miners, reducers, regularizers
from pytorch_metric_learning.trainers import MetricLossOnly
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import nmloss
from nmloss import tuple_indices

Q, M, N, D = 16, 3, 2, 8
SIZE = Q * (M + N)
LABELS = torch.cat([torch.tensor([0, 1, 1]), 2 + torch.arange(SIZE - 3) % 5])  # of 1, of 2, of many
MODULES: dict[str, Callable[..., Any]] = {
    "fixed": nmloss.NMTupleClustersLoss,
    "adaptive": lambda **pml: nmloss.AdaptiveNMTupleClustersLoss(D, rank=6, **pml),
    "n_plus_one": nmloss.NPlusOneTupletLoss,
    "coupled": nmloss.CoupledClustersLoss,
    "fixed, softened": lambda **pml: nmloss.NMTupleClustersLoss(sharpness=4, **pml),
    "adaptive, softened": lambda **pml: nmloss.AdaptiveNMTupleClustersLoss(D, sharpness=2, **pml),
    "n_plus_one, sharpened": lambda **pml: nmloss.NPlusOneTupletLoss(sharpness=4, **pml),
    "coupled, softened": lambda **pml: nmloss.CoupledClustersLoss(sharpness=3, **pml),
}
all_losses = pytest.mark.parametrize("name", MODULES)


def draw(size: int = SIZE, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, D, generator=generator, dtype=torch.float64, requires_grad=True)


def make(name: str, **pml: Any) -> Any:
    """A loss whose parameters have left their start."""
    torch.manual_seed(0)
    loss_fn = MODULES[name](**pml).double()
    for weight in loss_fn.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    return loss_fn


LAYOUT = tuple_indices(Q, M, N)
TRIPLETS = tuple(
    5 * torch.arange(Q).repeat(4) + torch.tensor(offsets).repeat_interleave(Q)
    for offsets in ([0, 0, 0, 0], [1, 1, 2, 2], [3, 4, 3, 4])
)
REF_LABELS = torch.arange(30) % 7
# Positives among the first fifteen references, negatives among the others; some pairs twice.
RANDOM = tuple(
    torch.randint(low, high, (200,), generator=torch.Generator().manual_seed(low + high))
    for low, high in ((0, SIZE), (0, 15), (5, SIZE), (15, 30))
)
FORMS: dict[str, tuple[Any, ...]] = {  # labels, indices, ref_emb, ref_labels
    "layout": (None, LAYOUT),
    "4-tuple": (None, tuple(LAYOUT)),
    "triplets": (None, TRIPLETS),
    "each pair thirty times": (None, tuple(index.repeat(30) for index in LAYOUT)),
    "labels": (LABELS,),
    "all pairs": (None, get_all_pairs_indices(LABELS)),
    "labels of references": (LABELS, None, draw(30, 1).detach(), REF_LABELS),
    "pairs with references": (None, RANDOM, draw(30, 1).detach()),
    "few pairs with references": (None, tuple(i[:20] for i in RANDOM), draw(30, 1).detach()),
}
all_forms = pytest.mark.parametrize("form", FORMS)


def far(loss_fn: Any, members: Tensor, point: Tensor) -> Tensor:
    """The squared distance, or -H of Eq. 8."""
    if not isinstance(loss_fn, nmloss.AdaptiveNMTupleClustersLoss):
        return (members - point).square().sum(-1)
    a, b = loss_fn.map_a, loss_fn.map_b
    norms = (members @ a.T).square().sum(-1) + (a @ point).square().sum()
    linear = (members + point) @ loss_fn.linear
    return -(loss_fn.sign / 2 * norms + (members @ b.T) @ (b @ point) + linear + loss_fn.bias)


def mined(loss_fn: Any, members: Tensor, negatives: Tensor) -> Tensor:
    """Algorithm 1: which members stay."""
    center = members.mean(dim=0)
    distances = far(loss_fn, members, center).detach()
    if len(negatives) == 0:
        return distances > -torch.inf
    kept = distances <= far(loss_fn, negatives, center).min()
    least = distances.min()
    return kept if kept.any() else distances <= least + 1e-4 * least.abs()


def hinge(loss_fn: Any, values: Tensor) -> Tensor:
    """[x]+, or log(1 + exp(k x)) / k."""
    if loss_fn.sharpness is None:
        return values.relu()
    return (loss_fn.sharpness * values).exp().log1p() / loss_fn.sharpness


def equation(loss_fn: Any, query: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Eqs. 1, 3 and 10 and the coupled clusters loss, of one tuple."""
    if isinstance(loss_fn, nmloss.NPlusOneTupletLoss):
        positive, negative = far(loss_fn, positives, query), far(loss_fn, negatives, query)
        k = loss_fn.sharpness or 1.0
        terms = (k * (positive[:, None] + loss_fn.margin - negative)).exp().sum(dim=1).log1p() / k
        return terms.sum() / max(len(terms), 1)
    members = torch.cat([query[None], positives])
    if isinstance(loss_fn, nmloss.CoupledClustersLoss):
        center = members.mean(dim=0)
        nearest = min(far(loss_fn, negatives, center), default=torch.tensor(torch.inf))
        return hinge(loss_fn, far(loss_fn, members, center) + loss_fn.margin - nearest).sum() / 2
    members = members[mined(loss_fn, members, negatives)]
    center = members.mean(dim=0)
    pull, push = far(loss_fn, members, center), far(loss_fn, negatives, center)
    if isinstance(loss_fn, nmloss.AdaptiveNMTupleClustersLoss):
        total = hinge(loss_fn, 1 + pull).sum() + hinge(loss_fn, 1 - push).sum()
        return total / (len(pull) + len(push))
    inner = loss_fn.threshold - loss_fn.margin / 2
    push = hinge(loss_fn, inner + loss_fn.margin - push)
    return hinge(loss_fn, pull - inner).mean() + push.sum() / max(len(push), 1)


def members_of(
    embeddings: Tensor,
    labels: Tensor | None = None,
    indices: Any = None,
    ref_emb: Tensor | None = None,
    ref_labels: Tensor | None = None,
) -> dict[int, tuple[Tensor, ...]]:
    """Query, positives beside it and negatives of every tuple that counts."""
    if indices is None:
        assert labels is not None
        indices = get_all_pairs_indices(labels, ref_labels)
    pairs: tuple[dict[int, set[int]], ...] = (defaultdict(set), defaultdict(set))
    for kind, a, b in ((0, 0, 1), (1, -2 if len(indices) == 4 else 0, -1)):
        for anchor, other in zip(indices[a].tolist(), indices[b].tolist(), strict=True):
            pairs[kind][anchor].add(other)
    points = F.normalize(embeddings)
    references = points if ref_emb is None else F.normalize(ref_emb)
    return {
        query: (points[query], *(references[sorted(kind[query])] for kind in pairs))
        for query in range(len(points))
        if pairs[0][query] or pairs[1][query]
    }


def loop(loss_fn: Any, embeddings: Tensor, *arguments: Any) -> dict[int, Tensor]:
    tuples = members_of(embeddings, *arguments)
    return {query: equation(loss_fn, *members) for query, members in tuples.items()}


def mean_of(table: dict[int, Tensor]) -> Tensor:
    return torch.stack([*table.values()]).mean()


def assert_same(got: Tensor, expected: Tensor, *sources: Tensor | nn.Module) -> None:
    """Values, and gradients of tensors and of all parameters of modules."""
    torch.testing.assert_close(got, expected)
    leaves: list[Tensor] = []
    for source in sources:
        leaves.extend(source.parameters() if isinstance(source, nn.Module) else [source])
    wanted = torch.autograd.grad(expected, leaves, materialize_grads=True)
    torch.testing.assert_close(torch.autograd.grad(got, leaves), wanted)


@all_losses
@all_forms
def test_every_form_gives_the_loss_and_gradients_of_the_loop(name: str, form: str) -> None:
    """A pair counts once, however often it is named."""
    loss_fn, embeddings = make(name), draw()
    loss = loss_fn(embeddings, *FORMS[form])
    assert_same(loss, mean_of(loop(loss_fn, embeddings, *FORMS[form])), embeddings, loss_fn)


@all_losses
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [0, 1, 2, 3], [0] * 5, [0, 1, 1, 0, 0, 2]])
def test_labels_are_the_explicit_4_tuple_in_classes_of_any_size(
    name: str, labels: list[int]
) -> None:
    loss_fn, embeddings, of_class = make(name), draw(len(labels)), torch.tensor(labels)
    pairs = get_all_pairs_indices(of_class)
    loss = loss_fn(embeddings, of_class)
    assert_same(loss, mean_of(loop(loss_fn, embeddings, None, pairs)), embeddings, loss_fn)
    loss, of_pairs = loss_fn(embeddings, of_class), loss_fn(embeddings, None, pairs)
    assert_same(loss, of_pairs, embeddings, loss_fn)


@all_losses
def test_beside_index_tuples_labels_change_nothing(name: str) -> None:
    loss_fn, embeddings = make(name), draw()
    mining = (miners.MultiSimilarityMiner(), miners.TripletMarginMiner(), get_all_pairs_indices)
    mined_pairs = [mining[0](embeddings, LABELS), mining[1](embeddings, LABELS), mining[2](LABELS)]
    for indices in (LAYOUT, *mined_pairs):
        loss = loss_fn(embeddings, LABELS, indices)
        assert torch.equal(loss, loss_fn(embeddings, indices_tuple=indices))
        assert torch.equal(loss, loss_fn(embeddings, indices_tuple=indices, ref_emb=embeddings))


@all_losses
def test_the_embeddings_may_be_named_as_their_own_references(name: str) -> None:
    loss_fn, embeddings, others = make(name), draw(), (LABELS + 1) % 7
    expected = loss_fn(embeddings, LABELS)
    for ref_labels in (None, LABELS, LABELS.clone()):
        loss = loss_fn(embeddings, LABELS, None, embeddings, ref_labels)
        torch.testing.assert_close(loss, expected)
    loss = loss_fn(embeddings, LABELS, None, embeddings, others)
    expected = loss_fn(embeddings, None, get_all_pairs_indices(LABELS, others))
    torch.testing.assert_close(loss, expected)


@all_losses
@pytest.mark.parametrize("times", [1, 30])
def test_a_positive_pair_of_an_image_with_itself_counts_for_nothing(name: str, times: int) -> None:
    loss_fn, embeddings, (a1, p, a2, n) = make(name), draw(), LAYOUT
    queries = torch.arange(Q) * (M + N)
    pairs = (torch.cat([a1, queries]), torch.cat([p, queries]), a2, n)
    loss = loss_fn(embeddings, None, tuple(index.repeat(times) for index in pairs))
    torch.testing.assert_close(loss, loss_fn(embeddings, None, LAYOUT))


@all_losses
def test_multiple_losses_weigh_and_mine_for_each(name: str) -> None:
    loss_fn, other, embeddings = make(name), losses.ContrastiveLoss(), draw()
    miner = miners.MultiSimilarityMiner()
    mined_loss = loss_fn(embeddings, LABELS, miner(embeddings, LABELS))
    plain = other(embeddings, LABELS)
    unweighted = losses.MultipleLosses([loss_fn, other], [miner, None])
    assert_same(unweighted(embeddings, LABELS), mined_loss + plain, embeddings, loss_fn)
    weights = {"a": 0.3, "b": 2}
    weighted = losses.MultipleLosses({"a": loss_fn, "b": other}, {"a": miner}, weights)
    torch.testing.assert_close(weighted(embeddings, LABELS), 0.3 * mined_loss + 2 * plain)


@all_losses
@pytest.mark.parametrize(
    "miner", [None, miners.MultiSimilarityMiner(), miners.TripletMarginMiner(margin=0.5)]
)
def test_a_memory_gives_the_loop_over_all_it_holds(name: str, miner: nn.Module | None) -> None:
    """It wraps round in the third step. No query is compared with its own copy."""
    loss_fn, memory = make(name), dict[int, tuple[Tensor, Tensor]]()
    wrapped = nmloss.CrossBatchMemory(loss_fn, D, memory_size=20, miner=miner)
    for step in range(6):
        embeddings, labels = draw(8, step), (torch.arange(8) + step) % 3
        own = [(8 * step + place) % 20 for place in range(8)]
        memory |= zip(own, zip(embeddings.detach(), labels, strict=True), strict=True)
        held, held_labels = (
            torch.stack([memory[j][k] for j in range(len(memory))]) for k in (0, 1)
        )
        if miner is None:
            pairs = get_all_pairs_indices(labels, held_labels)
        else:
            pairs = miner(embeddings, labels, held, held_labels)
        is_other = torch.tensor(own)[pairs[0]] != pairs[1]
        others = 2 if len(pairs) == 4 else 3
        pairs = (*(index[is_other] for index in pairs[:others]), *pairs[others:])
        expected = mean_of(loop(loss_fn, embeddings, None, pairs, held))
        assert_same(wrapped(embeddings, labels), expected, embeddings, loss_fn)


@pytest.mark.parametrize("steps", [1, 3])  # before and after it wraps round
def test_a_memory_goes_on_from_its_state_dict(steps: int) -> None:
    first, second = (nmloss.CrossBatchMemory(losses.NTXentLoss(), D, 20) for _ in range(2))
    labels = torch.arange(8) % 3
    for step in range(steps):
        first(draw(8, step).float(), labels)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for step in range(steps, steps + 3):
        assert torch.equal(*(memory(draw(8, step).float(), labels) for memory in (first, second)))


def test_a_state_dict_of_before_loads() -> None:
    memory = nmloss.CrossBatchMemory(losses.NTXentLoss(), D, 20)
    memory(draw(8), torch.arange(8) % 3)
    state = {name: value for name, value in memory.state_dict().items() if name != "queue"}
    assert state.keys() == {"embedding_memory", "label_memory"}
    nmloss.CrossBatchMemory(losses.NTXentLoss(), D, 20).load_state_dict(state)


@all_losses
def test_an_enqueue_mask_parts_the_queries_from_the_memory(name: str) -> None:
    loss_fn, embeddings, labels = make(name), draw(12), torch.arange(12) % 3
    wrapped = nmloss.CrossBatchMemory(loss_fn, D, memory_size=20)
    enqueued = torch.arange(12) % 4 < 3
    loss = wrapped(embeddings, labels, enqueue_mask=enqueued)
    queries, held = embeddings[~enqueued], embeddings[enqueued].detach()
    table = loop(loss_fn, queries, labels[~enqueued], None, held, labels[enqueued])
    assert_same(loss, mean_of(table), embeddings, loss_fn)


@all_losses
def test_two_views_of_an_image_are_a_class(name: str) -> None:
    loss_fn, images, views, labels = make(name), draw(9, 1), draw(9, 2), torch.arange(9)
    both = torch.cat([images, views])
    symmetric = nmloss.SelfSupervisedLoss(loss_fn)(images, views)
    expected = mean_of(loop(loss_fn, both, labels.repeat(2)))
    assert_same(symmetric, expected, images, views, loss_fn)
    one_way = nmloss.SelfSupervisedLoss(loss_fn, symmetric=False)(images, views)
    expected = mean_of(loop(loss_fn, images, labels, None, views, labels.clone()))
    assert_same(one_way, expected, images, views, loss_fn)


@all_losses
def test_the_wrappers_of_pml_know_its_own_losses_only_and_ours_know_both(name: str) -> None:
    for kind, options in (
        ("CrossBatchMemory", {"embedding_size": D, "memory_size": SIZE}),
        ("SelfSupervisedLoss", {}),
    ):
        with pytest.raises(Exception, match="not supported for"):
            getattr(losses, kind)(make(name), **options)
        both = [getattr(x, kind)(losses.NTXentLoss(), **options) for x in (losses, nmloss)]
        second = LABELS if options else draw(seed=1)
        assert torch.equal(*(wrapped(draw(), second) for wrapped in both))


WEIGHTS = torch.tensor([1.0, 10.0, 100.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
REDUCERS: dict[str, tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], float]] = {
    # What it makes of losses and labels of the queries, and of 0.5, 0, 1.5 of classes 2, 0, 1.
    "mean": (reducers.MeanReducer(), lambda x, _: x.mean(), 2 / 3),
    "sum": (reducers.SumReducer(), lambda x, _: x.sum(), 2.0),
    "not zero": (reducers.AvgNonZeroReducer(), lambda x, _: x[x > 0].mean(), 1.0),
    "above": (reducers.ThresholdReducer(low=0.3), lambda x, _: x[x > 0.3].mean(), 1.0),
    "below": (
        reducers.ThresholdReducer(high=1),
        lambda x, _: x[x < 1].sum() / max(sum(x < 1), 1),
        0.25,
    ),
    "by class": (
        reducers.ClassWeightedReducer(WEIGHTS),
        lambda x, y: (x * WEIGHTS[y]).mean(),
        65 / 3,
    ),
    "anchor": (reducers.PerAnchorReducer(reducers.SumReducer()), lambda x, _: x.sum(), 2.0),
    "divisor": (reducers.DivisorReducer(), lambda x, _: x.mean(), 2 / 3),
    "several": (
        reducers.MultipleReducers({"loss": reducers.SumReducer()}),
        lambda x, _: x.sum(),
        2.0,
    ),
}
all_reducers = pytest.mark.parametrize("kind", REDUCERS)


@all_losses
@all_reducers
@pytest.mark.parametrize("form", ["layout", "labels", "few pairs with references"])
def test_a_reducer_reduces_the_losses_of_the_tuples(name: str, kind: str, form: str) -> None:
    reducer, by_hand, _ = REDUCERS[kind]
    _, *others = FORMS[form]
    embeddings, loss_fn = draw(), make(name, reducer=reducer)
    table = loop(loss_fn, embeddings, LABELS, *others)
    expected = by_hand(torch.stack([*table.values()]), LABELS[[*table]])
    assert_same(loss_fn(embeddings, LABELS, *others), expected, embeddings, loss_fn)
    unreduced = make(name, reducer=reducers.DoNothingReducer())(embeddings, LABELS, *others)
    assert unreduced["loss"]["indices"].tolist() == [*table]  # the places of the queries
    torch.testing.assert_close(unreduced["loss"]["losses"], torch.stack([*table.values()]))


@all_reducers
def test_a_reducer_gives_the_number_worked_by_hand(kind: str) -> None:
    """[D + 3 - D(n, q)]+ / 2 with D(n, q) = 2, 4 and 0; the class is that of the query."""
    east, north, west = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    embeddings = torch.stack([east, north, east, west, north, north])
    loss_fn = nmloss.CoupledClustersLoss(margin=3.0, reducer=REDUCERS[kind][0])
    loss = loss_fn(embeddings, torch.tensor([2, 6, 0, 5, 1, 4]), tuple_indices(3, 1, 1))
    assert loss.item() == pytest.approx(REDUCERS[kind][2])


@all_losses
@pytest.mark.parametrize("form", ["layout", "labels", "few pairs with references"])
def test_a_regulariser_is_added(name: str, form: str) -> None:
    embeddings = draw()
    for regularizer, penalty in (
        (regularizers.LpRegularizer(), embeddings.norm(dim=1).mean()),
        (regularizers.ZeroMeanRegularizer(), embeddings.sum(dim=1).abs().mean()),
    ):
        loss_fn = make(name, embedding_regularizer=regularizer, embedding_reg_weight=0.3)
        table = loop(loss_fn, embeddings, *FORMS[form])
        loss = loss_fn(embeddings, *FORMS[form])
        assert_same(loss, mean_of(table) + 0.3 * penalty, embeddings, loss_fn)


@all_losses
@all_forms
def test_stats_are_shares_of_the_tuples_that_count(name: str, form: str) -> None:
    """Softened or not: the tuples with a loss are those in which a hinge is active."""
    loss_fn, embeddings = make(name, collect_stats=True), draw()
    loss_fn(embeddings, *FORMS[form])
    loss_fn.sharpness = None
    values = [loss.item() for loss in loop(loss_fn, embeddings, *FORMS[form]).values()]
    assert loss_fn.tuples_with_loss == pytest.approx(sum(x > 0 for x in values) / len(values))
    if name.startswith("n_plus_one"):
        assert loss_fn.positives_kept == 1
    elif not name.startswith("coupled"):
        clusters = [
            mined(loss_fn, torch.cat([query[None], positives]), negatives)
            for query, positives, negatives in members_of(embeddings, *FORMS[form]).values()
        ]
        assert loss_fn.positives_kept == pytest.approx(torch.cat(clusters).double().mean().item())


@all_losses
@pytest.mark.parametrize("kind", [None, *REDUCERS])
@pytest.mark.parametrize("arguments", [(torch.tensor([3]),), (None, tuple_indices(1, 1, 0))])
def test_where_nothing_counts_the_zero_reaches_everything(
    name: str, kind: str | None, arguments: tuple[Any, ...]
) -> None:
    loss_fn, embeddings = make(name, reducer=kind and REDUCERS[kind][0]), draw(1)
    assert_same(loss_fn(embeddings, *arguments), 0 * embeddings.sum(), embeddings, loss_fn)


@all_losses
def test_where_the_reducer_drops_all_losses_the_zero_reaches_everything(name: str) -> None:
    """Or else a process whose tuples are all well keeps the others of DDP waiting."""
    loss_fn, embeddings = make(name, reducer=reducers.ThresholdReducer(low=1e6)), draw()
    for form in ("layout", "labels"):
        loss = loss_fn(embeddings, *FORMS[form])
        assert_same(loss, 0 * embeddings.sum(), embeddings, loss_fn)


@all_losses
def test_an_empty_batch_with_a_regulariser_is_zero(name: str) -> None:
    loss_fn = make(name, embedding_regularizer=regularizers.LpRegularizer())
    assert loss_fn(draw(0), None, tuple_indices(0)).item() == 0


@all_losses
@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_the_trainer_of_pml_does_what_a_plain_loop_does(name: str) -> None:
    images, labels = draw(24).detach(), torch.arange(24) % 4
    ends = []
    for is_plain in (True, False):
        loss_fn, trunk, miner = make(name), nn.Linear(D, D).double(), miners.MultiSimilarityMiner()
        optimizers = {"trunk_optimizer": torch.optim.SGD(trunk.parameters(), lr=0.5)}
        if [*loss_fn.parameters()]:
            optimizers["metric_loss_optimizer"] = torch.optim.SGD(loss_fn.parameters(), lr=0.5)
        weights = [*trunk.parameters(), *loss_fn.parameters()]
        start = [weight.detach().clone() for weight in weights]
        if is_plain:
            for _ in range(3):
                embeddings = trunk(images)
                loss_fn(embeddings, labels, miner(embeddings, labels)).backward()
                for optimizer in optimizers.values():
                    optimizer.step()
                    optimizer.zero_grad()
        else:
            data = TensorDataset(images, labels)
            parts = ({"trunk": trunk}, optimizers, len(images), {"metric_loss": loss_fn}, data)
            options = {"iterations_per_epoch": 3, "dataloader_num_workers": 0}
            MetricLossOnly(*parts, {"tuple_miner": miner}, **options).train()
        assert not any(torch.equal(a, b) for a, b in zip(start, weights, strict=True))
        ends.append(weights)
    torch.testing.assert_close(*ends)


def cast(
    form: str, dtype: torch.dtype, keep: torch.dtype = torch.float32, offset: float = 0.0
) -> tuple[Any, ...]:
    """The embeddings and what belongs to the form; what ``keep`` rounds off is lost."""

    def move(x: Any) -> Any:
        is_embedding = isinstance(x, Tensor) and x.is_floating_point()
        return (x.detach() + offset).to(keep).to(dtype) if is_embedding else x

    embeddings, *others = (move(x) for x in (draw(), *FORMS[form]))
    return embeddings.requires_grad_(), *others


def gradients(loss: Tensor, embeddings: Tensor, loss_fn: nn.Module) -> list[Tensor]:
    return [x.float() for x in torch.autograd.grad(loss, [embeddings, *loss_fn.parameters()])]


@all_losses
@all_forms
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_is_computed_in_at_least_float32(
    name: str, form: str, dtype: torch.dtype
) -> None:
    for weights in (torch.float32, torch.bfloat16):
        loss_fn, at_least = make(name).to(weights), torch.promote_types(dtype, torch.float32)
        given, exact = cast(form, dtype, dtype), cast(form, at_least, dtype)
        loss, expected = loss_fn(*given), loss_fn(*exact)
        assert loss.dtype == at_least
        torch.testing.assert_close(loss, expected)
        found, wanted = (gradients(x, y[0], loss_fn) for x, y in ((loss, given), (expected, exact)))
        torch.testing.assert_close(found, wanted, rtol=2e-2, atol=1e-4)
        assert all(weight.dtype == weights for weight in loss_fn.parameters())


@all_losses
def test_half_precision_with_a_regulariser_gives_float32(name: str) -> None:
    loss_fn = make(name, embedding_regularizer=regularizers.LpRegularizer()).float()
    assert loss_fn(*cast("layout", torch.float16)).dtype == torch.float32


@all_losses
@all_forms
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_neither_the_loss_nor_its_gradients(
    name: str, form: str, dtype: torch.dtype
) -> None:
    """Called within autocast, `backward` is as exact as autocast; in the layout it is exact.

    Not that of Eq. 10, which is made of matrix products.
    """
    loss_fn, given = make(name).float(), cast(form, torch.float32)
    expected = loss_fn(*given)
    wanted = gradients(expected, given[0], loss_fn)
    with torch.autocast("cpu", dtype=dtype):
        loss, again = loss_fn(*given), loss_fn(*given)
        inside = gradients(again, given[0], loss_fn)
    assert torch.equal(loss, expected)
    torch.testing.assert_close(gradients(loss, given[0], loss_fn), wanted)
    for found, gradient in zip(inside, wanted, strict=True):
        rounding = 1e-6 if form == "layout" and "adaptive" not in name else torch.finfo(dtype).eps
        limit = 4 * rounding * gradient.abs().max().item()
        torch.testing.assert_close(found, gradient, rtol=0, atol=limit)


@pytest.mark.parametrize(
    ("name", "form", "offset"),
    [(name, form, 0) for name in MODULES for form in FORMS]
    + [(name, form, 100) for name in MODULES if "adaptive" not in name for form in FORMS],
)
def test_float32_is_off_by_a_millionth_of_the_largest_distance(
    name: str, form: str, offset: int
) -> None:
    """Of normalised embeddings, and of others far from the origin.

    Not so H of Eq. 8, which depends on where the origin is: far from it, it is off by a thousandth.
    """
    loss_fn = make(name, reducer=reducers.DoNothingReducer()).float()
    points = F.normalize(draw())
    if offset:
        loss_fn.threshold, loss_fn.margin, loss_fn.distance.normalize_embeddings = 16, 16, False
        points = draw()
    cases = (cast(form, dtype, offset=offset) for dtype in (torch.float32, torch.float64))
    single, double = (loss_fn(*case)["loss"]["losses"].double() for case in cases)
    assert (single - double).abs().max() <= 1e-6 * torch.cdist(points, points).square().max()
