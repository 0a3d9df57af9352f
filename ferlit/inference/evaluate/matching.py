"""The classes of a store against those of a model, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferlit.data.records import meaning
from ferlit.errors import DataError, UsageError


@dataclass(frozen=True)
class Matching:
    """Which classes a model may answer on a store.

    Args:
        model: All classes of the model.
        classes: The answers that are possible, as the model calls them and in its order.
        shown: The model's name of each class of the store that it knows, by the store's name.
        only_model: Classes of the model that the store lacks.
        only_store: Classes of the store that the model does not know.
    """

    model: tuple[str, ...]
    classes: tuple[str, ...]
    shown: dict[str, str]
    only_model: tuple[str, ...]
    only_store: tuple[str, ...]

    @property
    def is_restricted(self) -> bool:
        """Whether some answers of the model are not possible."""
        return len(self.classes) < len(self.model)

    def answers(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """The probabilities of the possible answers, divided by their sum.

        Where all of them are 0, which rounding may give, they are equally likely.

        Args:
            probabilities: (n, K) of all classes of the model.
        """
        values = probabilities.astype(np.float64)
        if not self.is_restricted:
            return values
        kept = values[:, [self.model.index(name) for name in self.classes]]
        total = kept.sum(axis=1, keepdims=True)
        even = np.full_like(kept, 1 / kept.shape[1])
        answers: NDArray[np.float64] = np.divide(kept, total, out=even, where=total > 0)
        return answers


def match_classes(
    model: Sequence[str], store: Sequence[str], *, name: str = "the store", common: bool = False
) -> Matching:
    """Match classes by name; "happy" and "Happiness" are one expression.

    Args:
        model: Classes of the model.
        store: Classes of the store.
        name: Of the store, for the messages.
        common: Let the model answer only what the store has.

    Raises:
        DataError: they have no class in common, or one of them has an expression twice.
        UsageError: only one answer would be left, which would always be right.

    >>> found = match_classes(["happy", "fear", "contempt"], ["fear", "happiness", "pain"])
    >>> found.shown, found.only_model, found.only_store
    ({'fear': 'fear', 'happiness': 'happy'}, ('contempt',), ('pain',))
    """
    own, others = _by_meaning(model, "the model"), _by_meaning(store, name)
    shown = {others[key]: own[key] for key in others if key in own}
    if not shown:
        raise DataError(
            f"{name}: no class in common: it has {', '.join(store)}, and the model knows "
            f"{', '.join(model)}"
        )
    both = set(shown.values())
    if common and len(both) == 1:
        raise UsageError(
            f"{name}: --common would leave {next(iter(both))} as the only answer, which is always "
            "right; leave it out"
        )
    return Matching(
        tuple(model),
        tuple(each for each in model if each in both or not common),
        shown,
        tuple(each for each in model if each not in both),
        tuple(each for each in store if each not in shown),
    )


def _by_meaning(classes: Sequence[str], owner: str) -> dict[str, str]:
    keys = [meaning(name) for name in classes]
    twins = [name for name, key in zip(classes, keys, strict=True) if keys.count(key) > 1]
    if twins:
        raise DataError(
            f"{owner}: of its classes {', '.join(map(repr, twins))} several are the same "
            "expression, so that classes cannot be matched by name"
        )
    return dict(zip(keys, classes, strict=True))
