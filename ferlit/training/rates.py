"""A learning rate of their own for some of the parameters of a module."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ferlit.errors import UsageError


def with_own_rate(
    optimizer: Callable[..., Any], module: nn.Module, own: Sequence[nn.Parameter], rate: float
) -> Optimizer:
    """An optimiser of all parameters of a module, in two groups.

    Args:
        optimizer: From the parameters to the optimiser.
        module: Whose they are.
        own: Those of the second group.
        rate: Its learning rate, as a share of the first one's.

    Raises:
        UsageError: the optimiser takes no groups.

    >>> import torch
    >>> from functools import partial
    >>> module = nn.Linear(2, 1)
    >>> adam = with_own_rate(partial(torch.optim.Adam, lr=0.5), module, [module.bias], 0.1)
    >>> [(len(group["params"]), group["lr"]) for group in adam.param_groups]
    [(1, 0.5), (1, 0.05)]
    """
    ids = set(map(id, own))
    rest = [weight for weight in module.parameters() if id(weight) not in ids]
    try:
        made: Optimizer = optimizer([{"params": rest}, {"params": [*own]}])
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"loss_rate={rate:g}: the optimiser takes no groups of parameters ({error}); leave "
            "loss_rate out"
        ) from error
    made.param_groups[1]["lr"] = made.param_groups[1]["lr"] * rate
    return made


def check_own_rate(optimizer: Optimizer, rate: float) -> None:
    """See that a schedule has kept what `with_own_rate` has set.

    Raises:
        UsageError: it gives both groups rates of its own, as ``OneCycleLR`` does.
    """
    first, own = (float(group["lr"]) for group in optimizer.param_groups[:2])
    if not math.isclose(own, first * rate, rel_tol=1e-6):
        raise UsageError(
            f"loss_rate={rate:g}: the schedule sets the learning rate to {first:g}, and to {own:g} "
            "for the metric loss; take one that keeps the optimiser's rates, or leave loss_rate out"
        )
