"""Accuracy by sequence, and the predictions of all processes (Liu et al. 2017, Sec. 5.3)."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from ferlit.data.records import SEQUENCE_RULES, SequenceRule


def sequence_predictions(
    probabilities: Tensor, sequences: Tensor, rule: SequenceRule
) -> tuple[Tensor, Tensor]:
    """The class of every sequence from its images.

    "max" (CK+): the class with the highest single probability over the images. "mean" (MMI): the
    class with the highest mean score.

    Args:
        probabilities: (B, K) of the images.
        sequences: (B,) numbers of their sequences.
        rule: How the images vote.

    Returns:
        (S,) the numbers of the sequences in rising order, and (S,) their classes.

    Raises:
        ValueError: an unknown rule.

    >>> probabilities = torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2]])
    >>> sequence_predictions(probabilities, torch.tensor([5, 5, 9]), "max")
    (tensor([5, 9]), tensor([1, 0]))
    """
    if rule not in SEQUENCE_RULES:
        raise ValueError(f"rule={rule!r}; known are 'max' and 'mean'")
    numbers, place = torch.unique(sequences, return_inverse=True)
    scores = probabilities.new_zeros(len(numbers), probabilities.shape[1])
    how = "amax" if rule == "max" else "mean"
    index = place[:, None].expand_as(probabilities)
    scores = scores.scatter_reduce(0, index, probabilities, how, include_self=False)
    return numbers, scores.argmax(dim=1)


class SequenceAccuracy(Metric):
    """Share of sequences that are recognised, whichever processes saw their images.

    Args:
        rule: "max" or "mean", see `sequence_predictions`.
        **metric: The arguments of torchmetrics' `Metric`.

    >>> metric = SequenceAccuracy("mean")
    >>> probabilities = torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2]])
    >>> metric(probabilities, torch.tensor([1, 1, 1]), torch.tensor([5, 5, 9]))
    tensor(0.5000)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    probabilities: list[Tensor]
    labels: list[Tensor]
    sequences: list[Tensor]

    def __init__(self, rule: SequenceRule = "max", **metric: object) -> None:
        super().__init__(**metric)
        if rule not in SEQUENCE_RULES:
            raise ValueError(f"rule={rule!r}; known are 'max' and 'mean'")
        self.rule = rule
        for name in ("probabilities", "labels", "sequences"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, labels: Tensor, sequences: Tensor) -> None:
        """Add images: (B, K) probabilities, (B,) labels, (B,) numbers of their sequences."""
        self.probabilities.append(probabilities.detach())
        self.labels.append(labels)
        self.sequences.append(sequences)

    def compute(self) -> Tensor:
        """The accuracy over all sequences."""
        sequences = dim_zero_cat(self.sequences)
        probabilities = dim_zero_cat(self.probabilities)
        _, predicted = sequence_predictions(probabilities, sequences, self.rule)
        labels = torch.empty_like(predicted)
        place = torch.unique(sequences, return_inverse=True)[1]
        labels[place] = dim_zero_cat(self.labels)  # a sequence has one label
        return (predicted == labels).float().mean()


class Predictions(Metric):
    """Collects every image's probabilities from all processes, each image once.

    >>> metric = Predictions()
    >>> metric.update(torch.tensor([4, 1]), torch.eye(2), torch.tensor([0, 1]))
    >>> rows, probabilities, labels = metric.compute()
    >>> rows, labels
    (tensor([1, 4]), tensor([1, 0]))
    """

    is_differentiable = False
    full_state_update = False
    rows: list[Tensor]
    probabilities: list[Tensor]
    labels: list[Tensor]

    def __init__(self, **metric: object) -> None:
        super().__init__(**metric)
        for name in ("rows", "probabilities", "labels"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, rows: Tensor, probabilities: Tensor, labels: Tensor) -> None:
        """Add images: (B,) rows of the record table, (B, K) probabilities, (B,) labels."""
        self.rows.append(rows)
        self.probabilities.append(probabilities.detach())
        self.labels.append(labels)

    def compute(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows in rising order, probabilities and labels, as in `update`."""
        rows, place = torch.unique(dim_zero_cat(self.rows), return_inverse=True)
        first = torch.empty_like(rows)
        first[place] = torch.arange(len(place), device=place.device)
        return rows, dim_zero_cat(self.probabilities)[first], dim_zero_cat(self.labels)[first]
