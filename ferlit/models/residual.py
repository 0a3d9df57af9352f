"""A residual backbone for faces of 48 x 48, where accuracy is worth more than multiply-adds.

He, Zhang, Ren and Sun, Deep residual learning for image recognition, CVPR 2016.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ferlit.models.inputs import check_faces


class ResidualFER(nn.Module):
    """From a face to 4 ``width`` features (with three stages).

    A convolution of stride 2, then stages of residual blocks at 24 x 24, 12 x 12, 6 x 6 and so on,
    each twice as wide as the one before it, and the mean over the last maps.

    Args:
        width: Channels of the first stage.
        blocks: Residual blocks of each stage.
        dropout: Share of the features that are left out at random in training.

    >>> import torch
    >>> ResidualFER(width=16)(torch.zeros(2, 1, 48, 48)).shape
    torch.Size([2, 64])
    """

    def __init__(
        self, width: int = 64, blocks: Sequence[int] = (1, 2, 2), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if width < 1 or not blocks or min(blocks) < 1:
            raise ValueError(f"width={width}, blocks={list(blocks)}: at least 1 of each")
        widths = [width << stage for stage in range(len(blocks))]
        layers: list[nn.Module] = [_convolution(1, width, 5, stride=2)]
        for stage, (count, (before, channels)) in enumerate(
            zip(blocks, pairwise([width, *widths]), strict=True)
        ):
            layers.append(ResidualBlock(before, channels, stride=2 if stage else 1))
            layers += [ResidualBlock(channels, channels) for _ in range(count - 1)]
        self.layers = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)
        )
        self.out_features = widths[-1]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, 48, 48) standardised faces to (B, ``out_features``) features."""
        check_faces(image)
        features: Tensor = self.layers(image)
        return features


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions whose result is added to the input.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Of the first convolution, and of the projection beside it.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _convolution(in_channels, channels, 3, stride=stride)
        self.second = _normalized(in_channels=channels, out_channels=channels, size=3, stride=1)
        is_same = stride == 1 and in_channels == channels
        self.shortcut = (
            nn.Identity() if is_same else _normalized(in_channels, channels, 1, stride=stride)
        )

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = self.second(self.first(maps))
        added: Tensor = changed + self.shortcut(maps)
        return added.relu_()


def _normalized(in_channels: int, out_channels: int, size: int, *, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


def _convolution(in_channels: int, out_channels: int, size: int, *, stride: int) -> nn.Sequential:
    layers = _normalized(in_channels, out_channels, size, stride=stride)
    return nn.Sequential(*layers, nn.ReLU(inplace=True))
