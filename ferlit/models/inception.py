"""The backbone: the convolution groups of "Inception FER" with PReLU (Liu et al. 2017, Sec. 4).

Mollahosseini, Chan and Mahoor, Going deeper in facial expression recognition using deep neural
networks, WACV 2016. The widths are those of GoogLeNet's modules 3a, 3b and 4a; they are inferred:
with them the network has the published 7.35 M parameters and 25.1 M multiply-adds (PReLU's slopes
and the normalisation not counted).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from ferlit.models.inputs import check_faces
from ferlit.models.prelu import PReLU

Norm = Literal["batch", "none"]


class InceptionFER(nn.Module):
    """From a face to 512 features.

    Args:
        norm: "batch" normalises behind every convolution; "none" is the paper's network.

    >>> InceptionFER()(torch.zeros(2, 1, 48, 48)).shape
    torch.Size([2, 512])
    """

    out_features = 512

    def __init__(self, norm: Norm = "batch") -> None:
        super().__init__()
        if norm not in ("batch", "none"):
            raise ValueError(f"norm={norm!r}; known are 'batch' and 'none'")
        self.layers = nn.Sequential(
            _convolution(1, 64, 7, norm, stride=2, padding=0),
            _pool(),
            _convolution(64, 192, 3, norm, padding=0),
            _pool(),
            Inception(192, 64, (96, 128), (16, 32), 32, norm),
            Inception(256, 128, (128, 192), (32, 96), 64, norm),
            _pool(),
            Inception(480, 192, (96, 208), (16, 48), 64, norm),
            _pool(),
            nn.Flatten(),
        )
        if norm == "none":
            initialize_for_prelu(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, 48, 48) standardised faces to (B, 512) features."""
        check_faces(image)
        features: Tensor = self.layers(image)
        return features


class Inception(nn.Module):
    """Four paths side by side: 1x1, 3x3 and 5x5 behind a 1x1 reduction, and pooling.

    Args:
        in_channels: Channels of the input.
        one: Channels of the 1x1 path.
        three: Channels of the reduction and of the 3x3 path.
        five: Channels of the reduction and of the 5x5 path.
        pool: Channels of the projection behind the pooling.
        norm: As in `InceptionFER`.
    """

    def __init__(
        self,
        in_channels: int,
        one: int,
        three: tuple[int, int],
        five: tuple[int, int],
        pool: int,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            [
                _convolution(in_channels, one, 1, norm),
                nn.Sequential(
                    _convolution(in_channels, three[0], 1, norm), _convolution(*three, 3, norm)
                ),
                nn.Sequential(
                    _convolution(in_channels, five[0], 1, norm), _convolution(*five, 5, norm)
                ),
                nn.Sequential(
                    nn.MaxPool2d(3, stride=1, padding=1), _convolution(in_channels, pool, 1, norm)
                ),
            ]
        )

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([path(maps) for path in self.paths], dim=1)


def initialize_for_prelu(module: nn.Module, slope: float = 0.25) -> None:
    """He et al. 2015: keeps the variance through layers with PReLU, where nothing normalises."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=slope, nonlinearity="leaky_relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _convolution(
    in_channels: int,
    out_channels: int,
    size: int,
    norm: Norm,
    *,
    stride: int = 1,
    padding: int | None = None,
) -> nn.Sequential:
    padding = size // 2 if padding is None else padding
    has_norm = norm == "batch"
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, size, stride, padding, bias=not has_norm)
    ]
    layers += [nn.BatchNorm2d(out_channels)] if has_norm else []
    return nn.Sequential(*layers, PReLU(out_channels))


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
