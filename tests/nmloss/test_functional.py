"""The losses against loops that are written from the equations."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nmloss import functional

Points = list[list[float]]
SIZES = [(1, 1), (3, 2), (6, 6), (2, 5), (4, 0), (1, 0)]
all_sharpnesses = pytest.mark.parametrize("k", [None, 0.5, 4.0])


def squared(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def mean(points: Points) -> list[float]:
    return [sum(column) / len(points) for column in zip(*points, strict=True)]


def hinge(x: float, sharpness: float | None) -> float:
    """[x]+, or log(1 + exp(k x)) / k."""
    return max(0, x) if sharpness is None else math.log1p(math.exp(sharpness * x)) / sharpness


def mined(positives: Points, negatives: Points, far: Callable[..., float]) -> Points:
    """Algorithm 1; two positives are equally far from their mean, but for rounding."""
    center = mean(positives)
    if not negatives:
        return positives
    nearest = min(far(f, center) for f in negatives)
    kept = [f for f in positives if not far(f, center) > nearest]
    distances = [far(f, center) for f in positives]
    least = min(distances)
    nearest_ones = [
        f for f, d in zip(positives, distances, strict=True) if d <= least + 1e-4 * abs(least)
    ]
    return kept or nearest_ones


def loop_fixed(
    positives: Points,
    negatives: Points,
    threshold: float,
    margin: float,
    mine: bool,
    k: float | None,
) -> float:
    """Eq. 3."""
    kept = mined(positives, negatives, squared) if mine else positives
    center = mean(kept)
    pull = sum(hinge(squared(f, center) - threshold + margin / 2, k) for f in kept) / len(kept)
    push = sum(hinge(threshold + margin / 2 - squared(f, center), k) for f in negatives)
    if len(positives) == 1 and not negatives:
        return 0.0
    return pull + (push / len(negatives) if negatives else 0)


def loop_adaptive(
    positives: Points,
    negatives: Points,
    weights: dict[str, Tensor],
    sign: float,
    mine: bool,
    k: float | None,
) -> float:
    """Eq. 10 with H of Eq. 8."""

    def h(f: list[float], p: list[float]) -> float:
        def project(matrix: Tensor, x: list[float]) -> list[float]:
            return [sum(w * v for w, v in zip(row, x, strict=True)) for row in matrix.tolist()]

        norms = sum(sum(v * v for v in project(weights["map_a"], x)) for x in (f, p))
        product = sum(
            v * w
            for v, w in zip(project(weights["map_b"], f), project(weights["map_b"], p), strict=True)
        )
        linear = sum(c * (v + w) for c, v, w in zip(weights["linear"].tolist(), f, p, strict=True))
        return sign / 2 * norms + product + linear + weights["bias"].item()

    if len(positives) == 1 and not negatives:
        return 0.0
    kept = mined(positives, negatives, lambda f, p: -h(f, p)) if mine else positives
    center = mean(kept)
    pull = sum(hinge(-h(f, center) + 1, k) for f in kept)
    push = sum(hinge(h(f, center) + 1, k) for f in negatives)
    return (pull + push) / (len(kept) + len(negatives))


def loop_n_plus_one(positives: Points, negatives: Points, margin: float, k: float | None) -> float:
    """Eq. 1, where k is 1; the mean over the positives beside the query."""
    query, *others = positives
    k = 1.0 if k is None else k
    losses = [
        math.log1p(
            sum(math.exp(k * (squared(query, p) + margin - squared(query, n))) for n in negatives)
        )
        / k
        for p in others
    ]
    return sum(losses) / len(losses) if losses else 0.0


def loop_coupled(positives: Points, negatives: Points, margin: float, k: float | None) -> float:
    """Liu et al., CVPR 2016."""
    center = mean(positives)
    if not negatives:
        return 0.0
    nearest = min(squared(f, center) for f in negatives)
    return sum(hinge(squared(f, center) + margin - nearest, k) / 2 for f in positives)


def members(m: int, n: int, q: int = 5, d: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(m * 10 + n)
    draw = {"generator": generator, "dtype": torch.float64}
    return torch.randn(q, m, d, **draw), torch.randn(q, n, d, **draw)  # type: ignore[arg-type]


def adaptive_weights(d: int = 4, rank: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    return {
        "map_a": torch.randn(rank, d, **draw),  # type: ignore[arg-type]
        "map_b": torch.randn(rank, d, **draw),  # type: ignore[arg-type]
        "linear": torch.randn(d, **draw),  # type: ignore[arg-type]
        "bias": torch.randn((), **draw),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize(("m", "n"), SIZES)
@pytest.mark.parametrize("mine", [True, False])
@all_sharpnesses
def test_the_fixed_loss_matches_the_loop(m: int, n: int, mine: bool, k: float | None) -> None:
    positives, negatives = members(m, n)
    losses = functional.nm_tuple_clusters_loss(
        positives, negatives, threshold=1.7, margin=0.8, mine_positives=mine, sharpness=k
    )
    expected = [
        loop_fixed(p, n, 1.7, 0.8, mine, k)
        for p, n in zip(positives.tolist(), negatives.tolist(), strict=True)
    ]
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(("m", "n"), SIZES)
@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@all_sharpnesses
def test_the_adaptive_loss_matches_the_loop(
    m: int, n: int, mine: bool, sign: float, k: float | None
) -> None:
    positives, negatives = members(m, n)
    weights = adaptive_weights()
    losses = functional.adaptive_nm_tuple_clusters_loss(
        positives, negatives, **weights, sign=sign, mine_positives=mine, sharpness=k
    )
    expected = [
        loop_adaptive(p, n, weights, sign, mine, k)
        for p, n in zip(positives.tolist(), negatives.tolist(), strict=True)
    ]
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(("m", "n"), SIZES)
@all_sharpnesses
def test_the_n_plus_one_loss_matches_the_loop(m: int, n: int, k: float | None) -> None:
    positives, negatives = members(m, n)
    losses = functional.n_plus_one_tuplet_loss(positives, negatives, margin=0.3, sharpness=k)
    expected = [
        loop_n_plus_one(p, n, 0.3, k)
        for p, n in zip(positives.tolist(), negatives.tolist(), strict=True)
    ]
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(("m", "n"), SIZES)
@all_sharpnesses
def test_the_coupled_clusters_loss_matches_the_loop(m: int, n: int, k: float | None) -> None:
    positives, negatives = members(m, n)
    losses = functional.coupled_clusters_loss(positives, negatives, margin=0.7, sharpness=k)
    expected = [
        loop_coupled(p, n, 0.7, k)
        for p, n in zip(positives.tolist(), negatives.tolist(), strict=True)
    ]
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


WEIGHTS = adaptive_weights()
LOSSES: dict[str, Callable[..., Tensor]] = {
    "fixed": functional.nm_tuple_clusters_loss,
    "adaptive": lambda p, n, **masks: functional.adaptive_nm_tuple_clusters_loss(
        p, n, **WEIGHTS, **masks
    ),
    "n_plus_one": functional.n_plus_one_tuplet_loss,
    "coupled": functional.coupled_clusters_loss,
    "fixed, softened": lambda p, n, **masks: functional.nm_tuple_clusters_loss(
        p, n, sharpness=4, **masks
    ),
    "adaptive, softened": lambda p, n, **masks: functional.adaptive_nm_tuple_clusters_loss(
        p, n, **WEIGHTS, sharpness=0.5, **masks
    ),
    "n_plus_one, sharpened": lambda p, n, **masks: functional.n_plus_one_tuplet_loss(
        p, n, sharpness=4, **masks
    ),
    "coupled, softened": lambda p, n, **masks: functional.coupled_clusters_loss(
        p, n, sharpness=4, **masks
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_masked_slot_is_as_good_as_absent(name: str) -> None:
    positives, negatives = members(6, 6)
    positive_mask = torch.tensor([[1, 1, 0, 1, 0, 0]] * 5).bool()
    negative_mask = torch.tensor([[0, 1, 1, 0, 0, 1]] * 5).bool()
    masked = LOSSES[name](
        positives, negatives, positive_mask=positive_mask, negative_mask=negative_mask
    )
    short = LOSSES[name](positives[:, positive_mask[0]], negatives[:, negative_mask[0]])
    torch.testing.assert_close(masked, short)


@pytest.mark.parametrize("name", LOSSES)
def test_shared_members_give_what_own_members_give(name: str) -> None:
    positives, negatives = members(3, 2, q=4)
    shared = torch.cat([positives.flatten(0, 1), negatives.flatten(0, 1)])
    positive_mask, negative_mask = torch.zeros(2, 4, len(shared), dtype=torch.bool)
    for tuple_ in range(4):
        positive_mask[tuple_, 3 * tuple_ : 3 * tuple_ + 3] = True
        negative_mask[tuple_, 12 + 2 * tuple_ : 14 + 2 * tuple_] = True
    masks = {"positive_mask": positive_mask, "negative_mask": negative_mask}
    if name.startswith("n_plus_one"):
        masks["queries"] = positives[:, 0]
        positive_mask[torch.arange(4), 3 * torch.arange(4)] = False
    torch.testing.assert_close(
        LOSSES[name](shared, shared, **masks), LOSSES[name](positives, negatives)
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("m", "n"), [(3, 2), (6, 6), (1, 2), (3, 0)])
def test_the_gradients_are_right(name: str, m: int, n: int) -> None:
    positives, negatives = (x.requires_grad_() for x in members(m, n, q=3))
    assert torch.autograd.gradcheck(LOSSES[name], (positives, negatives))


def test_the_gradients_of_the_adaptive_weights_are_right() -> None:
    positives, negatives = members(4, 3, q=3)
    weights = {name: weight.requires_grad_() for name, weight in adaptive_weights().items()}

    def loss(*values: Tensor) -> Tensor:
        return functional.adaptive_nm_tuple_clusters_loss(
            positives, negatives, **dict(zip(weights, values, strict=True))
        )

    assert torch.autograd.gradcheck(loss, tuple(weights.values()))


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_members_does_not_matter(name: str) -> None:
    positives, negatives = members(6, 6)
    order = torch.tensor([0, 3, 5, 1, 4, 2])  # the query stays first
    torch.testing.assert_close(
        LOSSES[name](positives, negatives), LOSSES[name](positives[:, order], negatives[:, order])
    )


@pytest.mark.parametrize("name", ["fixed", "n_plus_one", "coupled"])
def test_rotation_and_translation_do_not_matter(name: str) -> None:
    positives, negatives = members(6, 6)
    rotation = torch.linalg.qr(members(4, 0, q=1)[0][0]).Q
    moved = (x @ rotation + 3.0 for x in (positives, negatives))
    torch.testing.assert_close(LOSSES[name](positives, negatives), LOSSES[name](*moved))


def test_a_plain_quadratic_is_the_fixed_threshold() -> None:
    """Errata of Eqs. 6 to 8: with s = -1, L_A = L_B = sqrt(2) I, c = 0: H = T - |f1 - f2|^2."""
    positives, _ = members(6, 1)
    root = math.sqrt(2) * torch.eye(4, dtype=torch.float64)
    center = positives.mean(dim=1)
    h = functional.adaptive_margin(
        positives,
        center,
        map_a=root,
        map_b=root,
        linear=torch.zeros(4).double(),
        bias=torch.tensor(1.3).double(),
    )
    torch.testing.assert_close(h, 1.3 - functional.squared_distances(positives, center))


@pytest.mark.parametrize(("m", "n"), [(6, 6), (3, 5)])
def test_the_adaptive_loss_starts_as_the_fixed_one_but_for_the_averages(m: int, n: int) -> None:
    """With tau/2 = 1: one mean over N + M terms instead of one over M and one over N."""
    positives, negatives = members(m, n)
    root = math.sqrt(2) * torch.eye(4, dtype=torch.float64)
    adaptive = functional.adaptive_nm_tuple_clusters_loss(
        positives,
        negatives,
        map_a=root,
        map_b=root,
        linear=torch.zeros(4).double(),
        bias=torch.tensor(1.3).double(),
        mine_positives=False,
    )
    options = {"threshold": 1.3, "margin": 2.0, "mine_positives": False}
    pull = functional.nm_tuple_clusters_loss(positives, negatives[:, :0], **options)
    both = functional.nm_tuple_clusters_loss(positives, negatives, **options)
    torch.testing.assert_close((m + n) * adaptive, m * pull + n * (both - pull))


def test_one_positive_without_mining_is_a_hinge_by_hand() -> None:
    """M = 1: the centre is the query, [T + tau/2 - D(n, q)]+ on average, and [tau/2 - T]+."""
    positives, negatives = members(1, 4)
    losses = functional.nm_tuple_clusters_loss(
        positives, negatives, threshold=0.5, margin=3.0, mine_positives=False
    )
    hinges = (2.0 - (negatives - positives).square().sum(-1)).clamp(min=0)
    assert (hinges > 0).any()
    torch.testing.assert_close(losses, 1.0 + hinges.mean(dim=1))


def test_of_two_positives_rounding_does_not_choose() -> None:
    """Both are as far from their centre; a nearer negative leaves both or none, never one."""
    generator = torch.Generator().manual_seed(0)
    positives = torch.randn(1000, 2, 64, generator=generator)
    center = positives.mean(dim=1)
    distances = functional.squared_distances(positives, center)
    assert (distances[:, 0] != distances[:, 1]).any()
    kept = functional.mine_positives(distances, torch.zeros(1000, 1))
    assert kept.all()


def test_the_second_factor_of_equation_2_has_a_minus() -> None:
    """Eq. 2 equals Eq. 1 only with exp(T + tau/2 - D), not with the printed + D."""
    positives, negatives = members(2, 3)
    plus = functional.squared_distances(positives[:, 1:], positives[:, 0])
    minus = functional.squared_distances(negatives, positives[:, 0])
    threshold, margin = 1.7, 0.6
    pull = (plus - threshold + margin / 2).exp()
    push = (threshold + margin / 2 - minus).exp()
    eq_2 = (1 + (pull * push).sum(dim=1)).log()
    losses = functional.n_plus_one_tuplet_loss(positives, negatives, margin=margin)
    torch.testing.assert_close(losses, eq_2)


def test_mining_keeps_ties_and_the_nearest() -> None:
    kept = functional.mine_positives(
        torch.tensor([[0.1, 0.5, 0.9], [0.8, 0.6, 0.7]]), torch.tensor([[0.5, 2.0], [0.2, 0.3]])
    )
    assert kept.tolist() == [[True, True, False], [False, True, False]]


def test_no_gradient_through_the_selection_but_through_the_center() -> None:
    query, positive = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0], requires_grad=True)
    negatives = torch.tensor([[[0.5, 3.0]]])
    loss = functional.nm_tuple_clusters_loss(
        torch.stack([query, positive])[None], negatives, threshold=0.0, margin=0.0
    )
    loss.backward()
    # c = p/2, both positives are |p|/2 away from it: loss = |p|^2 / 4, gradient p / 2.
    assert loss.item() == pytest.approx(0.25)
    torch.testing.assert_close(positive.grad, torch.tensor([0.5, 0.0]))


def test_huge_distances_do_not_overflow() -> None:
    positives, negatives = members(3, 3)
    losses = functional.n_plus_one_tuplet_loss(1e3 * positives.float(), negatives.float())
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    positives, negatives = (x.to(dtype) for x in members(6, 6))
    losses = LOSSES[name](positives, negatives)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, LOSSES[name](positives.float(), negatives.float()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(LOSSES[name](positives, negatives), losses)


@pytest.mark.parametrize("name", LOSSES)
def test_the_functions_compile_whole(name: str) -> None:
    compiled = torch.compile(LOSSES[name], fullgraph=True, backend="aot_eager")
    positives, negatives = members(3, 2)
    torch.testing.assert_close(compiled(positives, negatives), LOSSES[name](positives, negatives))
