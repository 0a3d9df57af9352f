"""Exports to safetensors by the command line, and their use in place of the checkpoint."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from ferlit.archives import read_checkpoint
from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.errors import DataError, FerlitError
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.exported import OnnxClassifier
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.classifiers.metadata import read_metadata
from ferlit.inference.origin import Origin
from ferlit.inference.temperature import tempered
from ferlit.packed import description_of
from ferlit.runs.people import Training
from tests.ferlit.training.fits import fit_options


class Shared(NamedTuple):
    checkpoint: Path
    path: Path
    store: Store


def export(checkpoint: Path, output: Path, *more: str) -> int:
    return main(["export", f"--checkpoint={checkpoint}", f"--output={output}", *more])


@pytest.fixture(scope="module")
def shared(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("shared")
    assert main(fit_options(store.folder, folder / "runs", "--trainer.max_epochs=1")) == 0
    checkpoint = folder / "runs" / "ckplus" / "version_0" / "checkpoints" / "best.ckpt"
    path = folder / "model.safetensors"
    assert export(checkpoint, path, f"--temperature={store.folder}") == 0
    return Shared(checkpoint, path, store)


def inputs(shared: Shared) -> np.ndarray:
    network = load_classifier(shared.checkpoint)
    return network.preprocessing.inputs(shared.store.faces[:20])


def test_it_is_the_network_at_its_temperature(shared: Shared) -> None:
    found, network = load_classifier(shared.path), load_classifier(shared.checkpoint)
    assert isinstance(found, ModuleClassifier)
    assert isinstance(network, ModuleClassifier)
    assert (found.classes, found.preprocessing) == (network.classes, network.preprocessing)
    assert found.prior == pytest.approx(network.prior)
    assert found.temperature != 1
    cooled = tempered(torch.from_numpy(network(inputs(shared))), found.temperature)
    assert np.allclose(found(inputs(shared)), cooled.numpy(), atol=1e-5)


def test_in_16_bits_it_is_half_as_large_and_answers_the_same(
    shared: Shared, tmp_path: Path
) -> None:
    path = tmp_path / "half.safetensors"
    assert export(shared.checkpoint, path, "--half") == 0
    weights = {name: each.dtype for name, each in read_checkpoint(path)["state_dict"].items()}
    assert {torch.float16, torch.float32} <= set(weights.values())
    assert path.stat().st_size < 0.7 * shared.path.stat().st_size
    expected, found = load_classifier(shared.checkpoint), load_classifier(path)
    assert np.allclose(expected(inputs(shared)), found(inputs(shared)), atol=2e-2)
    assert json.loads(description_of(path).read_text())["precision"] == "float16"


def test_it_tells_whom_it_was_trained_with_and_no_path(shared: Shared) -> None:
    known, found = (Training.read(path) for path in (shared.checkpoint, shared.path))
    assert found.splits[0].is_same(known.splits[0])
    assert np.array_equal(found.splits[0].faces["train"], known.splits[0].faces["train"])
    assert Origin.of(shared.path).databases == ("ckplus",)
    for path in (description_of(shared.path), shared.path):
        assert str(shared.store.folder).encode() not in path.read_bytes()
        assert str(shared.checkpoint.parent).encode() not in path.read_bytes()


def test_a_fit_starts_from_it_as_from_the_checkpoint(shared: Shared, tmp_path: Path) -> None:
    states = []
    for number, start in enumerate((shared.checkpoint, shared.path)):
        more = ("--trainer.max_epochs=1", f"--model.init_from={start}")
        assert main(fit_options(shared.store.folder, tmp_path / str(number), *more)) == 0
        run = tmp_path / str(number) / "ckplus" / "version_0"
        states.append(read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"])
    assert all(torch.equal(states[0][name], each) for name, each in states[1].items())


def test_evaluate_knows_the_faces_that_trained_it(
    shared: Shared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"--store={shared.store.folder}", f"--output={tmp_path / 'e'}", "--bootstrap=0"]
    assert main(["evaluate", f"--model={shared.path}", *options]) == 1
    refused = capsys.readouterr().err
    assert main(["evaluate", f"--model={shared.checkpoint}", *options]) == 1
    assert refused.replace(str(shared.path), str(shared.checkpoint)) == capsys.readouterr().err


def test_it_can_be_exported_again(shared: Shared, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert export(shared.path, path) == 0
    found, expected = load_classifier(path), load_classifier(shared.path)
    assert isinstance(found, OnnxClassifier)
    assert np.allclose(found(inputs(shared)), expected(inputs(shared)), atol=1e-5)
    said = read_metadata(path)
    assert (said.databases, said.temperature) == (("ckplus",), expected.temperature)  # type: ignore[attr-defined]


def test_the_card_says_that_the_probabilities_are_calibrated(shared: Shared) -> None:
    card = shared.path.with_name(f"{shared.path.name}.md").read_text(encoding="utf-8")
    assert "temperature" in card
    assert "not calibrated" not in card
    assert "validation faces of ckplus: expected calibration error" in card


def test_labels_in_another_order_are_refused_wherever_it_is_read(
    shared: Shared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(shared.path.read_bytes())
    said = json.loads(description_of(shared.path).read_text())
    said["classes"][:2] = said["classes"][1::-1]
    said["hyper_parameters"]["classes"][:2] = said["hyper_parameters"]["classes"][1::-1]
    description_of(path).write_text(json.dumps(said))
    for read in (load_classifier, Training.read, read_checkpoint):
        with pytest.raises((DataError, FerlitError), match="it was changed since"):
            read(path)
    options = fit_options(shared.store.folder, tmp_path / "runs", f"--model.init_from={path}")
    assert main(options) == 1
    assert "it was changed since" in capsys.readouterr().err


def test_half_belongs_to_safetensors(
    shared: Shared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(shared.checkpoint, tmp_path / "model.pt2", "--half") == 2
    assert "--half goes with .safetensors" in capsys.readouterr().err
