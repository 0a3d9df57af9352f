"""One number that makes a network's probabilities mean what they say.

Guo et al., On calibration of modern neural networks, ICML 2017, Sec. 4.2: logits are divided by a
temperature that is fitted on validation faces. The order of the classes stays, and so every answer.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from torch import Tensor

TEMPERATURE = "temperature"  # of an exported model
_LEAST = 1e-12  # a probability's, in a logarithm
_COLDEST, _HOTTEST = 0.05, 20.0


def tempered(probabilities: Tensor, temperature: float) -> Tensor:
    """Probabilities at another temperature.

    Args:
        probabilities: (B, K).
        temperature: Above 1 makes them less sure, below 1 surer.

    Returns:
        (B, K), each row with the sum 1.

    >>> import torch
    >>> tempered(torch.tensor([[0.8, 0.2]]), 2.0)
    tensor([[0.6667, 0.3333]])
    """
    if temperature == 1:
        return probabilities
    return (probabilities.clamp_min(_LEAST).log() / temperature).softmax(1)


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature at which the labels are likeliest.

    Args:
        probabilities: (n, K) of validation faces.
        labels: (n,) class numbers.

    Raises:
        ValueError: there are no faces.

    >>> sure = np.array([[0.99, 0.01]] * 4)
    >>> round(fit_temperature(sure, np.array([0, 0, 0, 1])), 2)  # right in three of four cases
    4.18
    """
    if not len(labels):
        raise ValueError("no faces to fit a temperature on")
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), _LEAST))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[rows, labels]).mean())

    bounds = (math.log(_COLDEST), math.log(_HOTTEST))
    return math.exp(float(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def is_temperature(value: Any) -> bool:
    """Whether a file's temperature can be one."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0
