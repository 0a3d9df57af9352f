"""Model files with a damage: refused with their name, or whatever was damaged says nothing."""

import json
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ferlit.archives import check_archive, read_checkpoint
from ferlit.cli import main
from ferlit.data.store.manifest import checksum
from ferlit.errors import DataError, FerlitError
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.classifiers.metadata import read_metadata
from ferlit.models.weights import read_checkpoint as read_weights
from tests.ferlit.inference.small import write_checkpoint, write_exported
from tests.ferlit.training.fits import ROOT, environment

FACES = np.random.default_rng(0).normal(size=(3, 1, 48, 48)).astype("f")
NAMES = ["model.ckpt", "model.onnx", "model.pt2"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    checkpoint = write_checkpoint(folder / "model.ckpt")
    for name in NAMES[1:]:
        assert main(["export", f"--checkpoint={checkpoint}", f"--output={folder / name}"]) == 0
    return folder


def flipped(source: Path, target: Path, place: int, bit: int = 0) -> Path:
    content = bytearray(source.read_bytes())
    content[place] ^= 1 << bit
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_noticed_or_changes_nothing(
    models: Path, tmp_path: Path, name: str
) -> None:
    """Half of the places anywhere, half in the last 4 kB, where an archive has its names."""
    whole = load_classifier(models / name)
    expected = whole(FACES)
    size = (models / name).stat().st_size
    rng = np.random.default_rng(0)
    places = [*rng.integers(0, size, 40), *rng.integers(max(0, size - 4096), size, 40)]
    refused = 0
    for number, place in enumerate(places):
        path = flipped(models / name, tmp_path / name, int(place), number % 8)
        try:
            found = load_classifier(path)
        except FerlitError as error:
            message = str(error)
        else:
            message = ""
        if message:
            assert str(path) in message
            refused += 1
            continue
        np.testing.assert_array_equal(found(FACES), expected)
        assert found.classes == whole.classes
        assert found.preprocessing == whole.preprocessing
    assert refused >= 40


def largest(path: Path) -> int:
    """A place amid the weights."""
    return path.stat().st_size // 3


def test_a_flip_in_a_checkpoints_weights_is_noticed_wherever_it_is_read(
    models: Path, tmp_path: Path
) -> None:
    path = flipped(models / "model.ckpt", tmp_path / "a.ckpt", largest(models / "model.ckpt"), 6)
    torch.load(path, weights_only=True)  # PyTorch does not notice
    for read in (load_classifier, read_weights, read_checkpoint, check_archive):
        with pytest.raises(DataError, match=r"a\.ckpt: damaged, its part \S+ has another"):
            read(path)


def test_every_byte_of_the_checksum_and_the_metadata_counts(models: Path, tmp_path: Path) -> None:
    content = (models / "model.onnx").read_bytes()
    for text in (b"content_sha256", b"sealed", b"equalize", b"true", b"anger", b"max"):
        for offset in range(len(text)):
            place = content.rindex(text) + offset
            path = flipped(models / "model.onnx", tmp_path / "a.onnx", place, 1)
            with pytest.raises(FerlitError, match=r"a\.onnx"):
                load_classifier(path)


def test_a_card_beside_a_file_is_compared(models: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "model.pt2"):
        card = Path(shutil.copy(models / f"{name}.md", tmp_path))
        path = Path(shutil.copy(models / name, tmp_path))
        load_classifier(path)
        text = card.read_text(encoding="utf-8")
        digest = checksum(path)
        card.write_text(text.replace(digest, digest[::-1]), encoding="utf-8")
        with pytest.raises(FerlitError, match="not the file that its model card describes"):
            load_classifier(path)


def test_an_older_onnx_without_checksum_loads_with_a_word_unless_its_card_names_it(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = onnx.load(models / "model.onnx")
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:], kept["sealed"], kept["content_sha256"]
    onnx.helper.set_model_props(model, kept)
    path = tmp_path / "older.onnx"
    onnx.save_model(model, path)
    assert load_classifier(path)(FACES).shape == (3, 2)
    assert "older.onnx holds no checksum of itself" in caplog.text
    caplog.clear()
    path.with_name("older.onnx.md").write_text(f"| older.onnx | `{checksum(path)}` |\n")
    load_classifier(path)
    assert not caplog.text
    flipped(path, path, path.stat().st_size // 2)
    with pytest.raises(FerlitError, match="its model card"):
        load_classifier(path)


def test_a_part_of_another_export_is_noticed(models: Path, tmp_path: Path) -> None:
    """Its own checksum is right; that of the whole is not."""
    path = tmp_path / "mixed.pt2"
    with zipfile.ZipFile(models / "model.pt2") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[::-1] if name.endswith("weight_0") else content)
    with pytest.raises(FerlitError, match="damaged: it holds the checksum"):
        load_classifier(path)


def test_more_classes_than_outputs_are_refused(models: Path, tmp_path: Path) -> None:
    model = onnx.load(models / "model.onnx")
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del kept["sealed"], kept["content_sha256"]
    path = tmp_path / "a.onnx"
    for classes, message in (
        (["anger", "fear", "joy"], "numbers of shape .*it has 3 classes"),
        (["anger", "anger"], "two classes of one name"),
        (["anger", 5], "no exported model"),
    ):
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {**kept, "classes": json.dumps(classes)})
        onnx.save_model(model, path)
        with pytest.raises(FerlitError, match=message):
            load_classifier(path)


def limited(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_a_full_disk_is_an_error_and_leaves_what_was_there(
    models: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / name
    output.write_text("an older model")
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "ferlit",
            "export",
            f"--checkpoint={models / 'model.ckpt'}",
            f"--output={output}",
        ],
        cwd=ROOT,
        env=environment(),
        preexec_fn=limited(20_000),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    assert f"{output}: it cannot be written (File too large); nothing was changed" in run.stderr
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert output.read_text() == "an older model"


def test_the_card_and_the_file_come_together(models: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "model.pt2"):
        card = (models / f"{name}.md").read_text(encoding="utf-8")
        assert f"| {name} | `{checksum(models / name)}` |" in card
        assert read_metadata(models / name).sealed
    path = write_exported(tmp_path / "twice.pt2")
    first = read_metadata(path).content_sha256
    assert read_metadata(write_exported(path)).content_sha256 == first
