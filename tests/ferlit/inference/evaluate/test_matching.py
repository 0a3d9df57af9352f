import numpy as np
import pytest

from ferlit.errors import DataError, UsageError
from ferlit.inference.evaluate.matching import match_classes


def test_without_a_restriction_the_probabilities_stay() -> None:
    found = match_classes(["happy", "fear"], ["fear"])
    given = np.array([[0.25, 0.75]], np.float32)
    assert found.answers(given).tolist() == [[0.25, 0.75]]
    assert not found.is_restricted


def test_common_answers_are_divided_by_their_sum_in_the_order_of_the_model() -> None:
    found = match_classes(["happy", "contempt", "fear"], ["fear", "happiness"], common=True)
    assert found.classes == ("happy", "fear")
    given = np.array([[0.1, 0.6, 0.3], [0.0, 1.0, 0.0]])
    assert found.answers(given) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))


def test_classes_of_ones_own_are_matched_without_regard_to_case() -> None:
    found = match_classes(["Bored", "tired"], ["tired", "bored"])
    assert found.shown == {"tired": "tired", "bored": "Bored"}


def test_nothing_in_common_is_refused_with_both_lists() -> None:
    with pytest.raises(DataError, match=r"mine: no class in common: it has pain, .* knows anger"):
        match_classes(["anger"], ["pain"], name="mine")


@pytest.mark.parametrize("swapped", [False, True])
def test_an_expression_that_one_side_has_twice_is_refused(swapped: bool) -> None:
    sides = [["angry", "fear", "anger"], ["anger", "fear"]]
    model, store = sides[::-1] if swapped else sides
    with pytest.raises(DataError, match="'angry', 'anger' several are the same expression"):
        match_classes(model, store)


def test_one_common_answer_is_no_choice() -> None:
    with pytest.raises(UsageError, match="--common would leave anger as the only answer"):
        match_classes(["anger", "fear"], ["anger", "pain"], common=True)
    assert match_classes(["anger", "fear"], ["anger", "pain"]).only_model == ("fear",)
