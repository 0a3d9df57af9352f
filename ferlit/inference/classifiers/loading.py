"""A classifier out of a file, whose kind is told from its content."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ferlit.archives import UNREADABLE, check_archive
from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.records import SequenceRule
from ferlit.errors import FerlitError, UsageError
from ferlit.inference.classifiers.checkpoint import brief, load_checkpoint
from ferlit.inference.classifiers.exported import ExportedClassifier, OnnxClassifier
from ferlit.packed import ENDING
from ferlit.runs.folder import BEST, RunFolder
from ferlit.shipped import names, place_of

_ONNX_STARTS_WITH = b"\x08"  # the field of its version, which is a protocol buffer's first


class Classifier(Protocol):
    """What gives probabilities of expressions; they are those that ``ferlit test`` writes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The K expressions, in the order of the probabilities."""
        ...

    @property
    def sequence_rule(self) -> SequenceRule:
        """How the images of a sequence vote."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture became an input in training."""
        ...

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, K) probabilities of (B, 1, 48, 48) inputs."""
        ...


def load_classifier(path: Path, device: str = "cpu", *, trust: Sequence[str] = ()) -> Classifier:
    """A classifier out of a file.

    Args:
        path: A checkpoint of a run, what ``ferlit export`` made of one (.safetensors, .onnx,
            .pt2), or the name of a network that comes with ferlit.
        device: "cpu", "cuda", "cuda:1" or another device of PyTorch.
        trust: Modules whose classes a checkpoint may name, see
            `ferlit.inference.classifiers.trust`.

    Raises:
        FerlitError: the file is missing, damaged or none of these, or it names classes of a module
            that is not trusted.
        UsageError: there is no such device here.
    """
    path = place_of(path)
    if path.is_dir():
        raise FerlitError(f"{path}: a folder; the model is a file, as {_newest(path)}")
    if not path.is_file():
        raise FerlitError(
            f"{path}: there is no such model; give a checkpoint, .safetensors, .onnx or .pt2, or a "
            f"name of `ferlit models` ({', '.join(names())})"
        )
    if path.suffix == ENDING:
        return load_checkpoint(path, _find_device(device), trust)
    with path.open("rb") as file:
        head = file.read(1)
    check_archive(path)
    if any(name.endswith("/models/model.json") for name in _members(path)):
        _find_device(device)
        return ExportedClassifier(path, device)
    if head == _ONNX_STARTS_WITH:
        return OnnxClassifier(path, device)
    return load_checkpoint(path, _find_device(device), trust)


def _find_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"the device {name!r} cannot be used ({brief(error)}); cpu always can"
        ) from error
    return device


def _members(path: Path) -> list[str]:
    """The names in a zip archive; none where it is another file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except UNREADABLE:
        return []


def _newest(folder: Path) -> Path:
    """The checkpoint that is probably meant."""
    found = sorted(folder.rglob(BEST), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else RunFolder(folder).best
