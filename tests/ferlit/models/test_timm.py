"""The adapter to timm, where timm can be imported; what it says where it cannot."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ferlit.errors import FerlitError, UsageError
from ferlit.models import TimmBackbone, TwoBranch
from ferlit.models.timm import weights_follow


def is_importable() -> bool:
    try:
        import timm  # noqa: F401
    except Exception:  # torchvision beside another torch fails in its own ways
        return False
    return True


needs_timm = pytest.mark.skipif(not is_importable(), reason="timm cannot be imported here")


@needs_timm
@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("resnet18", None, {}),
        ("mobilenetv3_small_100", 96, {"drop_rate": 0.1}),
        ("vit_tiny_patch16_224", None, {"img_size": 48}),
    ],
)
def test_a_network_of_timm_trains_in_both_branches(
    name: str, size: int | None, options: dict[str, Any]
) -> None:
    backbone = TimmBackbone(name, size=size, options=options)
    branches = TwoBranch(backbone.out_features, 7)
    output = branches(backbone(torch.randn(4, 1, 48, 48)))
    (output.logits.mean() + output.embedding.mean()).backward()
    assert output.logits.shape == (4, 7)
    assert all(weight.grad is not None for weight in backbone.parameters())


@needs_timm
def test_a_name_that_timm_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="timm's no_such_network cannot be built"):
        TimmBackbone("no_such_network")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferlit.extras.has", lambda name: False)
    with pytest.raises(FerlitError, match=r"timm is missing; pip install .ferlit\[timm\]"):
        TimmBackbone("resnet18")


class Small(nn.Module):
    """Stands where timm cannot: what it is asked for is kept."""

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3)).repeat(1, 6)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a package in timm's place is asked for."""
    found: list[dict[str, Any]] = []
    package = ModuleType("timm")

    def create_model(name: str, **options: Any) -> nn.Module:
        found.append({"name": name, **options})
        return Small()

    package.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", package)
    monkeypatch.setattr("ferlit.extras.has", lambda name: True)
    return found


def test_weights_of_a_checkpoint_need_no_others_first(asked: list[dict[str, Any]]) -> None:
    assert TimmBackbone("resnet18", pretrained=True).out_features == 6
    with weights_follow():
        TimmBackbone("resnet18", pretrained=True)
    assert [each["pretrained"] for each in asked] == [True, False]


def test_an_import_that_fails_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferlit.extras.has", lambda name: True)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(FerlitError, match=r"timm cannot be imported .*torchvision built for this"):
        TimmBackbone("resnet18")
