"""What the softmax loss learns: labels, the judgements of several people, mixtures of both."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ferlit.data.loading.dataset import Batch

TargetRule = Literal["", "probability", "crossentropy", "multi_target"]


def multi_target_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of the most probable right class (Barsoum et al., ICMI 2016, Sec. 4).

    Args:
        logits: (B, K).
        targets: (B, K) weights of the classes: 1 for each right one, little for the others.

    Returns:
        The mean over the images.

    >>> logits = torch.tensor([[2.0, 1.0, 0.0]])
    >>> both, first = torch.tensor([[1.0, 1.0, 0.001]]), torch.tensor([[1.0, 0.001, 0.001]])
    >>> multi_target_loss(logits, both) == multi_target_loss(logits, first)
    tensor(True)
    """
    return -(logits.log_softmax(1) + targets.log()).amax(1).mean()


def softmax_loss(
    logits: Tensor, batch: Batch, rule: TargetRule = "", label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy with the batch's targets, or with its labels where it has none.

    Args:
        logits: (B, K) of the batch's images.
        batch: Labels, and perhaps targets.
        rule: "multi_target" takes `multi_target_loss`.
        label_smoothing: Share of the target that is spread over all classes.
    """
    if batch.target is None:
        return F.cross_entropy(logits, batch.label, label_smoothing=label_smoothing)
    if rule == "multi_target":
        return multi_target_loss(logits, batch.target)
    return F.cross_entropy(logits, batch.target, label_smoothing=label_smoothing)


def mixup(batch: Batch, num_classes: int, alpha: float, rng: np.random.Generator) -> Batch:
    """Mix every image, and its target, with another's (Zhang et al., ICLR 2018).

    Args:
        batch: Images.
        num_classes: K.
        alpha: The share of the first image is drawn from Beta(alpha, alpha), once a batch.
        rng: Draws the share and the partners.

    >>> batch = Batch(torch.eye(2)[:, None, None], torch.tensor([0, 1]), *[torch.arange(2)] * 2)
    >>> mixed = mixup(batch, 2, 1.0, np.random.default_rng(1))
    >>> torch.equal(mixed.image.flatten(1), mixed.target)
    True
    """
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(len(batch.label))).to(batch.label.device)
    target = batch.target
    if target is None:
        target = F.one_hot(batch.label, num_classes).to(batch.image.dtype)
    return batch._replace(
        image=share * batch.image + (1 - share) * batch.image[partner],
        target=share * target + (1 - share) * target[partner],
    )
