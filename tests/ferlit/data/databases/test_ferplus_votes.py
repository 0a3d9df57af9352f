import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlit.data.databases.ferplus.votes import COLUMNS, RULES, vote_targets, winners
from ferlit.data.records import EXPRESSIONS
from tests.ferlit.data.databases.robustness import SETTINGS

COUNTS = st.lists(st.integers(0, 10), min_size=10, max_size=10)
# Neighbouring counts, so that thresholds and ties are met often.
CLOSE = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]), min_size=10, max_size=10)


def by_name(votes: dict[str, int], rule: str) -> dict[str, float]:
    """The targets of one face that are not zero."""
    (target,) = vote_targets([[votes.get(name, 0) for name in COLUMNS]], rule)
    return {name: value for name, value in zip(EXPRESSIONS, target, strict=True) if value}


def one_face(votes: list[int], rule: str) -> list[float]:
    """The rules vote by vote, in FER+'s own order; [] for a dropped face."""
    left = [count if count > 1 else 0 for count in votes]
    total = sum(left)
    kept = [0] * 10
    if rule == "majority":
        best = left.index(max(left))
        if left[best] * 2 > total:
            kept[best] = left[best]
    elif rule == "multi_target":
        kept = [count if count * 10 >= 3 * total else 0 for count in left]
    else:
        number, is_over = 0, False
        while sum(kept) * 4 < 3 * total and number < 3 and not is_over:
            top = max(left)
            for column in range(10):
                if left[column] == top and not is_over:
                    is_over = column >= 8
                    if not is_over or sum(kept) == 0:
                        kept[column] = top
                    left[column] = 0
                    number += not is_over
        if number > 3:
            return []
    if sum(kept) * 2 <= total or kept.index(max(kept)) >= 8:
        return []
    emotions = kept[:8]
    if rule == "multi_target":
        return [1.0 if count else 0.001 for count in emotions]
    return [count / sum(emotions) for count in emotions]


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({"fear": 10}, {"fear": 1}),
        ({"fear": 6, "surprise": 4}, {"fear": 1}),
        ({"fear": 5, "surprise": 5}, {}),
        ({"fear": 5, "surprise": 4, "anger": 1}, {"fear": 1}),  # 5 of 9: a single vote is none
        ({"fear": 2, "surprise": 1, "anger": 1, "unknown": 1}, {"fear": 1}),
        ({"fear": 4, "unknown": 6}, {}),
        ({"fear": 4, "NF": 6}, {}),
        (dict.fromkeys(COLUMNS, 1), {}),
    ],
)
def test_majority_needs_more_than_half(votes: dict[str, int], expected: dict[str, float]) -> None:
    assert by_name(votes, "majority") == expected


@pytest.mark.parametrize("rule", ["probability", "crossentropy"])
@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({"fear": 10}, {"fear": 1}),
        ({"fear": 8, "surprise": 2}, {"fear": 1}),  # three quarters are enough
        ({"fear": 6, "surprise": 4}, {"fear": 0.6, "surprise": 0.4}),
        ({"fear": 4, "surprise": 3, "anger": 3}, {"fear": 0.4, "surprise": 0.3, "anger": 0.3}),
        ({"fear": 4, "surprise": 2, "anger": 2, "sadness": 2}, {}),  # four classes
        ({"fear": 3, "surprise": 3, "anger": 2, "sadness": 2}, {}),
        ({"fear": 6, "unknown": 4}, {"fear": 1}),
        ({"fear": 5, "unknown": 5}, {}),  # at most half
        ({"fear": 4, "surprise": 2, "unknown": 4}, {}),
        ({"fear": 4, "surprise": 4, "unknown": 2}, {"fear": 0.5, "surprise": 0.5}),
        ({"fear": 4, "unknown": 6}, {}),
        ({"NF": 10}, {}),
        (dict.fromkeys(COLUMNS, 1), {}),
    ],
)
def test_shares_are_those_of_the_classes_that_hold_three_quarters(
    votes: dict[str, int], expected: dict[str, float], rule: str
) -> None:
    assert by_name(votes, rule) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("votes", "right"),
    [
        ({"fear": 10}, {"fear"}),
        ({"fear": 7, "surprise": 3}, {"fear", "surprise"}),
        ({"fear": 8, "surprise": 2}, {"fear"}),
        ({"fear": 4, "surprise": 3, "anger": 3}, {"fear", "surprise", "anger"}),
        ({"fear": 4, "unknown": 3, "surprise": 3}, {"fear", "surprise"}),
        ({"fear": 4, "surprise": 2, "anger": 2, "sadness": 2}, set()),  # 4 of 10
        ({"fear": 2, "surprise": 2, "anger": 2, "sadness": 2, "disgust": 2}, set()),
        ({"fear": 3, "unknown": 7}, set()),
        (dict.fromkeys(COLUMNS, 1), set()),
    ],
)
def test_every_class_with_three_tenths_is_right(votes: dict[str, int], right: set[str]) -> None:
    expected = {name: 1.0 if name in right else 0.001 for name in EXPRESSIONS} if right else {}
    assert by_name(votes, "multi_target") == expected


@pytest.mark.parametrize("rule", RULES)
@settings(SETTINGS, max_examples=400)
@given(faces=st.lists(COUNTS | CLOSE, min_size=1, max_size=8))
def test_the_targets_are_those_of_the_rules_vote_by_vote(faces: list[list[int]], rule: str) -> None:
    targets = vote_targets(faces, rule)
    assert targets.shape == (len(faces), 8)
    for votes, target in zip(faces, targets, strict=True):
        expected = dict(zip(COLUMNS, one_face(votes, rule) or [0.0] * 8, strict=False))
        np.testing.assert_allclose(target, [expected[name] for name in EXPRESSIONS])


@pytest.mark.parametrize("rule", RULES)
@SETTINGS
@given(votes=COUNTS | CLOSE)
def test_the_winner_of_a_kept_face_has_the_largest_target(votes: list[int], rule: str) -> None:
    (target,) = vote_targets([votes], rule)
    (winner,) = winners([votes])
    if target.any():
        assert target[EXPRESSIONS.index(winner)] == target.max()


def test_no_faces_have_no_targets() -> None:
    assert vote_targets(np.zeros((0, 10))).shape == (0, 8)
    assert winners(np.zeros((0, 10))) == []


def test_the_votes_are_left_as_they_are() -> None:
    votes = np.array([[9.0, 1, 0, 0, 0, 0, 0, 0, 0, 0]])
    vote_targets(votes)
    assert votes[0, 1] == 1


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 8\); expected \(n, 10\)"):
        vote_targets(np.zeros((1, 8)))
    with pytest.raises(ValueError, match="rule='best'; known are majority"):
        vote_targets(np.zeros((1, 10)), "best")
