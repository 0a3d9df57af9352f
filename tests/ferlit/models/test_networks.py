import pytest
import torch
from torch import Tensor, nn

from ferlit.models import ClassificationBranch, InceptionFER, OneBranch, TwoBranch

BRANCHES = [OneBranch, TwoBranch]


class Network(nn.Sequential):
    """Backbone and classification branch: what runs at test time."""

    def __init__(self, norm: str = "batch") -> None:
        super().__init__(InceptionFER(norm), ClassificationBranch(512, 7, norm=norm))  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_network_has_the_published_number_of_parameters(norm: str) -> None:
    counted = [
        weight.numel()
        for module in Network(norm).modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        for weight in module.parameters()
    ]
    assert sum(counted) == pytest.approx(7.35e6, abs=0.02e6)


def test_the_network_has_the_published_number_of_multiply_adds() -> None:
    network, total = Network("none").eval(), 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        fan_in = module.weight[0].numel()  # type: ignore[index,union-attr,operator]
        total += fan_in * output[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network(torch.zeros(1, 1, 48, 48))
    assert total == pytest.approx(25.1e6, abs=0.05e6)


def test_without_normalisation_the_features_keep_their_scale() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        features = InceptionFER("none")(torch.randn(64, 1, 48, 48))
    assert 0.3 < features.std() < 10


@pytest.mark.parametrize("branches", BRANCHES)
def test_classify_is_the_classification_branch_alone(branches: type[OneBranch]) -> None:
    module = branches(512, 7).eval()
    features = torch.randn(3, 512)
    assert torch.equal(module.classify(features), module(features).logits)


def test_classify_leaves_the_metric_branch_alone() -> None:
    module = TwoBranch(512, 7)
    module.classify(torch.randn(3, 512)).sum().backward()
    touched = {name for name, weight in module.named_parameters() if weight.grad is not None}
    assert touched == {name for name, _ in module.named_parameters() if "classification" in name}


@pytest.mark.parametrize("branches", BRANCHES)
def test_the_embedding_trains_every_weight_but_the_class_layer(branches: type[OneBranch]) -> None:
    module = branches(512, 7)
    output = module(torch.randn(4, 512))
    assert output.logits.shape == (4, 7)
    assert output.embedding.shape == (4, module.embedding_size)
    output.embedding.square().sum().backward()
    untouched = {name for name, weight in module.named_parameters() if weight.grad is None}
    assert untouched == {"classification.logits.weight", "classification.logits.bias"}


def test_the_connecting_layer_is_one_linear_map_of_both_branches() -> None:
    module = TwoBranch(512, 7, norm="none").eval()
    features = torch.randn(3, 512)
    hidden = module.classification(features)[1]
    own = module.metric(features)
    linear, activation = module.connect
    weight_ec, weight_ml = linear.weight.split(1024, dim=1)
    expected = activation(hidden @ weight_ec.T + own @ weight_ml.T + linear.bias)
    torch.testing.assert_close(module.embedding(expected), module(features).embedding)


@pytest.mark.parametrize("shape", [(1, 48, 48), (2, 3, 48, 48), (2, 1, 60, 60)])
def test_a_wrong_input_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 1, 48, 48\)"):
        InceptionFER()(torch.zeros(shape))


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="norm='layer'"):
        InceptionFER("layer")  # type: ignore[arg-type]
