"""The modules in pytorch-metric-learning's forms."""

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances, losses, reducers, regularizers
from torch import Tensor, nn

import nmloss
from nmloss import TupleIndices, functional, tuple_indices

Q, M, N, D = 4, 3, 2, 8
MODULES: dict[str, Callable[..., nn.Module]] = {
    "fixed": nmloss.NMTupleClustersLoss,
    "adaptive": lambda **pml: nmloss.AdaptiveNMTupleClustersLoss(D, **pml),
    "n_plus_one": nmloss.NPlusOneTupletLoss,
    "coupled": nmloss.CoupledClustersLoss,
    "fixed, softened": lambda **pml: nmloss.NMTupleClustersLoss(sharpness=4, **pml),
    "adaptive, softened": lambda **pml: nmloss.AdaptiveNMTupleClustersLoss(D, sharpness=2, **pml),
    "n_plus_one, sharpened": lambda **pml: nmloss.NPlusOneTupletLoss(sharpness=4, **pml),
    "coupled, softened": lambda **pml: nmloss.CoupledClustersLoss(sharpness=4, **pml),
}
all_losses = pytest.mark.parametrize("name", MODULES)


def batch(dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(Q * (M + N), D, generator=generator, dtype=torch.float64).to(dtype)


def value_and_gradient(
    loss_fn: nn.Module, embeddings: Tensor, *arguments: Any, **options: Any
) -> tuple[Tensor, Tensor]:
    embeddings = embeddings.clone().requires_grad_()
    loss = loss_fn(embeddings, *arguments, **options)
    loss.backward()
    assert embeddings.grad is not None
    return loss.detach(), embeddings.grad


@all_losses
def test_the_layout_the_4_tuple_and_triplets_agree(name: str) -> None:
    loss_fn, embeddings = MODULES[name](), batch()
    layout = tuple_indices(Q, M, N)
    expected = value_and_gradient(loss_fn, embeddings, None, layout)
    pairs = tuple(layout)
    assert not isinstance(pairs, TupleIndices)
    triplets = [
        (a, p, n)
        for a, p in zip(layout[0].tolist(), layout[1].tolist(), strict=True)
        for b, n in zip(layout[2].tolist(), layout[3].tolist(), strict=True)
        if a == b
    ]
    for indices in (pairs, tuple(torch.tensor(triplets).T)):
        for got, want in zip(
            value_and_gradient(loss_fn, embeddings, None, indices), expected, strict=True
        ):
            torch.testing.assert_close(got, want)


@all_losses
def test_a_permuted_batch_has_the_same_loss_and_gradient(name: str) -> None:
    loss_fn, embeddings = MODULES[name](), batch()
    layout = tuple_indices(Q, M, N)
    loss, gradient = value_and_gradient(loss_fn, embeddings, None, layout)
    order = torch.randperm(len(embeddings), generator=torch.Generator().manual_seed(1))
    place = order.argsort()
    permuted = tuple(place[index] for index in layout)
    got, got_gradient = value_and_gradient(loss_fn, embeddings[order], None, permuted)
    torch.testing.assert_close(got, loss)
    torch.testing.assert_close(got_gradient, gradient[order])


@all_losses
def test_no_indices_are_all_pairs_of_the_labels(name: str) -> None:
    loss_fn, embeddings = MODULES[name](), batch()
    labels = torch.arange(len(embeddings)) % 4
    same = labels[:, None] == labels
    pairs = (*torch.where(same & ~torch.eye(len(labels)).bool()), *torch.where(~same))
    torch.testing.assert_close(loss_fn(embeddings, labels), loss_fn(embeddings, labels, pairs))


def test_the_distance_is_squared_on_normalised_embeddings() -> None:
    embeddings = 5 * batch()
    members = nn.functional.normalize(embeddings).reshape(Q, M + N, D)
    expected = functional.nm_tuple_clusters_loss(members[:, :M], members[:, M:]).mean()
    loss = nmloss.NMTupleClustersLoss()(embeddings, indices_tuple=tuple_indices(Q, M, N))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("name", ["fixed", "n_plus_one", "coupled"])
@pytest.mark.parametrize(
    "distance",
    [
        distances.LpDistance(p=2, power=2, normalize_embeddings=False),
        distances.LpDistance(p=2, power=1),
        distances.LpDistance(p=1, power=1, normalize_embeddings=False),
        distances.SNRDistance(),
        distances.CosineSimilarity(),
        nmloss.MahalanobisDistance(D, rank=5).double(),
    ],
)
def test_any_distance_serves_in_both_forms(name: str, distance: distances.BaseDistance) -> None:
    loss_fn = MODULES[name](distance=distance)
    layout = tuple_indices(Q, M, N)
    dense, paired = loss_fn(batch(), None, layout), loss_fn(batch(), None, tuple(layout))
    torch.testing.assert_close(dense, paired, rtol=1e-4, atol=1e-4)


def test_a_similarity_is_a_distance_with_its_sign_changed() -> None:
    """With dot products and no margin Eq. 1 is the N-pair loss (Sohn 2016)."""
    embeddings = batch()
    loss_fn = nmloss.NPlusOneTupletLoss(
        margin=0.0, distance=distances.DotProductSimilarity(normalize_embeddings=False)
    )
    layout = tuple_indices(Q, M, N)
    members = embeddings.reshape(Q, M + N, D)
    products = (members[:, :1] * members[:, 1:]).sum(-1)
    positive, negative = products[:, : M - 1, None], products[:, None, M - 1 :]
    expected = (1 + (negative - positive).exp().sum(-1)).log().mean()
    for indices in (layout, tuple(layout)):
        torch.testing.assert_close(loss_fn(embeddings, None, indices), expected)


@all_losses
@pytest.mark.parametrize(
    "reducer",
    [
        reducers.MeanReducer(),
        reducers.SumReducer(),
        reducers.AvgNonZeroReducer(),
        reducers.ThresholdReducer(low=0.1),
        reducers.ClassWeightedReducer(weights=torch.rand(4, dtype=torch.float64)),
        reducers.DoNothingReducer(),
    ],
)
def test_any_reducer_serves(name: str, reducer: nn.Module) -> None:
    loss_fn = MODULES[name](reducer=reducer)
    labels = torch.arange(Q * (M + N)) % 4
    assert loss_fn(batch(), labels) is not None


@all_losses
def test_reducers_see_only_the_tuples_that_count(name: str) -> None:
    """Labels 0 0 1: every image has a pair. A fourth embedding without pairs changes nothing."""
    embeddings = batch()[:4]
    pairs = tuple(torch.tensor(x) for x in ([0, 1], [1, 0], [0, 1, 2], [2, 2, 0]))
    for reducer in (None, reducers.MeanReducer(), reducers.DoNothingReducer()):
        loss_fn = MODULES[name](reducer=reducer)
        alone, with_more = (loss_fn(embeddings[:k], None, pairs) for k in (3, 4))
        if isinstance(reducer, reducers.DoNothingReducer):
            alone, with_more = (x["loss"]["losses"] for x in (alone, with_more))
            assert len(with_more) == 3
        torch.testing.assert_close(alone, with_more)


@all_losses
def test_the_query_is_a_member_of_its_own_cluster_under_ref_emb(name: str) -> None:
    loss_fn, embeddings = MODULES[name](), batch()
    members = embeddings.reshape(Q, M + N, D)
    layout = tuple_indices(Q, M, N)
    expected = loss_fn(embeddings, None, layout)
    queries, references = members[:, 0], members[:, 1:].reshape(-1, D)
    place = torch.arange(Q).repeat_interleave
    size = M + N - 1
    base = torch.arange(Q)[:, None] * size
    indices = (
        place(M - 1),
        (base + torch.arange(M - 1)).flatten(),
        place(N),
        (base + torch.arange(M - 1, size)).flatten(),
    )
    torch.testing.assert_close(loss_fn(queries, None, indices, references), expected)


@all_losses
@pytest.mark.parametrize(
    ("embeddings", "indices"),
    [
        (torch.zeros(0, D), tuple_indices(0, M, N)),
        (batch()[:3], tuple_indices(3, 1, 0)),
        (batch()[:3], (torch.zeros(0, dtype=torch.long),) * 4),
        (batch()[:3], (torch.zeros(0, dtype=torch.long),) * 3),
    ],
)
@pytest.mark.parametrize("reducer", [None, reducers.AvgNonZeroReducer()])
def test_no_tuples_give_a_zero_that_every_weight_takes_part_in(
    name: str, embeddings: Tensor, indices: Any, reducer: nn.Module | None
) -> None:
    loss_fn = MODULES[name](reducer=reducer)
    embeddings = embeddings.clone().requires_grad_()
    loss = loss_fn(embeddings, None, indices)
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()
    assert all(w.grad is not None and not w.grad.any() for w in loss_fn.parameters())


@all_losses
@pytest.mark.parametrize("indexed", [True, False])
def test_half_precision_gives_float32_and_leaves_the_parameters_alone(
    name: str, indexed: bool
) -> None:
    loss_fn = MODULES[name]()
    indices = tuple_indices(Q, M, N) if indexed else None
    labels = torch.arange(Q * (M + N)) % 4
    for dtype in (torch.float16, torch.bfloat16):
        embeddings = batch(dtype).requires_grad_()
        loss = loss_fn(embeddings, labels, indices)
        loss.backward()
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, loss_fn(batch(dtype).float(), labels, indices))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = loss_fn(batch(torch.float32), labels, indices)
    torch.testing.assert_close(under, loss_fn(batch(torch.float32), labels, indices))
    assert all(weight.dtype == torch.float32 for weight in loss_fn.parameters())


