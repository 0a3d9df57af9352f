"""PReLU against torch's, whose weights and values it has."""

import pytest
import torch
from torch import nn

from ferlit.models.prelu import PReLU


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(6, 4, 5, 5), (7, 3), (2, 3, 5)])
@pytest.mark.parametrize("channels_last", [True, False])
def test_values_and_gradients_are_those_of_torch(
    dtype: torch.dtype, shape: tuple[int, ...], channels_last: bool
) -> None:
    torch.manual_seed(0)
    start, gradient = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    if channels_last and len(shape) == 4:
        start = start.to(memory_format=torch.channels_last)
    found = []
    for kind in (nn.PReLU, PReLU):
        layer = kind(shape[1]).to(dtype)
        values = start.clone().requires_grad_()
        output = layer(values)
        output.backward(gradient)
        found.append((output, values.grad, layer.weight.grad))
    for ours, theirs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_are_right_to_the_second_order() -> None:
    layer = PReLU(3).double()
    values = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (values,))
    assert torch.autograd.gradgradcheck(layer, (values,))


def test_autocast_keeps_the_dtype_of_the_values() -> None:
    layer = PReLU(3)
    for dtype in (torch.float32, torch.bfloat16):
        values = torch.randn(4, 3, dtype=dtype, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            output = layer(values)
        output.sum().backward()
        assert output.dtype == dtype
        assert values.grad is not None
        assert layer.weight.grad is not None


def test_an_evaluation_is_the_plain_operation() -> None:
    """So that an exported network has no operation of ours."""
    layer = PReLU(3).eval()
    assert "PReLU" not in type(layer(torch.randn(2, 3, requires_grad=True)).grad_fn).__name__
