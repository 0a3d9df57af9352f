from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.errors import FerlitError, UsageError
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.training import ExpressionModule
from tests.ferlit.inference.conftest import Trained
from tests.ferlit.tiny import TinyBackbone


def edited(checkpoint: Path, path: Path, edit: Callable[[dict[str, Any]], Any]) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    edit(content)
    torch.save(content, path)
    return path


def test_a_checkpoint_says_its_classes_rule_and_preprocessing(trained: Trained) -> None:
    classifier = load_classifier(trained.checkpoint)
    assert classifier.classes == trained.store.description.classes
    assert classifier.sequence_rule == "max"
    assert classifier.preprocessing == Preprocessing("mediapipe", True, True)
    probabilities = classifier(np.random.default_rng(0).normal(size=(3, 1, 48, 48)).astype("f"))
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (3, 7)
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_the_preprocessing_of_the_training_is_taken(trained: Trained, tmp_path: Path) -> None:
    other = {"landmarks": "dlib", "equalize": False, "fit_plane": False}
    path = edited(
        trained.checkpoint, tmp_path / "a.ckpt", lambda content: content.update(preprocessing=other)
    )
    assert load_classifier(path).preprocessing == Preprocessing("dlib", False, False)


def test_an_older_checkpoint_without_preprocessing_is_said_to_be_one(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = edited(
        trained.checkpoint, tmp_path / "old.ckpt", lambda content: content.pop("preprocessing")
    )
    assert load_classifier(path).preprocessing == Preprocessing()
    assert "old.ckpt does not say how its pictures were prepared" in caplog.text


def test_flip_averaging_of_the_training_is_kept() -> None:
    module = ExpressionModule(["anger", "fear"], backbone=TinyBackbone(), flip_average=True)
    classifier = ModuleClassifier(module, Preprocessing())
    faces = np.random.default_rng(0).normal(size=(2, 1, 48, 48)).astype("f")
    mirrored = np.ascontiguousarray(faces[..., ::-1])
    np.testing.assert_allclose(classifier(faces), classifier(mirrored), atol=1e-6)


def rename_class(content: dict[str, Any]) -> None:
    name = "lightning.pytorch.demos.boring_classes.BoringModel"
    content["hyper_parameters"]["_class_path"] = name


def change_backbone(content: dict[str, Any]) -> None:
    content["hyper_parameters"]["backbone"] = {"class_path": "ferlit.models.InceptionFER"}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.pop("state_dict"), "not a checkpoint of ferlit"),
        (lambda content: content.pop("hyper_parameters"), "without the configuration"),
        (rename_class, "BoringModel, which is no module of ferlit's kind"),
        (change_backbone, "its network cannot be built again"),
        (
            lambda content: content["hyper_parameters"].update(_class_path="no.such.Module"),
            "a checkpoint of no.such.Module, which is not here",
        ),
    ],
)
def test_a_foreign_checkpoint_is_refused(
    trained: Trained, tmp_path: Path, edit: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = edited(trained.checkpoint, tmp_path / "foreign.ckpt", edit)
    with pytest.raises(FerlitError, match=message) as error:
        load_classifier(path)
    assert str(error.value).startswith(str(path))


class Unsafe:
    """Pickled by its name, which a safe load refuses."""


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("not a network")
    pickled = tmp_path / "pickled.ckpt"
    torch.save(Unsafe, pickled)
    weights = tmp_path / "list.pt"
    torch.save([1, 2], weights)
    for path, message in [
        (text, "not a model: neither"),
        (pickled, "not a model: neither"),
        (weights, "a list, not a checkpoint"),
        (tmp_path / "none.ckpt", "there is no such model"),
    ]:
        with pytest.raises(FerlitError, match=message):
            load_classifier(path)


def test_a_folder_of_a_run_leads_to_its_checkpoint(trained: Trained) -> None:
    with pytest.raises(FerlitError, match=r"a folder; the model is a file, as .*best\.ckpt"):
        load_classifier(trained.run)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here_is_bad_usage(tmp_path: Path, device: str) -> None:
    (tmp_path / "any.ckpt").touch()
    with pytest.raises(UsageError, match=f"the device '{device}' cannot be used"):
        load_classifier(tmp_path / "any.ckpt", device)