def test_other_losses_of_pml_take_the_tuple_indices() -> None:
    indices = tuple_indices(Q, M, N)
    labels = torch.arange(Q * (M + N))
    for loss_fn in (losses.TripletMarginLoss(), losses.ContrastiveLoss(), losses.SupConLoss()):
        loss = loss_fn(batch(), labels, indices)
        torch.testing.assert_close(loss, loss_fn(batch(), labels, tuple(indices)))


@all_losses
def test_multiple_losses_and_a_regulariser_serve(name: str) -> None:
    layout = tuple_indices(Q, M, N)
    loss_fn = MODULES[name]()
    both = losses.MultipleLosses([loss_fn, loss_fn], weights=[0.5, 0.5])
    torch.testing.assert_close(both(batch(), None, layout), loss_fn(batch(), None, layout))
    regularised = MODULES[name](
        embedding_regularizer=regularizers.LpRegularizer(), embedding_reg_weight=0.1
    )
    expected = loss_fn(batch(), None, layout) + 0.1 * batch().norm(dim=1).mean()
    torch.testing.assert_close(regularised(batch(), None, layout), expected)


def test_the_adaptive_loss_starts_as_the_fixed_one() -> None:
    """H = 2 - 2 D: the hinges at H = 1 and -1 are hinges at D = 0.5 and 1.5, twice as steep."""
    layout = tuple_indices(Q, 3, 3)
    embeddings = torch.randn(Q * 6, D, dtype=torch.float64)
    adaptive = nmloss.AdaptiveNMTupleClustersLoss(D, mine_positives=False).double()
    fixed = nmloss.NMTupleClustersLoss(threshold=1.0, margin=1.0, mine_positives=False)
    torch.testing.assert_close(
        adaptive(embeddings, None, layout), fixed(embeddings, None, layout), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("convention", ["metric", "paper"])
def test_the_convention_sets_the_signs(convention: str) -> None:
    loss_fn = nmloss.AdaptiveNMTupleClustersLoss(D, convention=convention)  # type: ignore[arg-type]
    assert loss_fn.sign == {"metric": -1, "paper": 1}[convention]


def test_a_smaller_rank_keeps_distances_on_average() -> None:
    torch.manual_seed(0)
    loss_fn = nmloss.AdaptiveNMTupleClustersLoss(64, rank=16, scale=1.0)
    assert loss_fn.map_a.shape == (16, 64)
    points = torch.randn(2000, 64)
    ratio = (points @ loss_fn.map_a.T).square().sum(1) / (2 * points.square().sum(1))
    assert ratio.mean().item() == pytest.approx(1, abs=0.05)


def test_the_adaptive_loss_trains_with_its_encoder() -> None:
    torch.manual_seed(0)
    encoder, loss_fn = nn.Linear(D, D), nmloss.AdaptiveNMTupleClustersLoss(D)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=0.03)
    start = copy.deepcopy(loss_fn.state_dict())
    seen = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_fn(encoder(batch(torch.float32)), None, tuple_indices(Q, M, N))
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    assert seen[-1] < 0.3 * seen[0]
    assert all(not torch.equal(start[name], value) for name, value in loss_fn.state_dict().items())


