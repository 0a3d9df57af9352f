from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from ferlit.evaluation.calibration import BINS, calibration
from ferlit.evaluation.plots import plot_reliability


def answers(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of four classes, their labels, and whether the answers are right."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.5] * 4, size=count)
    labels = rng.integers(4, size=count)
    return probabilities, labels, probabilities.argmax(1) == labels


def loop(confidences: list[float], right: list[bool], bins: int) -> float:
    """Guo et al. 2017, Eq. 3, bin by bin."""
    error = 0.0
    for number in range(bins):
        members = [
            place
            for place, value in enumerate(confidences)
            if number / bins < value <= (number + 1) / bins
        ]
        if members:
            accuracy = sum(right[place] for place in members) / len(members)
            confidence = sum(confidences[place] for place in members) / len(members)
            error += len(members) / len(confidences) * abs(accuracy - confidence)
    return error


@pytest.mark.parametrize("bins", [1, 2, 10, BINS])
@pytest.mark.parametrize("count", [1, 7, 400])
def test_the_error_matches_the_loop(count: int, bins: int) -> None:
    probabilities, _, right = answers(count)
    sure = probabilities.max(1)
    expected = loop(sure.tolist(), right.tolist(), bins)
    assert calibration(sure, right, bins).error == pytest.approx(expected, abs=1e-12)


def test_the_error_is_that_of_torchmetrics_where_no_confidence_is_on_an_edge() -> None:
    probabilities, labels, right = answers(500, seed=1)
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=4, n_bins=BINS
    )
    assert calibration(probabilities.max(1), right).error == pytest.approx(theirs.item(), abs=1e-6)


def test_an_edge_belongs_to_the_bin_below_and_certainty_to_the_last() -> None:
    found = calibration(np.array([0.0, 0.5, 0.5, 1.0]), np.array([True, True, False, True]), bins=2)
    assert found.counts.tolist() == [3, 1]
    assert found.correct.tolist() == [2, 1]
    # |2 right - 1.0 of confidence| of the first bin, and nothing of the second, of 4 answers
    assert found.error == pytest.approx(0.25)


def test_weights_count_answers_several_times() -> None:
    probabilities, _, right = answers(50)
    sure, weights = probabilities.max(1), np.random.default_rng(2).integers(4, size=50)
    repeated = calibration(np.repeat(sure, weights), np.repeat(right, weights))
    weighted = calibration(sure, right, weights=weights)
    assert weighted.counts.tolist() == repeated.counts.tolist()
    assert weighted.error == pytest.approx(repeated.error, abs=1e-12)


def test_empty_bins_have_no_share() -> None:
    found = calibration(np.array([0.95, 0.9]), np.array([True, False])).to_dict()
    assert [each["answers"] for each in found["bins"]] == [0] * 13 + [1, 1]
    assert found["bins"][0]["accuracy"] is None
    assert found["bins"][14]["accuracy"] == 1.0
    assert found["bins"][13]["mean_confidence"] == pytest.approx(0.9)


def test_the_diagram_is_a_picture(tmp_path: Path) -> None:
    probabilities, _, right = answers(100)
    plot_reliability(calibration(probabilities.max(1), right), tmp_path / "reliability.png")
    picture = cv2.imread(str(tmp_path / "reliability.png"))
    assert picture is not None
    assert picture.shape == (720, 600, 3)
