"""Exports by the command line: what the files give, say and leave behind."""

import shutil
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ferlit.cli import main
from ferlit.data.faces.registration import canonical_landmarks
from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.store import Store
from ferlit.data.store.manifest import checksum
from ferlit.errors import DataError, FerlitError, UsageError
from ferlit.files import whole_file
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.exported import ExportedClassifier, OnnxClassifier
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.classifiers.metadata import Metadata, read_metadata
from ferlit.inference.export.exporter import describe
from ferlit.inference.export.graphs import ProbabilityNetwork, write_onnx, write_pt2
from ferlit.inference.export.labelled_faces import LabelledFaces
from ferlit.inference.export.parity import check, random_faces
from ferlit.inference.origin import Origin
from ferlit.models import InceptionFER
from ferlit.training import ExpressionModule
from tests.ferlit.training.fits import fit_options

ROOT = Path(__file__).parents[4]


class Exported(NamedTuple):
    checkpoint: Path
    network: ModuleClassifier
    folder: Path  # with model.onnx, model.pt2, flipped.pt2, small.onnx
    faces: NDArray[np.float32]  # inputs of the store


def run_export(checkpoint: Path, output: Path, *more: str) -> int:
    return main(["export", f"--checkpoint={checkpoint}", f"--output={output}", *more])


