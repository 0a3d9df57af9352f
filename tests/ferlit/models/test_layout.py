import copy

import torch
from torch import nn

from ferlit.models import InceptionFER, ResidualFER
from ferlit.training import ExpressionModule

CLASSES = ["anger", "fear", "happiness"]


def test_the_layout_changes_neither_features_nor_names() -> None:
    torch.manual_seed(0)
    for backbone in (InceptionFER(), ResidualFER(width=8)):
        backbone.eval()
        other = ExpressionModule(CLASSES, backbone=copy.deepcopy(backbone)).backbone
        faces = torch.randn(4, 1, 48, 48)
        torch.testing.assert_close(other(faces), backbone(faces), rtol=1e-4, atol=1e-5)
        assert list(other.state_dict()) == list(backbone.state_dict())
        weights = [each.weight for each in other.modules() if isinstance(each, nn.Conv2d)]
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_a_module_trains_with_channels_last_and_saves_contiguous_weights() -> None:
    module = ExpressionModule(CLASSES, backbone=InceptionFER())
    weight = module.backbone.layers[2][0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    checkpoint = {"state_dict": module.state_dict()}
    module._trainer = type("Trainer", (), {"datamodule": None})()  # type: ignore[assignment]
    module.on_save_checkpoint(checkpoint)
    saved = checkpoint["state_dict"]["backbone.layers.2.0.weight"]
    assert saved.is_contiguous()
    assert torch.equal(saved, weight)
