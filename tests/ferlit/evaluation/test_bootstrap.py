import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from ferlit.evaluation.bootstrap import bootstrap, units_of


def test_two_persons_give_the_three_results_that_they_can() -> None:
    """S1 has three faces, all right; S2 has one, wrong: draws are 1 (1/4), 3/4 (1/2), 0 (1/4)."""
    units = np.array(["S1", "S1", "S1", "S2"])
    labels, predicted = np.array([0, 1, 0, 1]), np.array([0, 1, 0, 0])
    found = bootstrap(units, labels, predicted, ["a", "b"], draws=2000)
    assert found["accuracy"] == (0.0, 1.0)
    alike = bootstrap(
        np.array(["S1", "S1", "S2", "S2"]), labels, np.array([0, 0, 0, 0]), ["a", "b"]
    )
    assert alike["accuracy"] == (0.5, 0.5)  # whoever is drawn, half of the faces are right


def test_single_images_give_the_binomial_interval() -> None:
    """Of n images a share p is right: a draw has Binomial(n, p) right ones."""
    count, right = 200, 150
    labels = np.zeros(count, np.int64)
    predicted = (np.arange(count) >= right).astype(np.int64)
    found = bootstrap(np.arange(count).astype(str), labels, predicted, ["a", "b"], draws=4000)
    expected = binom.ppf([0.025, 0.975], count, right / count) / count
    assert found["accuracy"] == pytest.approx(tuple(expected), abs=0.011)


def test_faces_of_a_person_are_drawn_together() -> None:
    """The interval over persons is wider than that over faces, by the root of their number."""
    persons, faces = 40, 25
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(persons) < 0.6, faces)
    labels = np.zeros(len(right), np.int64)
    whose = np.repeat([f"S{number}" for number in range(persons)], faces)
    predicted = (~right).astype(np.int64)
    over_persons = bootstrap(whose, labels, predicted, ["a", "b"])["accuracy"]
    over_faces = bootstrap(np.arange(len(right)).astype(str), labels, predicted, ["a", "b"])
    ratio = (over_persons.high - over_persons.low) / np.subtract(*over_faces["accuracy"][::-1])
    assert ratio == pytest.approx(np.sqrt(faces), rel=0.15)


def sample(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=90)
    return {
        "units": np.array([f"S{number}" for number in rng.integers(9, size=90)]),
        "labels": labels,
        "predicted": np.where(rng.random(90) < 0.6, labels, rng.integers(3, size=90)),
        "confidences": rng.uniform(0.34, 1, 90),
    }


def test_the_order_of_the_faces_does_not_matter() -> None:
    given = sample(0)
    order = np.random.default_rng(1).permutation(90)
    found = bootstrap(**given, classes=["a", "b", "c"], draws=200)
    again = bootstrap(
        **{name: each[order] for name, each in given.items()}, classes=["a", "b", "c"], draws=200
    )
    assert list(found) == ["accuracy", "class_mean", "macro_f1", "expected_calibration_error"]
    for name in found:
        assert found[name] == pytest.approx(again[name], abs=1e-12)


def test_the_seed_fixes_the_draws() -> None:
    given = sample(0)
    first, again, other = (
        bootstrap(**given, classes=["a", "b", "c"], draws=100, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize("faces", [1, 5])
def test_one_person_gives_no_interval(faces: int) -> None:
    same = np.zeros(faces, np.int64)
    assert bootstrap(np.array(["S1"] * faces), same, same, ["a", "b"]) == {}


def table(identities: list[str], sequences: list[str]) -> pd.DataFrame:
    images = [f"{number}.png" for number in range(len(identities))]
    return pd.DataFrame({"image": images, "identity": identities, "sequence": sequences})


def test_units_are_persons_or_else_recordings_or_else_images() -> None:
    units = units_of(table(["S1", "S1", "", "", ""], ["a", "b", "c", "c", ""]))
    assert units.counts == {"person": 1, "recording": 1, "image": 1}
    assert len(set(units.names[:2])) == len(set(units.names[2:4])) == 1
    assert str(units) == "1 person and 1 recording and 1 image (whose persons have no name)"
    assert str(units_of(table(["", ""], ["", ""]))) == "2 images (no person has a name)"
    assert str(units_of(table(["S1", "S2"], ["", ""]))) == "2 persons"


def test_a_person_is_not_the_recording_of_the_same_name() -> None:
    assert len(set(units_of(table(["x", ""], ["", "x"])).names)) == 2
