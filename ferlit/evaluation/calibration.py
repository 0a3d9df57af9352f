"""Whether probabilities mean what they say: the expected calibration error.

Guo et al., On calibration of modern neural networks, ICML 2017, Eq. 2 and 3.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # as in the paper


@dataclass(frozen=True)
class Calibration:
    """Answers by their confidence, the highest probability, in bins of equal width.

    Bin m of M holds confidences above (m - 1) / M, up to m / M with it (and the first one 0).

    Args:
        counts: (M,) answers in each bin.
        confidence: (M,) sums of their confidences.
        correct: (M,) how many of them are right.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error.

        The mean over all answers of the distance between the share of right answers and the mean
        confidence of their bin (Guo et al. 2017, Eq. 3).

        >>> sure = np.array([0.9, 0.9, 0.9, 0.9])
        >>> round(calibration(sure, np.array([True, True, True, False])).error, 3)
        0.15
        """
        return float(np.abs(self.correct - self.confidence).sum() / self.counts.sum())

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """(M,) the share of right answers in each bin; NaN where it is empty."""
        return _share(self.correct, self.counts)

    @property
    def confidences(self) -> NDArray[np.float64]:
        """(M,) the mean confidence in each bin; NaN where it is empty."""
        return _share(self.confidence, self.counts)

    def to_dict(self) -> dict[str, Any]:
        """The error, and each bin with its counts; shares of an empty one are None."""
        edges = np.linspace(0, 1, len(self.counts) + 1)
        shares = zip(self.accuracies.tolist(), self.confidences.tolist(), strict=True)
        bins = [
            {
                "above": float(edges[number]),
                "up_to": float(edges[number + 1]),
                "answers": int(self.counts[number]),
                "correct": int(self.correct[number]),
                "accuracy": accuracy if self.counts[number] else None,
                "mean_confidence": confidence if self.counts[number] else None,
            }
            for number, (accuracy, confidence) in enumerate(shares)
        ]
        return {"expected_calibration_error": self.error, "bins": bins}


def calibration(
    confidences: NDArray[np.float64],
    right: NDArray[np.bool_],
    bins: int = BINS,
    weights: NDArray[np.int64] | None = None,
) -> Calibration:
    """The reliability diagram of some answers.

    Args:
        confidences: (n,) the highest probability of each answer.
        right: (n,) whether it is right.
        bins: Number of bins.
        weights: (n,) how often each answer counts; None for once.

    >>> calibration(np.array([0.2, 0.5, 0.6]), np.array([False, True, True]), bins=2).counts
    array([2, 1])
    """
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    weight = np.ones(len(confidences)) if weights is None else weights.astype(np.float64)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(number, values, minlength=bins).astype(np.float64)

    return Calibration(
        total(weight).astype(np.int64),
        total(weight * confidences),
        total(weight * right).astype(np.int64),
    )


def _share(part: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        share: NDArray[np.float64] = part / counts
    return share
