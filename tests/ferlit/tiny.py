"""A small network that configurations name by its class path, to keep runs short."""

from torch import Tensor, nn

TINY = (
    "--model.backbone=tests.ferlit.tiny.TinyBackbone",
    # Else the fully connected layers make the most of a test's time and disk.
    "--model.init_args.branches.init_args.hidden=[64,32]",
)


class TinyBackbone(nn.Sequential):
    out_features = 64

    def __init__(self) -> None:
        super().__init__(nn.AvgPool2d(6), nn.Flatten(), nn.Linear(64, 64), nn.PReLU())


class TiniestBackbone(nn.Sequential):
    """For checkpoints that are kept."""

    out_features = 8

    def __init__(self) -> None:
        super().__init__(nn.AvgPool2d(12), nn.Flatten(), nn.Linear(16, 8), nn.PReLU())


class NamelessBackbone(nn.Identity):
    """Does not say how many features it gives."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)