def adam(encoder: nn.Module, loss_fn: Any, **options: Any) -> torch.optim.Optimizer:
    groups = loss_fn.parameter_groups(lr=0.01, **options)
    return torch.optim.Adam([{"params": encoder.parameters()}, *groups], lr=0.01)


@pytest.mark.parametrize("rate", [0.1, 0.0, 1.0])
def test_a_group_of_its_own_learns_at_the_given_share_of_the_rate(rate: float) -> None:
    """Adam's first step is as long as the rate, whatever the gradient."""
    encoder, loss_fn = nn.Linear(D, D).double(), MODULES["adaptive"]().double()
    before = copy.deepcopy(nn.ModuleList([encoder, loss_fn]))
    optimizer = adam(encoder, loss_fn, rate=rate, weight_decay=0.0)
    loss_fn(encoder(batch()), None, tuple_indices(Q, M, N)).backward()
    optimizer.step()
    steps = [
        max(float((a - b).abs().max().detach()) for a, b in zip(*pair, strict=True))
        for pair in (
            (encoder.parameters(), before[0].parameters()),
            (loss_fn.parameters(), before[1].parameters()),
        )
    ]
    assert steps == pytest.approx([0.01, 0.01 * rate], rel=1e-3)


def test_a_group_holds_what_learns_and_takes_options() -> None:
    assert nmloss.NMTupleClustersLoss().parameter_groups(lr=0.1) == []
    distance = nmloss.MahalanobisDistance(D)
    (group,) = nmloss.CoupledClustersLoss(distance=distance).parameter_groups(
        0.1, 0.5, weight_decay=0.3
    )
    assert group["params"][0] is distance.map
    assert (len(group["params"]), group["lr"], group["weight_decay"]) == (1, 0.05, 0.3)
    (group,) = nmloss.AdaptiveNMTupleClustersLoss(D, learn="linear").parameter_groups(lr=0.1)
    assert [weight.shape for weight in group["params"]] == [(D,), ()]
    assert nmloss.AdaptiveNMTupleClustersLoss(D, learn="nothing").parameter_groups(lr=0.1) == []


