"""How often the faces of each of several stores are shown in an epoch."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ferlit.data.store import Store, StoreUnion
from ferlit.errors import UsageError

Weights = Sequence[float] | Mapping[str, float]


def weigh_faces(
    weights: Weights | None, store: Store | StoreUnion, is_training: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """(n,) how often each face is shown in an epoch of training; None for once each.

    Args:
        weights: Of the stores, in their order or by their names.
        store: Them.
        is_training: (n,) which faces train.

    Raises:
        UsageError: they do not fit the stores.
    """
    if weights is None:
        return None
    members = list(store.members)
    names = [member.name for member in members]
    what = "--data.store_weights"
    if len(members) == 1:
        raise UsageError(
            f"{what} {_plain(weights)}: it weighs several stores against each other, and there is "
            f"one, {store.place}; leave it out"
        )
    if isinstance(weights, Mapping):
        unknown = [name for name in weights if name not in names]
        lacking = [name for name in names if name not in weights]
        if unknown or lacking:
            reason = f"no store is called {unknown[0]}" if unknown else f"none for {lacking[0]}"
            raise UsageError(f"{what} {_plain(weights)}: {reason}; they are {', '.join(names)}")
        weights = [weights[name] for name in names]
    if len(weights) != len(names):
        raise UsageError(
            f"{what} {_plain(weights)}: {len(weights)} weights for {len(names)} stores, "
            f"{', '.join(names)}"
        )
    for member, weight in zip(members, weights, strict=True):
        count = int(is_training[member.rows].sum())
        if not (math.isfinite(weight) and weight > 0):
            raise UsageError(f"{what}: {weight} for {member.name}; it must be a number above 0")
        if count and weight * count < 1:
            raise UsageError(
                f"{what}: {weight} for {member.name} shows none of its {count} training faces in "
                "most epochs; give more, or leave the store out"
            )
    if all(weight == 1 for weight in weights):
        return None
    counts = [len(member.store.records) for member in members]
    return np.repeat(np.array(weights, dtype=np.float64), counts)


def _plain(weights: Weights) -> str:
    return str(dict(weights) if isinstance(weights, Mapping) else list(weights))
