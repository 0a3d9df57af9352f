"""The two branches behind the backbone (Liu et al. 2017, Sec. 4 and Fig. 4).

Expression classification (EC): FC1 - FC2 - class logits. Metric learning (ML): FC3 from the same
features; the connecting layer FC4 = P1' FC2 + P2' FC3 (Eq. 13); FC5, the embedding. At test time
the EC branch is enough. FC1 and FC2 have 4096 and 1024 units as in the published network, FC3 has
those of FC2 (D_input); the sizes of FC4 (D_output) and FC5 are not in the paper and are ours.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ferlit.models.inception import Norm, initialize_for_prelu
from ferlit.models.prelu import PReLU


class Output(NamedTuple):
    """Logits (B, K) of the classes and embedding (B, D) for the metric loss."""

    logits: Tensor
    embedding: Tensor


class Branches(Protocol):
    """What follows the backbone: classes and, in training, an embedding."""

    def __call__(self, features: Tensor) -> Output: ...
    def classify(self, features: Tensor) -> Tensor: ...


class ClassificationBranch(nn.Module):
    """EC: fully connected layers with PReLU, then the class logits.

    Args:
        in_features: Features of the backbone.
        num_classes: K.
        hidden: Units of FC1 and FC2.
        norm: "batch" or "none", as in the backbone.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden: Sequence[int] = (4096, 1024),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        sizes = [in_features, *hidden]
        self.hidden = nn.Sequential(*(fully_connected(a, b, norm) for a, b in pairwise(sizes)))
        self.logits = nn.Linear(sizes[-1], num_classes)
        self.hidden_features = sizes[-1]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and the activations of the last hidden layer (B, D_input)."""
        hidden = self.hidden(features)
        return self.logits(hidden), hidden


class OneBranch(nn.Module):
    """1B: the EC branch alone; its last hidden layer is the embedding.

    Args:
        in_features: Features of the backbone.
        num_classes: K.
        hidden: Units of FC1 and FC2.
        norm: "batch" or "none", as in the backbone.

    >>> OneBranch(512, 7)(torch.zeros(2, 512)).embedding.shape
    torch.Size([2, 1024])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden: Sequence[int] = (4096, 1024),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.classification = ClassificationBranch(in_features, num_classes, hidden, norm)
        self.embedding_size = self.classification.hidden_features

    def forward(self, features: Tensor) -> Output:
        return Output(*self.classification(features))

    def classify(self, features: Tensor) -> Tensor:
        """(B, K) logits of the EC branch, whatever else there is."""
        logits: Tensor = self.classification(features)[0]
        return logits


class TwoBranch(OneBranch):
    """2B: the EC branch, and the ML branch joined to it by the connecting layer (Eq. 13).

    Args:
        in_features: Features of the backbone.
        num_classes: K.
        embedding_size: Units of FC5.
        connect_size: Units of FC4, D_output.
        hidden: Units of FC1 and FC2.
        norm: "batch" or "none", as in the backbone.

    >>> TwoBranch(512, 7)(torch.zeros(2, 512)).embedding.shape
    torch.Size([2, 128])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        embedding_size: int = 128,
        connect_size: int = 512,
        hidden: Sequence[int] = (4096, 1024),
        norm: Norm = "batch",
    ) -> None:
        super().__init__(in_features, num_classes, hidden, norm)
        size = self.classification.hidden_features
        self.metric = fully_connected(in_features, size, norm)  # FC3
        self.connect = fully_connected(2 * size, connect_size, norm)  # FC4
        self.embedding = nn.Linear(connect_size, embedding_size)  # FC5
        self.embedding_size = embedding_size

    def forward(self, features: Tensor) -> Output:
        logits, hidden = self.classification(features)
        both = torch.cat([hidden, self.metric(features)], dim=1)
        return Output(logits, self.embedding(self.connect(both)))


def fully_connected(in_features: int, out_features: int, norm: Norm) -> nn.Sequential:
    """A linear layer with its normalisation and PReLU."""
    has_norm = norm == "batch"
    layers: list[nn.Module] = [nn.Linear(in_features, out_features, bias=not has_norm)]
    layers += [nn.BatchNorm1d(out_features)] if has_norm else []
    block = nn.Sequential(*layers, PReLU(out_features))
    if not has_norm:
        initialize_for_prelu(block)
    return block