@pytest.mark.parametrize("convention", ["metric", "paper"])
@pytest.mark.parametrize(
    ("learn", "learned"),
    [
        ("all", {"map_a", "map_b", "linear", "bias"}),
        ("linear", {"linear", "bias"}),
        ("threshold", {"bias"}),
        ("nothing", set()),
    ],
)
@pytest.mark.parametrize("form", ["layout", "all pairs"])
def test_what_does_not_learn_stays_and_changes_no_other_gradient(
    learn: Any, learned: set[str], convention: Any, form: str
) -> None:
    arguments = {
        "layout": (None, tuple_indices(Q, M, N)),
        "all pairs": (torch.arange(Q * (M + N)) % 3,),
    }[form]
    full, less = (
        nmloss.AdaptiveNMTupleClustersLoss(D, convention=convention, learn=kind)
        for kind in ("all", learn)
    )
    state = {name: torch.randn_like(weight) for name, weight in full.state_dict().items()}
    full.load_state_dict(state)
    less.load_state_dict(state)  # the names are the same
    expected = value_and_gradient(full, batch(torch.float32), *arguments)
    for got, want in zip(
        value_and_gradient(less, batch(torch.float32), *arguments), expected, strict=True
    ):
        torch.testing.assert_close(got, want)
    others = dict(full.named_parameters())
    for name, weight in less.named_parameters():
        assert (weight.grad is not None) == (name in learned)
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, others[name].grad)
    optimizer = torch.optim.SGD([*less.parameters(), torch.zeros(1)], lr=0.1, weight_decay=0.1)
    optimizer.step()
    for name, weight in less.named_parameters():
        assert torch.equal(weight, state[name]) == (name not in learned)


