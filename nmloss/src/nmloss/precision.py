"""In which precision distances are computed."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from nmloss.arguments import check_real


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


def full_precision(embeddings: Tensor, ref_emb: Tensor | None) -> tuple[Tensor, Tensor]:
    """Embeddings and references in at least float32; the embeddings where there are none.

    Raises:
        ValueError: one is no (B, D) tensor of real numbers, or they differ in D.
    """
    check_real("embeddings", embeddings, (2,))
    if ref_emb is not None:
        check_real("ref_emb", ref_emb, (2,))
        if ref_emb.shape[1] != embeddings.shape[1]:
            raise ValueError(
                f"ref_emb of shape {tuple(ref_emb.shape)} for embeddings of "
                f"{tuple(embeddings.shape)}: needed is the same size"
            )
    full = at_least_float32(embeddings)
    if ref_emb is None or ref_emb is embeddings:
        return full, full
    return full, at_least_float32(ref_emb)


def no_autocast(values: Tensor) -> AbstractContextManager[Any]:
    """Autocast switched off, where the device of the values has it."""
    kind = values.device.type
    if torch.amp.is_autocast_available(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
