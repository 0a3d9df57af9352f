from fractions import Fraction
from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, false_discovery_control  # type: ignore[import-untyped]

from ferlit.evaluation.comparison import (
    Comparison,
    compare_once,
    compare_over_seeds,
    compare_systems,
    holm,
)


def hits(seed: int, share: float = 0.5, items: int = 40) -> pd.Series:
    rng = np.random.default_rng(seed)
    order = rng.permutation(items)
    return pd.Series(rng.random(items) < share, index=[f"item{i}" for i in order])


@pytest.mark.parametrize(("b", "c"), [(1, 7), (7, 1), (4, 4), (0, 6), (13, 25), (1, 0)])
def test_the_p_value_is_the_sum_over_the_coin_tosses_that_are_as_uneven(b: int, c: int) -> None:
    tosses = b + c
    uneven = [k for k in range(tosses + 1) if abs(2 * k - tosses) >= abs(b - c)]
    by_hand = sum(Fraction(comb(tosses, k), 2**tosses) for k in uneven)
    comparison = Comparison(b, c, 100)
    assert comparison.p_value == pytest.approx(float(by_hand))
    assert comparison.p_value == pytest.approx(binomtest(b, tosses, 0.5).pvalue)


def test_systems_that_no_item_tells_apart_have_the_p_value_1() -> None:
    same = hits(0)
    assert compare_once(same, same) == Comparison(0, 0, 40)
    assert compare_once(same, same).p_value == 1


def test_one_seed_counts_as_the_loop_over_the_items_does() -> None:
    first, second = hits(1, items=40), hits(2, items=50)
    b = sum(first[item] and not second[item] for item in first.index)
    c = sum(second[item] and not first[item] for item in first.index)
    assert compare_once(first, second) == Comparison(b, c, 40)


def test_over_seeds_an_item_goes_once_to_the_system_that_is_right_more_often() -> None:
    pairs = [(hits(seed), hits(seed + 10)) for seed in range(4)]
    ahead = [
        sum(bool(first[item]) for first, _ in pairs)
        - sum(bool(second[item]) for _, second in pairs)
        for item in pairs[0][0].index
    ]
    expected = Comparison(sum(x > 0 for x in ahead), sum(x < 0 for x in ahead), 40)
    assert compare_over_seeds(pairs) == expected


def test_running_the_same_seed_again_does_not_lower_the_p_value() -> None:
    pair = hits(3, 0.7), hits(4, 0.4)
    assert compare_over_seeds([pair] * 5) == compare_once(*pair)


def test_the_adjusted_p_values_are_those_of_holm() -> None:
    # Worked by hand: 4 x 0.01, 3 x 0.02, 2 x 0.03, then never lower than the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []
    # Never bolder than Benjamini and Hochberg's, which allow more.
    p_values = np.random.default_rng(0).random(10) ** 3
    assert (np.array(holm(list(p_values))) >= false_discovery_control(p_values) - 1e-12).all()


def test_systems_meet_on_the_seeds_that_both_have() -> None:
    right = {
        "one": {0: hits(0), 1: hits(1), 2: hits(2)},
        "two": {1: hits(11), 0: hits(10)},
        "three": {5: hits(20)},
    }
    (found,) = compare_systems(right)
    said = found.to_dict()
    assert said["systems"] == ["one", "two"]
    assert [row["seed"] for row in said["per_seed"]] == [0, 1]
    first = compare_once(right["one"][0], right["two"][0])
    assert said["per_seed"][0] == {"seed": 0, **first.to_dict()}
    both = compare_over_seeds([(right["one"][s], right["two"][s]) for s in (0, 1)])
    assert said["over_seeds"] == {**both.to_dict(), "p_value_holm": both.p_value}