def test_tuple_indices_survive_pickling_and_copying() -> None:
    indices = tuple_indices(Q, M, N)
    for same in (pickle.loads(pickle.dumps(indices)), copy.deepcopy(indices)):
        assert isinstance(same, TupleIndices)
        assert (same.num_tuples, same.positives, same.negatives) == (Q, M, N)
        assert all(torch.equal(a, b) for a, b in zip(same, indices, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tuple_indices(-1), "num_tuples=-1"),
        (lambda: tuple_indices(1, positives=0), "positives=0"),
        (lambda: nmloss.NMTupleClustersLoss(margin=-1.0), "margin=-1.0"),
        (lambda: nmloss.NPlusOneTupletLoss(margin=-1.0), "margin=-1.0"),
        (lambda: nmloss.NPlusOneTupletLoss(margin=math.nan), "margin=nan"),
        (lambda: MODULES["fixed"]()(batch().flatten()), r"embeddings of shape \(160,\)"),
        (lambda: MODULES["fixed"]()(batch()[:0], None, tuple_indices(1)), "0 embeddings, but"),
        (lambda: MODULES["fixed"]()(batch(), None, tuple_indices(4, 1, 0)), "20 embeddings, but"),
        (
            lambda: MODULES["fixed"]()(batch(), None, ([0, 1], [2, 3], [4])),
            r"lengths \[2, 2, 1\] and of torch.int64",
        ),
        (
            lambda: MODULES["fixed"]()(batch(), None, ([0.0], [1.0], [2.0])),
            "of torch.float32: needed are whole numbers",
        ),
        (lambda: nmloss.NMTupleClustersLoss(sharpness=0), "sharpness=0: .* None for the hinge"),
        (lambda: nmloss.NPlusOneTupletLoss(sharpness=0), "sharpness=0: "),
        (lambda: nmloss.CoupledClustersLoss(sharpness=-2.0), r"sharpness=-2.0: .* above 0"),
        (lambda: MODULES["adaptive"](sharpness=math.inf), "sharpness=inf"),
        (lambda: nmloss.NMTupleClustersLoss(sharpness="soft"), "sharpness='soft'"),
        (lambda: nmloss.AdaptiveNMTupleClustersLoss(0), "embedding_size=0"),
        (lambda: nmloss.AdaptiveNMTupleClustersLoss(8, rank=9), "rank=9"),
        (lambda: nmloss.AdaptiveNMTupleClustersLoss(8, convention="x"), "convention='x'"),
        (lambda: nmloss.AdaptiveNMTupleClustersLoss(8, learn="b"), "learn='b'; .* 'threshold'"),
        (lambda: nmloss.AdaptiveNMTupleClustersLoss(8, learn=["all"]), r"learn=\['all'\]"),
        (lambda: MODULES["adaptive"]().parameter_groups(lr=-1), "lr=-1"),
        (lambda: MODULES["fixed"]().parameter_groups(lr=1, rate=math.nan), "rate=nan"),
        (lambda: MODULES["adaptive"](distance=distances.LpDistance()), "learns its own"),
        (lambda: MODULES["fixed"]()(batch()), "labels are needed"),
        (lambda: MODULES["fixed"]()(batch(), None, (1, 2)), "of length 2"),
        (lambda: MODULES["fixed"]()(batch(), None, tuple_indices(9)), "20 embeddings, but"),
        (
            lambda: nmloss.AdaptiveNMTupleClustersLoss(9)(batch(), None, tuple_indices(Q, M, N)),
            "embeddings of size 8",
        ),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["fixed", "adaptive", "coupled"])
@pytest.mark.parametrize("form", ["layout", "4-tuple", "all pairs"])
def test_the_hinge_is_the_limit_of_softened_ones(name: str, form: str) -> None:
    """log(2) / k lies above a hinge at most, where it turns; and softening brings gradients."""
    labels = torch.arange(Q * (M + N)) % 3
    arguments = {
        "layout": (None, tuple_indices(Q, M, N)),
        "4-tuple": (None, tuple(tuple_indices(Q, M, N))),
        "all pairs": (labels,),
    }[form]
    # Coupled clusters have as many hinges of a half each as positives.
    hinges = {"fixed": 2, "adaptive": 1, "coupled": Q * (M + N) / 2}[name]
    loss, gradient = value_and_gradient(MODULES[name](), batch(), *arguments)
    above = [torch.tensor(torch.inf)]
    for sharpness in (1.0, 10.0, 1e3, 1e6):
        loss_fn = MODULES[name](sharpness=sharpness)
        softened, of_softened = value_and_gradient(loss_fn, batch(), *arguments)
        above.append(softened - loss)
        assert -1e-12 <= above[-1] <= hinges * math.log(2) / sharpness + 1e-12
        assert above[-1] <= above[-2]
        if sharpness == 1:
            assert not torch.allclose(of_softened, gradient, atol=1e-3)
    torch.testing.assert_close(of_softened, gradient, atol=1e-6, rtol=1e-6)


