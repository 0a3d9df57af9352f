"""Every backbone goes into every kind of file, and comes out with the same probabilities."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.export.graphs import ProbabilityNetwork, write_onnx, write_pt2
from ferlit.models import InceptionFER, OneBranch, ResidualFER
from ferlit.training import ExpressionModule
from tests.ferlit.inference.small import CLASSES, METADATA


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize(
    "backbone",
    [partial(InceptionFER), partial(ResidualFER, width=4, blocks=(1, 2), dropout=0.5)],
    ids=["inception", "residual"],
)
def test_a_file_gives_the_probabilities_of_the_network(
    backbone: type[nn.Module], kind: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = ExpressionModule(CLASSES, backbone=backbone(), branches=partial(OneBranch, hidden=[]))
    network = ModuleClassifier(module.eval(), Preprocessing("none"), torch.device("cpu"))
    path = tmp_path / f"model.{kind}"
    (write_onnx if kind == "onnx" else write_pt2)(ProbabilityNetwork(module), path, METADATA)
    classify = load_classifier(path)
    faces = np.random.default_rng(0).normal(size=(5, 1, 48, 48)).astype(np.float32)
    for count in (1, 5):
        np.testing.assert_allclose(classify(faces[:count]), network(faces[:count]), atol=1e-5)
