"""Losses by name and options: ``NMTupleClustersLoss:sharpness=4,threshold=0.75``."""

import argparse
import ast
from collections.abc import Callable
from typing import Any, NamedTuple

from pytorch_metric_learning import losses as pml
from torch import nn

import nmloss

EMBEDDING_SIZE = 64
TUPLES, CLASSES = "identity tuples", "class-balanced, all pairs"
OURS = ("NMTupleClustersLoss", "AdaptiveNMTupleClustersLoss", "NPlusOneTupletLoss")
OURS = (*OURS, "CoupledClustersLoss")
THEIRS = ("TripletMarginLoss", "ContrastiveLoss", "NTXentLoss", "SupConLoss")


class Choice(NamedTuple):
    """A loss to train with.

    Args:
        name: As asked for.
        make: Makes it.
        rate: The learning rate of its own parameters, as a share of the network's.
        batches: The kinds of batches that it trains on, unless told otherwise.
    """

    name: str
    make: Callable[[], nn.Module]
    rate: float
    batches: tuple[str, ...]


def choice(text: str) -> Choice:
    """The loss that a command line asks for.

    Raises:
        argparse.ArgumentTypeError: there is none of that name, or it refuses an option.
    """
    name, _, rest = text.partition(":")
    if name not in (*OURS, *THEIRS):
        raise argparse.ArgumentTypeError(
            f"{name}: no loss of that name; known are {', '.join((*OURS, *THEIRS))}"
        )
    options: dict[str, Any] = {}
    for each in rest.split(",") if rest else ():
        key, equals, value = each.partition("=")
        if not equals or key in options:
            raise argparse.ArgumentTypeError(f"{text}: {each!r} is no option=value of its own")
        options[key] = _literal(value)
    rate = options.pop("rate", 1.0)
    if name == "AdaptiveNMTupleClustersLoss":
        options["embedding_size"] = EMBEDDING_SIZE

    def make() -> nn.Module:
        loss: nn.Module = getattr(nmloss if name in OURS else pml, name)(**options)
        return loss

    try:
        make()
        rate = float(rate)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    # PML's NTXentLoss takes half a second a step on all pairs.
    takes_both = not rest and name != "NTXentLoss"
    return Choice(text, make, rate, (TUPLES, CLASSES) if takes_both else (TUPLES,))


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
