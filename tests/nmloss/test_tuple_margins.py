"""The learned margin on a laid out batch: the values of the loss on members of any form."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nmloss
from nmloss import functional, tuple_indices, tuple_margins
from nmloss.tuple_margins import TupleMargins


@pytest.fixture(params=["A f", "L_A f"])
def _form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuple_margins, "_is_formed", lambda *_: request.param == "A f")


either_form = pytest.mark.usefixtures("_form")


def given(size: int, rank: int, **options: Any) -> nmloss.AdaptiveNMTupleClustersLoss:
    torch.manual_seed(size + rank)
    loss_fn = nmloss.AdaptiveNMTupleClustersLoss(size, rank=rank, **options).double()
    with torch.no_grad():
        for weight in loss_fn.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return loss_fn


@either_form
@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (5, 2), (3, 0)])
@pytest.mark.parametrize("rank", [3, 11])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"convention": "paper"},
        {"normalize_embeddings": False, "sharpness": 2.0},
        {"mine_positives": False},
        {"learn": "linear"},
        {"learn": "threshold", "normalize_embeddings": False},
        {"learn": "nothing"},
    ],
)
def test_values_and_gradients_are_those_of_the_function(
    m: int, n: int, rank: int, options: dict[str, Any]
) -> None:
    loss_fn = given(11, rank, **options)
    embeddings = torch.randn(7 * (m + n), 11, dtype=torch.float64, requires_grad=True)
    points = nn.functional.normalize(embeddings) if loss_fn.measure.normalize else embeddings
    members = points.reshape(7, m + n, 11)
    losses = functional.adaptive_nm_tuple_clusters_loss(
        members[:, :m],
        members[:, m:],
        map_a=loss_fn.map_a,
        map_b=loss_fn.map_b,
        linear=loss_fn.linear,
        bias=loss_fn.bias,
        sign=loss_fn.sign,
        mine_positives=loss_fn.mine_positives,
        sharpness=loss_fn.sharpness,
    )
    inputs = [embeddings, *(weight for weight in loss_fn.parameters() if weight.requires_grad)]
    loss = loss_fn(embeddings, None, tuple_indices(7, m, n))
    torch.testing.assert_close(loss, losses.mean(), rtol=1e-10, atol=1e-10)
    gradients = [
        torch.autograd.grad(each, inputs, allow_unused=True) for each in (loss, losses.mean())
    ]
    for got, want in zip(*gradients, strict=True):
        expected = torch.zeros_like(got) if want is None else want
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@either_form
@pytest.mark.parametrize("normalize", [True, False])
def test_the_gradients_are_right(normalize: bool) -> None:
    loss_fn, weights = given(5, 4), torch.rand(3, 2, dtype=torch.float64)

    def table(members: Tensor, *parameters: Tensor) -> Tensor:
        maps, linear = parameters[:2], parameters[2:]
        margins = TupleMargins(members, maps, linear, -1.0, normalize)  # type: ignore[arg-type]
        return margins(weights)

    members = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(table, (members, *loss_fn.parameters()))


@either_form
def test_a_backward_pass_under_autocast_is_in_full_precision() -> None:
    loss_fn, embeddings = given(11, 5).float(), torch.randn(35, 11)
    gradients = []
    for enabled in (False, True):
        one = embeddings.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = loss_fn(one, None, tuple_indices(7, 3, 2))
            gradients.append(torch.autograd.grad(loss, [one, *loss_fn.parameters()]))
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want)


def test_frozen_maps_have_no_gradient_computed_for_them() -> None:
    """The products that only they need are left out: one as large as the batch."""
    products = {}
    for learn in ("all", "nothing"):
        loss_fn = nmloss.AdaptiveNMTupleClustersLoss(16, learn=learn)
        embeddings = torch.randn(600, 16, requires_grad=True)
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True
        ) as recorded:
            loss_fn(embeddings, None, tuple_indices(50)).backward()
        products[learn] = sum(
            event.count
            for event in recorded.key_averages(group_by_input_shape=True)
            if event.key == "aten::mm" and any(600 in shape for shape in event.input_shapes)
        )
    assert products == {"all": 2, "nothing": 1}
