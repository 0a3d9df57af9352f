"""What a network expects, and what its user does."""

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from ferlit.cli import main
from ferlit.data import ExpressionDataModule
from ferlit.data.store import Store
from ferlit.errors import FerlitError, UsageError
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.classifiers.metadata import read_metadata
from ferlit.inference.prior import parse_prior, ratios, with_prior
from ferlit.inference.recogniser import Recogniser
from tests.ferlit.inference.small import small_module, write_checkpoint, write_exported
from tests.ferlit.training.fits import fit_options

FACE = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)


def test_probabilities_follow_bayes_rule() -> None:
    """A likelihood times each prior, by hand."""
    likelihood = np.array([[0.2, 0.5, 0.1], [0.9, 0.3, 0.4]])
    trained, expected = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.6, 0.3])
    before, after = (
        likelihood * prior / (likelihood * prior).sum(1, keepdims=True)
        for prior in (trained, expected)
    )
    classes = ["a", "b", "c"]
    factors = ratios(dict(zip(classes, 5 * expected, strict=True)), classes, trained.tolist())
    np.testing.assert_allclose(with_prior(before.astype(np.float32), factors), after, rtol=1e-5)


def test_what_is_not_expected_is_never_said() -> None:
    factors = ratios({"a": 1.0}, ["a", "b"], [0.5, 0.5])
    found = with_prior(np.array([[0.1, 0.9], [0.0, 1.0]], np.float32), factors)
    np.testing.assert_array_equal(found, [[1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("prior", "implied", "message"),
    [
        ({"joy": 1.0}, [0.5, 0.5], "the model does not know joy; it knows a, b"),
        ({"a": -1.0, "b": 2.0}, [0.5, 0.5], "shares of 0 or more"),
        ({"a": float("nan")}, [0.5, 0.5], "shares of 0 or more"),
        ({"a": 0.0}, [0.5, 0.5], "not all of them 0"),
        ("uniform", [], "does not say how often"),
        ("uniform", [1.0, 0.0], "b never came in the model's training"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(
    prior: Any, implied: list[float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        ratios(prior, ["a", "b"], implied)


@pytest.mark.parametrize("text", ["often", "a", "a=", "a=b", "=1", "a=1,"])
def test_what_is_no_prior_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--prior {text}: training, uniform, or shares"):
        parse_prior(text)


@pytest.fixture(scope="module")
def checkpoint(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert main(fit_options(store.folder, runs, "--trainer.max_epochs=1")) == 0
    return runs / "ckplus" / "version_0" / "checkpoints" / "best.ckpt"


def test_a_checkpoint_says_what_it_implies(checkpoint: Path, store: Store) -> None:
    content = torch.load(checkpoint, weights_only=True)
    classifier = load_classifier(checkpoint)
    assert len(content["prior"]) == len(classifier.classes)
    assert sum(content["prior"]) == pytest.approx(1)
    assert classifier.prior == tuple(content["prior"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", ["--model.logit_adjustment=1", "--data.balanced=true"])
def test_a_network_of_rare_classes_implies_what_it_was_adjusted_to(
    option: str, store: Store, tmp_path: Path
) -> None:
    assert main(fit_options(store.folder, tmp_path, "--trainer.max_epochs=1", option)) == 0
    path = tmp_path / "ckplus" / "version_0" / "checkpoints" / "best.ckpt"
    prior = torch.load(path, weights_only=True)["prior"]
    assert prior == pytest.approx([1 / len(prior)] * len(prior))


def test_balanced_draws_show_no_class_that_is_not_there(store: Store) -> None:
    data = ExpressionDataModule(store=store.folder, fold=0, folds=4, balanced=True)
    data.setup("fit")
    data.labels[data.labels == 2] = -1
    shares = small_module()._shares(data)
    assert shares == [1 / 6, 1 / 6, 0, *[1 / 6] * 4]


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_an_exported_file_keeps_it(ending: str, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / f"model.{ending}"
    assert main(["export", f"--checkpoint={checkpoint}", f"--output={path}"]) == 0
    assert read_metadata(path).prior == pytest.approx(load_classifier(checkpoint).prior)  # type: ignore[attr-defined]
    assert "They hold these shares of the expressions" in path.with_name(
        path.name + ".md"
    ).read_text(encoding="utf-8")
    (face,) = Recogniser(path, landmarks="none", prior={"anger": 1}).recognise(FACE)
    assert (face.label, face.probability) == ("anger", 1)


def test_the_command_line_takes_shares(checkpoint: Path, tmp_path: Path) -> None:
    picture, rows = tmp_path / "face.png", tmp_path / "faces.csv"
    cv2.imwrite(str(picture), FACE)
    options = ["recognise", str(picture), f"--model={checkpoint}", "--aligned"]
    assert main([*options, f"--output={rows}", "--prior=fear=1"]) == 0
    with rows.open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["fear"]
    assert main([*options, "--prior=joy=1"]) == 2


def test_models_that_do_not_say_are_used_as_they_are(tmp_path: Path) -> None:
    for path in (write_checkpoint(tmp_path / "old.ckpt"), write_exported(tmp_path / "old.onnx")):
        (plain,) = Recogniser(path, landmarks="none").recognise(FACE)
        (same,) = Recogniser(path, landmarks="none", prior="training").recognise(FACE)
        assert plain.probabilities == same.probabilities
        with pytest.raises(UsageError, match="does not say how often"):
            Recogniser(path, landmarks="none", prior="uniform")


@pytest.mark.parametrize("prior", [[0.5], [0.5, -0.5], "ab", 1.0, [float("nan"), 1.0]])
def test_a_checkpoint_with_other_shares_is_refused_by_name(prior: Any, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "odd.ckpt")
    torch.save({**torch.load(path, weights_only=True), "prior": prior}, path)
    with pytest.raises(FerlitError, match=r"odd\.ckpt: damaged: .* are no shares of its classes"):
        load_classifier(path)
