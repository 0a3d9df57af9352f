"""What the softmax loss learns: labels, the judgements of several people, mixtures of both."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ferlit.data.loading.dataset import Batch

_LEAST_SHARE = 1e-6  # of a class, in a logarithm
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


def logit_adjustment(shares: Sequence[float], tau: float = 1.0) -> Tensor:
    """What makes up for rare classes (Menon et al., Long-tail learning via logit adjustment, 2021).

    The softmax loss of logits to which tau log(share) is added leaves to the network what speaks
    for a class beside how often it comes (their Eq. 10), so that it is chosen for the mean over
    classes in place of the mean over images.

    Args:
        shares: K shares of the classes in training; a class that does not come there has 0.
        tau: 1 for equally frequent classes in use; 0 changes nothing.

    Returns:
        (K,) to be added to the logits.

    >>> logit_adjustment([0.5, 0.25, 0.25]).exp()
    tensor([0.5000, 0.2500, 0.2500])
    """
    frequent = torch.tensor(shares, dtype=torch.float32)
    return tau * frequent.clamp_min(_LEAST_SHARE).log()


def implied_shares(
    shares: Sequence[float], tau: float = 0.0, label_smoothing: float = 0.0
) -> list[float]:
    """How often a network's probabilities take the classes to come.

    That is how much of the targets each has, divided by share^tau.

    Args:
        shares: Of the classes in training.
        tau: Of `logit_adjustment`.
        label_smoothing: Share of each target that is spread over all classes.

    >>> implied_shares([0.8, 0.2]), implied_shares([0.8, 0.2], tau=1)
    ([0.8, 0.2], [0.5, 0.5])
    >>> [round(share, 3) for share in implied_shares([0.99, 0.01], label_smoothing=0.1)]
    [0.941, 0.059]
    """
    spread = label_smoothing / len(shares)
    of_targets = [(1 - label_smoothing) * share + spread for share in shares]
    weights = [
        target / share**tau if share else 0.0  # what never comes is never expected
        for target, share in zip(of_targets, shares, strict=True)
    ]
    return [weight / sum(weights) for weight in weights]


def softmax_loss(
    logits: Tensor,
    batch: Batch,
    rule: TargetRule = "",
    label_smoothing: float = 0.0,
    adjustment: Tensor | None = None,
) -> Tensor:
    """Cross-entropy with the batch's targets, or with its labels where it has none.

    Args:
        logits: (B, K) of the batch's images.
        batch: Labels, and perhaps targets.
        rule: "multi_target" takes `multi_target_loss`.
        label_smoothing: Share of the target that is spread over all classes.
        adjustment: (K,) what `logit_adjustment` gave; added to the logits in training alone.
    """
    if adjustment is not None:
        logits = logits + adjustment
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
