import numpy as np
import pytest
import torch

from ferlit.evaluation.calibration import calibration
from ferlit.inference.temperature import fit_temperature, is_temperature, tempered


def drawn(temperature: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a network that is surer than it should be, and labels."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(count, 5)) * 2)
    true = logits.softmax(1).numpy()
    labels = np.array([rng.choice(5, p=row) for row in true])
    return (logits * temperature).softmax(1).numpy(), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 3.0])
def test_the_temperature_that_the_labels_were_drawn_at_is_found(temperature: float) -> None:
    probabilities, labels = drawn(temperature)
    assert fit_temperature(probabilities, labels) == pytest.approx(temperature, rel=0.03)


def test_at_it_the_calibration_error_is_small_and_no_answer_is_another() -> None:
    probabilities, labels = drawn(2.5)
    cooled = tempered(torch.from_numpy(probabilities), fit_temperature(probabilities, labels))
    errors = [
        calibration(found.max(1), found.argmax(1) == labels).error
        for found in (probabilities, cooled.numpy())
    ]
    assert errors[0] > 0.1
    assert errors[1] < 0.015
    assert np.array_equal(cooled.argmax(1), probabilities.argmax(1))


def test_it_divides_the_logits() -> None:
    logits = torch.randn(8, 4, dtype=torch.float64)
    torch.testing.assert_close(tempered(logits.softmax(1), 1.6), (logits / 1.6).softmax(1))
    assert tempered(logits, 1) is logits


def test_answers_that_are_all_right_and_certain_have_an_end() -> None:
    sure = np.eye(3)[[0, 1, 2]]
    assert 0.05 <= fit_temperature(sure, np.array([0, 1, 2])) <= 20
    assert fit_temperature(sure, np.array([1, 2, 0])) == pytest.approx(20, rel=1e-3)


def test_no_faces_are_an_error() -> None:
    with pytest.raises(ValueError, match="no faces"):
        fit_temperature(np.empty((0, 3)), np.empty(0, np.int64))


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_what_is_no_temperature(value: object) -> None:
    assert not is_temperature(value)
    assert is_temperature(1.2)
