"""torch.compile: whole graphs, no recompilation, the same values."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import nmloss
from nmloss import tuple_indices

Q, M, N, D = 4, 3, 2, 8
LOSSES: dict[str, Callable[[], nn.Module]] = {
    "fixed": nmloss.NMTupleClustersLoss,
    "adaptive": lambda: nmloss.AdaptiveNMTupleClustersLoss(D),
    "n_plus_one": nmloss.NPlusOneTupletLoss,
    "coupled": nmloss.CoupledClustersLoss,
    "fixed, softened": lambda: nmloss.NMTupleClustersLoss(sharpness=4),
    "adaptive, softened": lambda: nmloss.AdaptiveNMTupleClustersLoss(D, sharpness=2),
    "n_plus_one, sharpened": lambda: nmloss.NPlusOneTupletLoss(sharpness=4),
    "coupled, softened": lambda: nmloss.CoupledClustersLoss(sharpness=4),
}
all_losses = pytest.mark.parametrize("name", LOSSES)
FORMS = {
    "layout": lambda: (None, tuple_indices(Q, M, N)),
    "4-tuple": lambda: (None, tuple(tuple_indices(Q, M, N))),
    "all pairs": lambda: (torch.randint(4, (Q * (M + N),)), None),
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def step(loss_fn: Callable[..., Tensor], embeddings: Tensor, *arguments: object) -> Tensor:
    embeddings.grad = None
    loss = loss_fn(embeddings, *arguments)
    loss.backward()
    assert embeddings.grad is not None
    return torch.cat([loss.detach().reshape(1), embeddings.grad.flatten()])


@all_losses
@pytest.mark.parametrize("form", FORMS)
def test_one_graph_serves_all_batches_of_a_shape(name: str, form: str) -> None:
    torch.manual_seed(0)
    loss_fn = LOSSES[name]()
    compiled = torch.compile(loss_fn, fullgraph=True, backend="aot_eager")
    for number in range(3):
        embeddings, arguments = torch.randn(Q * (M + N), D, requires_grad=True), FORMS[form]()
        with torch._dynamo.config.patch(error_on_recompile=number > 0):
            got = step(compiled, embeddings, *arguments)
        torch.testing.assert_close(got, step(loss_fn, embeddings, *arguments))


@pytest.mark.parametrize("name", ["fixed", "adaptive", "fixed, softened"])
def test_the_default_compiler_gives_the_same(name: str) -> None:
    torch.manual_seed(0)
    loss_fn = LOSSES[name]()
    compiled = torch.compile(loss_fn, fullgraph=True)
    embeddings, arguments = torch.randn(Q * (M + N), D, requires_grad=True), FORMS["layout"]()
    got = step(compiled, embeddings, *arguments)
    weights = [weight.grad.clone() for weight in loss_fn.parameters() if weight.grad is not None]
    loss_fn.zero_grad()
    torch.testing.assert_close(got, step(loss_fn, embeddings, *arguments))
    for weight, gradient in zip(loss_fn.parameters(), weights, strict=True):
        torch.testing.assert_close(gradient, weight.grad)
