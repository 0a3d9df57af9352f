"""Metric losses that go wrong, which configurations name by their class path."""

import os

import torch
from torch import Tensor, nn


class NaNAfter(nn.Module):
    """Zero for some calls, then not a number; in one process only, where a rank is given."""

    def __init__(self, calls: int, rank: int | None = None) -> None:
        super().__init__()
        self.left = calls
        self.rank = rank

    def forward(self, embeddings: Tensor, labels: Tensor, indices: object) -> Tensor:
        self.left -= 1
        is_here = self.rank in (None, int(os.environ.get("LOCAL_RANK", "0")))
        return embeddings.sum() * (torch.nan if self.left < 0 and is_here else 0.0)