def test_the_n_plus_one_loss_is_of_sharpness_one_and_its_limit_a_hinge() -> None:
    layout, embeddings = tuple_indices(Q, M, N), batch()
    printed = value_and_gradient(nmloss.NPlusOneTupletLoss(), embeddings, None, layout)
    of_one = value_and_gradient(nmloss.NPlusOneTupletLoss(sharpness=1), embeddings, None, layout)
    for got, want in zip(of_one, printed, strict=True):
        assert torch.equal(got, want)
    members = nn.functional.normalize(embeddings, dim=1).reshape(Q, M + N, D)
    far = (members - members[:, :1]).square().sum(dim=2)
    hinges = (far[:, 1:M] + 1 - far[:, M:].amin(dim=1, keepdim=True)).relu()
    sharp = nmloss.NPlusOneTupletLoss(sharpness=1e5)(embeddings, None, layout)
    assert sharp.item() == pytest.approx(hinges.mean().item(), abs=1e-4)


def test_a_hinge_at_rest_has_no_gradient_and_a_softened_one_has() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]])
    indices = tuple_indices(1, 2, 1)
    _, at_rest = value_and_gradient(nmloss.NMTupleClustersLoss(), embeddings, None, indices)
    assert not at_rest.any()
    loss_fn = nmloss.NMTupleClustersLoss(sharpness=4)
    loss, gradient = value_and_gradient(loss_fn, embeddings, None, indices)
    assert gradient.any()
    near = squared = (1 - math.cos(math.atan(0.1))) / 2  # of either to their centre
    far = 1 + (1 - squared) + 2 * math.cos(math.atan(0.1) / 2) ** 2
    pull, push = (math.log1p(math.exp(4 * x)) / 4 for x in (near - 0.5, 1.5 - far))
    assert loss.item() == pytest.approx(pull + push, abs=1e-6)


@all_losses
@pytest.mark.parametrize("form", ["layout", "4-tuple", "many pairs", "all pairs", "references"])
def test_no_form_asks_a_device_for_a_value(name: str, form: str) -> None:
    """Tensors on "meta" have no values: to ask for one, as for a length that depends on it, raises.

    The path is that of any device that is not the CPU.
    """
    size = Q * (M + N)
    loss_fn = MODULES[name]().to("meta")
    embeddings = torch.randn(size, D, device="meta", requires_grad=True)
    labels = torch.zeros(size, dtype=torch.long, device="meta")
    many = torch.zeros(size * size, dtype=torch.long, device="meta")
    arguments: tuple[Any, ...] = {
        "layout": (None, tuple_indices(Q, M, N, device="meta")),
        "4-tuple": (None, tuple(tuple_indices(Q, M, N, device="meta"))),
        "many pairs": (None, (many, many, many, many)),
        "all pairs": (labels,),
        "references": (labels, None, torch.randn(9, D, device="meta"), labels[:9]),
    }[form]
    loss_fn(embeddings, *arguments).backward()
    assert embeddings.grad is not None
    assert all(weight.grad is not None for weight in loss_fn.parameters())


def test_what_moves_a_batch_makes_a_plain_4_tuple_of_the_layout() -> None:
    layout = tuple_indices(Q, M, N)
    moved = type(layout)(index.clone() for index in layout)
    assert type(moved) is tuple
    loss_fn = nmloss.NMTupleClustersLoss()
    torch.testing.assert_close(loss_fn(batch(), None, moved), loss_fn(batch(), None, layout))


@pytest.mark.parametrize("name", ["fixed", "coupled", "n_plus_one"])
def test_no_references_are_no_members(name: str) -> None:
    distance = distances.LpDistance(p=2, power=2, normalize_embeddings=False)
    none, labels = torch.zeros(0, D, dtype=torch.float64), torch.arange(Q * (M + N)) % 4
    assert MODULES[name](distance=distance)(batch(), labels, None, none, labels[:0]) == 0


def test_distances_far_from_the_origin_do_not_cancel() -> None:
    near = batch(torch.float32)
    distance = nmloss.MahalanobisDistance(D, normalize_embeddings=False)
    far = distance(near + 1e3, batch(torch.float32, seed=1) + 1e3)
    expected = torch.cdist(batch(), batch(seed=1)).square().float()
    torch.testing.assert_close(far, expected, rtol=1e-2, atol=1e-2)
