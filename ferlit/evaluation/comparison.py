"""Paired comparison of systems that were tested on the same items.

McNemar (1947), "Note on the sampling error of the difference between correlated proportions or
percentages", in its exact form: of the items on which exactly one of two systems is right, each is
as likely to get one as the other if both are equally good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import pandas as pd
from scipy.stats import binomtest  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same items.

    Args:
        b: Items that go to the first system.
        c: Items that go to the second.
        total: Items that both were tested on.
    """

    b: int
    c: int
    total: int

    @property
    def p_value(self) -> float:
        """Of McNemar's exact test, two-sided; 1 where no item tells the systems apart.

        >>> Comparison(b=1, c=7, total=40).p_value
        0.0703125
        """
        decided = self.b + self.c
        return float(binomtest(self.b, decided).pvalue) if decided else 1.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "p_value": self.p_value}


@dataclass(frozen=True)
class SystemComparison:
    """Two systems, by seed and over the seeds that both have.

    Args:
        systems: Their names; b counts the items of the first, c those of the second.
        per_seed: By seed.
        over_seeds: See `compare_over_seeds`.
        p_value_holm: That over the seeds, adjusted for the number of pairs that are compared.
    """

    systems: tuple[str, str]
    per_seed: Mapping[int, Comparison]
    over_seeds: Comparison
    p_value_holm: float

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` says of a pair."""
        seeds = self.per_seed.items()
        return {
            "systems": list(self.systems),
            "per_seed": [{"seed": seed, **found.to_dict()} for seed, found in seeds],
            "over_seeds": {**self.over_seeds.to_dict(), "p_value_holm": self.p_value_holm},
        }


def compare_once(first: pd.Series, second: pd.Series) -> Comparison:
    """McNemar's table of one seed.

    Args:
        first: Whether the first system recognised an item, by the item's name.
        second: The same of the second system.

    >>> first = pd.Series([True, True, False], ["x", "y", "z"])
    >>> second = pd.Series([True, False, False], ["x", "y", "w"])
    >>> compare_once(first, second)
    Comparison(b=1, c=0, total=2)
    """
    return compare_over_seeds([(first, second)])


def compare_over_seeds(pairs: Sequence[tuple[pd.Series, pd.Series]]) -> Comparison:
    """Two systems over several seeds, every item counted once.

    With several seeds the same items recur. Adding the tables of the seeds up would count each
    item as if it were several, and the p-value would fall with every seed that is run. So an item
    is one observation: it goes to the system that recognised it in more of the seeds, and to none
    where they are even. With one seed this is McNemar's test.

    Args:
        pairs: One a seed: whether the first and the second system recognised an item, by its name.

    >>> seeds = [pd.Series([True, False], ["x", "y"]), pd.Series([True, True], ["x", "y"])]
    >>> never = pd.Series([False, False], ["x", "y"])
    >>> compare_over_seeds([(right, never) for right in seeds])
    Comparison(b=2, c=0, total=2)
    """
    ahead = pd.concat(
        [
            (first[both].astype(int) - second[both].astype(int))
            for first, second in pairs
            for both in [first.index.intersection(second.index)]
        ]
    )
    ahead = ahead.groupby(level=0).sum()
    return Comparison(int((ahead > 0).sum()), int((ahead < 0).sum()), len(ahead))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979): the chance of any false claim among them.

    >>> holm([0.01, 0.5, 0.03])
    [0.03, 0.5, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def compare_systems(right: Mapping[str, Mapping[int, pd.Series]]) -> list[SystemComparison]:
    """Every pair of systems that were tested on the same items.

    The p-values treat items as independent. Sequences of one person are not quite that, and the
    folds share training data, so read a p-value near a limit with care.

    Args:
        right: System -> seed -> whether an item was recognised, by the item's name.

    >>> right = {name: {0: pd.Series(hits, ["x", "y"])}
    ...          for name, hits in {"one": [True, True], "two": [True, False]}.items()}
    >>> compare_systems(right)[0].to_dict()["over_seeds"]
    {'b': 1, 'c': 0, 'total': 2, 'p_value': 1.0, 'p_value_holm': 1.0}
    """
    per_seed: dict[tuple[str, str], dict[int, Comparison]] = {}
    over_seeds: dict[tuple[str, str], Comparison] = {}
    for first, second in combinations(right, 2):
        seeds = [seed for seed in right[first] if seed in right[second]]
        pairs = {seed: (right[first][seed], right[second][seed]) for seed in seeds}
        by_seed = {seed: compare_once(*pair) for seed, pair in pairs.items()}
        met = {seed: found for seed, found in by_seed.items() if found.total}
        if met:
            per_seed[first, second] = met
            over_seeds[first, second] = compare_over_seeds([pairs[seed] for seed in met])
    adjusted = holm([found.p_value for found in over_seeds.values()])
    return [
        SystemComparison(systems, per_seed[systems], over_seeds[systems], p_value)
        for systems, p_value in zip(over_seeds, adjusted, strict=True)
    ]
