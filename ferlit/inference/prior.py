"""How often the expressions come where a network is used.

A network's probabilities hold how often each class came in its training: 36 % of FER+ is neutral
and 0.5 % contempt. Where others are to be expected each is multiplied by the ratio of the two
shares (Saerens, Latinne and Decaestecker, Adjusting the outputs of a classifier to new a priori
probabilities, Neural Computation 2002, Eq. 4).
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import UsageError

logger = logging.getLogger(__name__)
Named = Literal["training", "uniform"]
Prior = Named | Mapping[str, float]
NAMED: tuple[Named, ...] = ("training", "uniform")
EXPECTED = "expected"  # of an exported model: the prior that recognition takes where none is named


def parse_prior(text: str) -> Prior:
    """What ``--prior`` says.

    Args:
        text: "training", "uniform" or shares such as "neutral=3,happiness=1".

    Raises:
        UsageError: it is none of these.

    >>> parse_prior("neutral=3,happiness=1")
    {'neutral': 3.0, 'happiness': 1.0}
    """
    if text in NAMED:
        return text
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            shares[name] = float(number)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise UsageError(
                f"--prior {text}: training, uniform, or shares such as neutral=3,happiness=1"
            )
    return shares


def chosen_prior(prior: Prior | None, classifier: object) -> Prior:
    """A prior, or where none is named that which the model says.

    Args:
        prior: What the user named.
        classifier: The model; one of the user's own need not say.
    """
    expected: Prior = getattr(classifier, EXPECTED, "training")
    if prior is None and expected != "training":
        logger.info("it takes all expressions to come alike often (--prior says otherwise)")
    return expected if prior is None else prior


def prior_text(prior: Prior) -> str:
    """What ``--prior`` takes for it, one text for the same shares in any order.

    >>> prior_text({"neutral": 3, "happiness": 1.5})
    'happiness=1.5,neutral=3.0'
    """
    if isinstance(prior, str):
        return prior
    return ",".join(f"{name}={float(share)}" for name, share in sorted(prior.items()))


def ratios(
    prior: Prior, classes: Sequence[str], implied: Sequence[float]
) -> NDArray[np.float32] | None:
    """(K,) what probabilities are multiplied by; None where they stay as they are.

    Args:
        prior: What is expected where the network is used; a class that a mapping leaves out is
            never expected.
        classes: K classes.
        implied: Shares that the network's probabilities hold; empty where it does not say.

    Raises:
        UsageError: the mapping names another class, or has no positive finite shares; or the
            network does not say what it implies.

    >>> ratios("uniform", ["fear", "neutral"], [0.1, 0.9]).round(2)
    array([5.  , 0.56], dtype=float32)
    """
    if prior == "training":
        return None
    if isinstance(prior, str):
        wanted = np.full(len(classes), 1 / len(classes))
    else:
        unknown = [name for name in prior if name not in classes]
        if unknown:
            raise UsageError(
                f"prior: the model does not know {', '.join(unknown)}; it knows "
                f"{', '.join(classes)}"
            )
        shares = [float(prior.get(name, 0.0)) for name in classes]
        if not all(math.isfinite(share) and share >= 0 for share in shares) or not any(shares):
            raise UsageError(f"prior {dict(prior)}: shares of 0 or more, not all of them 0")
        wanted = np.array(shares) / sum(shares)
    if not implied:
        raise UsageError(
            "prior: the model does not say how often the expressions came in its training, as "
            "those do that are trained now; leave it out"
        )
    held = np.asarray(implied)
    never = [name for name, share, w in zip(classes, held, wanted, strict=True) if w and not share]
    if never:
        raise UsageError(f"prior: {', '.join(never)} never came in the model's training")
    factors = np.zeros(len(classes), np.float32)
    np.divide(wanted, held, out=factors, where=held > 0, casting="same_kind")
    return factors


def with_prior(
    probabilities: NDArray[np.float32], factors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(B, K) probabilities multiplied by (K,) `ratios`, each row with the sum 1."""
    weighted = probabilities * factors
    sums: NDArray[np.float32] = weighted.sum(1, keepdims=True)
    # Where nothing is left every expected class is as good as another.
    fallback = (factors > 0) / np.float32((factors > 0).sum())
    return np.where(sums > 0, weighted / np.where(sums > 0, sums, 1), fallback).astype(np.float32)
