"""Any network of timm as a backbone; timm is an extra, imported when it is used."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ferlit.errors import FerlitError, UsageError
from ferlit.extras import require
from ferlit.models.inputs import check_faces

_weights_follow = ContextVar("_weights_follow", default=False)


class TimmBackbone(nn.Module):
    """From a face to the features of a network of timm, without its classifier.

    Args:
        name: What timm calls the network, such as "resnet18" or "mobilenetv3_small_100".
        pretrained: Begin with timm's weights, which it fetches from the Hugging Face Hub.
        size: Faces are enlarged to so many pixels a side; None gives them as they are, 48.
        options: Other arguments of ``timm.create_model``, such as ``drop_rate``; a vision
            transformer wants ``img_size``.

    Raises:
        FerlitError: timm is missing, or cannot be imported.
        UsageError: timm does not build such a network, or it takes no faces of this size.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        size: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if size is not None and size < 1:
            raise UsageError(f"size={size}: at least 1, or null")
        self.size = size
        what = f"timm's {name}"
        try:
            self.network: nn.Module = _timm().create_model(
                name,
                pretrained=pretrained and not _weights_follow.get(),
                in_chans=1,
                num_classes=0,
                **(options or {}),
            )
        except (RuntimeError, TypeError, ValueError, AssertionError, OSError) as error:
            raise UsageError(f"{what} cannot be built: {error}") from error
        self.network.eval()
        try:
            with torch.no_grad():
                found = self(torch.zeros(1, 1, 48, 48))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UsageError(
                f"{what} takes no faces of {size or 48} x {size or 48} pixels: {error}"
            ) from error
        if found.ndim != 2:
            raise UsageError(f"{what} gives features of shape {tuple(found.shape)}, not (B, D)")
        self.network.train()
        self.out_features = int(found.shape[1])

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, 48, 48) standardised faces to (B, ``out_features``) features."""
        check_faces(image)
        if self.size is not None:
            image = F.interpolate(image, self.size, mode="bilinear", align_corners=False)
        features: Tensor = self.network(image)
        return features


@contextmanager
def weights_follow() -> Iterator[None]:
    """While networks are built whose weights come from a checkpoint, nothing is fetched."""
    before = _weights_follow.set(True)
    try:
        yield
    finally:
        _weights_follow.reset(before)


def _timm() -> Any:
    require("timm", extra="timm")
    try:
        import timm
    except Exception as error:  # torchvision's operators, where it is of another torch
        raise FerlitError(
            f"timm cannot be imported ({error}). It needs a torchvision built for this torch: "
            "install both from the same index"
        ) from error
    return timm