@pytest.fixture(scope="module")
def exported(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A short run, exported in all ways."""
    runs = tmp_path_factory.mktemp("runs")
    wide = ("--model.init_args.branches.init_args.hidden=[1024,512]", "--model.optimizer.lr=0.0005")
    assert main(fit_options(store.folder, runs, "--trainer.max_epochs=2", *wide)) == 0
    checkpoint = runs / "ckplus" / "version_0" / "checkpoints" / "best.ckpt"
    folder = tmp_path_factory.mktemp("exported")
    check_store = f"--check={store.folder}"
    assert run_export(checkpoint, folder / "model.onnx", check_store) == 0
    assert run_export(checkpoint, folder / "model.pt2", check_store) == 0
    assert run_export(checkpoint, folder / "flipped.pt2", "--flip") == 0
    int8 = ("--int8", f"--store={store.folder}", "--calibration=40")
    assert run_export(checkpoint, folder / "small.onnx", *int8) == 0
    network = load_classifier(checkpoint)
    assert isinstance(network, ModuleClassifier)
    rows = np.arange(64, dtype=np.int64)
    return Exported(checkpoint, network, folder, network.preprocessing.inputs(store.faces[rows]))


needs_opencv_5 = pytest.mark.skipif(
    int(cv2.__version__.partition(".")[0]) < 5, reason="OpenCV 4 gets the sizes of poolings wrong"
)


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
@pytest.mark.parametrize(
    "kind", ["onnxruntime", pytest.param("opencv", marks=needs_opencv_5), "pt2"]
)
def test_an_exported_file_gives_the_networks_probabilities_in_any_batch(
    exported: Exported, kind: str, batch: int
) -> None:
    if kind == "pt2":
        loaded = load_classifier(exported.folder / "model.pt2")
        assert isinstance(loaded, ExportedClassifier)
    else:
        loaded = OnnxClassifier(exported.folder / "model.onnx", runtime=kind)
    faces = exported.faces[:batch]
    probabilities = loaded(faces)
    assert probabilities.shape == (batch, 7)
    assert probabilities.sum(1) == pytest.approx(np.ones(batch), abs=1e-5)
    assert probabilities == pytest.approx(exported.network(faces), abs=1e-5)


@needs_opencv_5
def test_both_runtimes_run_the_network_of_the_paper(exported: Exported, tmp_path: Path) -> None:
    module = ExpressionModule(list(exported.network.classes), backbone=InceptionFER())
    with torch.no_grad():
        module(torch.from_numpy(exported.faces))  # for the statistics of the normalisation
    network, path = ModuleClassifier(module, Preprocessing()), tmp_path / "model.onnx"
    write_onnx(ProbabilityNetwork(module), path, describe(network, Origin.of(exported.checkpoint)))
    for runtime in ("onnxruntime", "opencv"):
        parity = check(network, OnnxClassifier(path, runtime=runtime), random_faces())
        assert parity.agreeing == parity.faces


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_an_exported_file_says_what_the_checkpoint_says(exported: Exported, name: str) -> None:
    loaded, network = load_classifier(exported.folder / name), exported.network
    assert loaded.classes == network.classes
    assert loaded.sequence_rule == network.sequence_rule
    assert loaded.preprocessing == network.preprocessing
    metadata = read_metadata(exported.folder / name)
    assert metadata.checkpoint_sha256 == checksum(exported.checkpoint)
    assert metadata.databases == ("ckplus",)
    assert "research only" in metadata.licence
    assert (metadata.input_size, metadata.face_size) == (48, 60)
    assert np.array(metadata.canonical_landmarks) == pytest.approx(canonical_landmarks())


def test_other_programs_find_the_metadata_names_and_shapes(exported: Exported) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.folder / "model.onnx")
    found = session.get_modelmeta().custom_metadata_map
    assert found == read_metadata(exported.folder / "model.onnx").properties()
    (given,), (got,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("faces", "tensor(float)", [1, 48, 48])
    assert (got.name, got.shape[1:]) == ("probabilities", [7])
    assert isinstance(given.shape[0], str)  # a name: the size is free


def test_no_file_holds_paths_of_the_machine(exported: Exported, store: Store) -> None:
    contents = [(exported.folder / name).read_bytes() for name in ("model.onnx", "small.onnx")]
    with zipfile.ZipFile(exported.folder / "model.pt2") as archive:
        contents += [archive.read(name) for name in archive.namelist()]
    contents += [path.read_bytes() for path in exported.folder.glob("*.md")]
    for path in (ROOT, Path(torch.__file__).parent, store.folder.parent, exported.checkpoint):
        assert not any(str(path).encode() in content for content in contents)


def test_flip_averages_a_face_and_its_mirror_image_in_the_graph(exported: Exported) -> None:
    plain = ExportedClassifier(exported.folder / "model.pt2")
    flipped = ExportedClassifier(exported.folder / "flipped.pt2")
    mirrored = exported.faces[..., ::-1]
    mean = (plain(exported.faces) + plain(mirrored)) / 2
    assert flipped(exported.faces) == pytest.approx(mean, abs=1e-5)
    assert np.abs(plain(exported.faces) - mean).max() > 1e-3
    assert flipped.metadata.flip_average
    assert not plain.metadata.flip_average


def test_int8_is_smaller_and_nearly_the_same_network(exported: Exported) -> None:
    small = load_classifier(exported.folder / "small.onnx")
    expected, found = exported.network(exported.faces), small(exported.faces)
    assert (expected.argmax(1) == found.argmax(1)).mean() >= 0.9
    assert 1e-5 < np.abs(found - expected).mean() < 0.03
    sizes = [(exported.folder / f"{name}.onnx").stat().st_size for name in ("small", "model")]
    assert sizes[0] < 0.3 * sizes[1]
    assert read_metadata(exported.folder / "small.onnx").precision == "int8"


def test_int8_is_calibrated_on_the_people_that_the_network_trained_on(
    exported: Exported, store: Store
) -> None:
    origin = Origin.of(exported.checkpoint)
    faces = LabelledFaces(store.folder, exported.network, origin)
    for part in ("train", "val", "test"):
        people = set(store.records["identity"].iloc[faces.rows(part)])
        split = pd.read_csv(exported.checkpoint.parent.parent / "split.csv")
        assert people == set(split.loc[split["split"] == part, "identity"])
    assert len(faces.calibration(5)) == 5
    assert len(faces.calibration(10_000)) == len(faces.rows("train"))


def test_int8_needs_the_split_of_the_training(
    exported: Exported, store: Store, tmp_path: Path
) -> None:
    alone = Path(shutil.copy(exported.checkpoint, tmp_path / "alone.ckpt"))
    here, there = (
        LabelledFaces(store.folder, exported.network, Origin.of(checkpoint)).rows("train")
        for checkpoint in (exported.checkpoint, alone)
    )
    assert np.array_equal(here, there)
    content = torch.load(alone, weights_only=True)
    del content["people"]  # as in checkpoints of earlier versions
    torch.save(content, alone)
    with pytest.raises(DataError, match="it is not known which of its faces trained"):
        LabelledFaces(store.folder, exported.network, Origin.of(alone))
    run = shutil.copytree(exported.checkpoint.parent.parent, tmp_path / "run")
    shutil.copy(alone, run / "checkpoints" / "best.ckpt")
    origin = Origin.of(run / "checkpoints" / "best.ckpt")
    assert np.array_equal(LabelledFaces(store.folder, exported.network, origin).rows("train"), here)
    swapped = origin.split.replace({"split": {"train": "test", "test": "train"}})
    swapped.to_csv(run / "split.csv", index=False)
    with pytest.raises(DataError, match="its folds are not those of the training"):
        LabelledFaces(store.folder, exported.network, origin)


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_the_kind_of_a_file_is_told_from_its_content(
    exported: Exported, tmp_path: Path, name: str
) -> None:
    other = shutil.copy(exported.folder / name, tmp_path / "model.bin")
    assert load_classifier(Path(other)).classes == exported.network.classes


def test_the_runtime_of_onnx_says_which_devices_there_are(exported: Exported) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is one")
    with pytest.raises(UsageError, match="this onnxruntime has no CUDA"):
        load_classifier(exported.folder / "model.onnx", "cuda")


def test_the_card_names_data_counts_limits_and_checksums(exported: Exported) -> None:
    card = (exported.folder / "small.onnx.md").read_text(encoding="utf-8")
    folder = exported.checkpoint.parent.parent
    split = pd.read_csv(folder / "split.csv")
    trained = split[split["split"] == "train"]
    assert f"| train | {trained['images'].sum()} | {trained['identity'].nunique()} |" in card
    tested = pd.read_csv(folder / "predictions.csv")
    right = int((tested["label"] == tested["predicted"]).sum())
    assert f"- by image: {right} of {len(tested)}, {right / len(tested):.1%}" in card
    anger = tested[tested["label"] == "anger"]
    assert f"| anger | {(anger['predicted'] == 'anger').sum()} | {len(anger)} |" in card
    assert checksum(exported.folder / "small.onnx") in card
    assert checksum(exported.checkpoint) in card
    assert "Round 0 (from 0) of 4 subject-independent folds" in card
    assert "ferlit.models.TwoBranch" in card
    assert "40 training faces of ckplus" in card
    assert "Article 5(1)(f)" in card


class NoisyBackbone(nn.Flatten):
    """Forgets that it is evaluated."""

    out_features = 48 * 48

    def forward(self, image: Tensor) -> Tensor:
        return F.dropout(super().forward(image), training=True)


def write_checked(network: ModuleClassifier, metadata: Metadata, output: Path) -> None:
    with whole_file(output) as draft:
        write_pt2(ProbabilityNetwork(network.module), draft, metadata)
        check(network, ExportedClassifier(draft), random_faces())


def test_a_file_that_gives_something_else_is_refused_and_leaves_nothing(
    exported: Exported, tmp_path: Path
) -> None:
    module = ExpressionModule(["anger", "fear"], backbone=NoisyBackbone())
    network = ModuleClassifier(module, Preprocessing())
    metadata = describe(network, Origin.of(exported.checkpoint))
    output = tmp_path / "model.pt2"
    output.write_text("an older model")
    with pytest.raises(FerlitError, match="does not give what the network"):
        write_checked(network, metadata, output)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    assert output.read_text() == "an older model"


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("model.tflite", (), "must end in .onnx, .pt2 or .safetensors"),
        ("model.onnx", ("--int8",), "give a store of the training data with --store"),
        ("model.pt2", ("--int8", "--store=x"), "--int8 writes ONNX"),
        ("model.onnx", ("--int8", "--store=x", "--calibration=0"), "at least 1 face"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_loaded(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    output: str,
    more: tuple[str, ...],
    message: str,
) -> None:
    assert run_export(tmp_path / "none.ckpt", tmp_path / output, *more) == 2
    assert message in capsys.readouterr().err


def test_what_is_no_checkpoint_is_refused(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.ckpt"
    text.write_text("no checkpoint")
    for path, message in (
        (tmp_path / "none.ckpt", "there is no such"),
        (text, "not a model"),
        (exported.folder / "model.pt2", "exported already"),
    ):
        assert run_export(path, tmp_path / "model.pt2") == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "model.pt2").exists()


def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not installed
    assert run_export(exported.checkpoint, tmp_path / "model.onnx") == 1
    assert "onnxscript is missing; pip install 'ferlit[export]'" in capsys.readouterr().err


@needs_opencv_5
def test_without_onnxruntime_opencv_runs_the_model(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    classifier = load_classifier(exported.folder / "model.onnx")
    assert isinstance(classifier, OnnxClassifier)
    assert classifier.runtime == "opencv"
    assert classifier(exported.faces) == pytest.approx(exported.network(exported.faces), abs=1e-5)


def test_damaged_and_foreign_files_are_named(exported: Exported, tmp_path: Path) -> None:
    for name in ("model.onnx", "model.pt2"):
        content = (exported.folder / name).read_bytes()
        damaged = tmp_path / name
        damaged.write_bytes(content[: len(content) // 2])
        with pytest.raises(FerlitError, match="damaged"):
            read_metadata(damaged)
    foreign = onnx.load(exported.folder / "model.onnx")
    del foreign.metadata_props[:]
    onnx.save_model(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(FerlitError, match="which classes and preprocessing"):
        load_classifier(tmp_path / "foreign.onnx")
