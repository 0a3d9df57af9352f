"""Embedders: networks that were trained to tell persons apart.

dlib's network (King, High quality face recognition with deep metric learning, 2017; it comes with
the ``dlib`` extra), or any ONNX model, such as one that was trained with ArcFace, run by OpenCV.
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError, UsageError

ONNX_SIZE = 112
_DLIB_SIZE = 150
# dlib aligns to the same mean shape; with its margin of a quarter its picture is this much smaller
# than a registered face (eye centres 53 of 150 pixels apart, here 19.6 of 56).
_DLIB_BORDER = 2
_DLIB_MODEL = "dlib_face_recognition_resnet_model_v1.dat"


class Embedder(NamedTuple):
    """A network and the distance at which its embeddings usually show two persons."""

    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # (60, 60) grey to (D,)
    threshold: float


def make_embedder(name: str, size: int = ONNX_SIZE) -> Embedder:
    """An embedder by name.

    Args:
        name: "dlib", or the path of an ONNX model.
        size: Height and width of the ONNX model's input.

    Raises:
        UsageError: there is no such model.
        DataError: dlib is not installed, or the model cannot be read.

    >>> make_embedder("arcface.onnx")
    Traceback (most recent call last):
        ...
    ferlit.errors.UsageError: arcface.onnx: there is no such model; --embedder is dlib or the...
    """
    return Embedder(_dlib(), 0.45) if name == "dlib" else Embedder(_onnx(Path(name), size), 1.0)


def _dlib() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    model = _dlib_model()

    def embed(face: NDArray[np.uint8]) -> NDArray[np.float32]:
        inner = face[_DLIB_BORDER:-_DLIB_BORDER, _DLIB_BORDER:-_DLIB_BORDER]
        picture = np.repeat(_resized(inner, _DLIB_SIZE)[..., None], 3, axis=2)
        return np.array(model.compute_face_descriptor(picture), dtype=np.float32)

    return embed


def _dlib_model() -> Any:
    """The network of dlib, from the files of face_recognition_models."""
    from ferlit.data.faces.detection.dlib import INSTALL

    hint = f"{INSTALL}, or give --embedder MODEL.onnx; for SFEW also --method clips"
    try:
        dlib = importlib.import_module("dlib")
    except ImportError as error:
        raise DataError(f"dlib is not installed ({error}); {hint}") from error
    # The package itself is not imported: it would need setuptools to find its own files.
    package = importlib.util.find_spec("face_recognition_models")
    for folder in (package.submodule_search_locations if package else None) or []:
        path = Path(folder, "models", _DLIB_MODEL)
        if path.is_file():
            return dlib.face_recognition_model_v1(str(path))
    raise DataError(f"face_recognition_models, which holds dlib's network, is missing; {hint}")


def _onnx(path: Path, size: int) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    if not path.is_file():
        raise UsageError(
            f"{path}: there is no such model; --embedder is dlib or the path of an ONNX file"
        )
    if size < 1:
        raise UsageError(f"--embedder-size {size}: at least 1")
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise DataError(
            f"{path}: not an ONNX model that OpenCV can read ({_reason(error)})"
        ) from error

    def embed(face: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = (_resized(face, size).astype(np.float32) - 127.5) / 128
        try:
            # One at a time, as many models have the batch size 1 built in.
            network.setInput(np.repeat(values[None, None], 3, axis=1))
            output = np.asarray(network.forward(), dtype=np.float32).ravel()
        except cv2.error as error:
            raise DataError(
                f"{path}: fails on a picture of {size} x {size} pixels in three channels "
                f"({_reason(error)}); give the size of its input with --embedder-size"
            ) from error
        length = np.linalg.norm(output)
        if not 0 < length < np.inf:
            raise DataError(f"{path}: the embedding of a face has the length {length}")
        return np.asarray(output / length, dtype=np.float32)

    return embed


def _reason(error: cv2.error) -> str:
    """OpenCV's message in one line."""
    return " ".join(error.err.replace("\n>", " ").lstrip("> ").split())


def _resized(face: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    is_shrunk = size < len(face)
    return np.asarray(
        cv2.resize(
            face, (size, size), interpolation=cv2.INTER_AREA if is_shrunk else cv2.INTER_CUBIC
        ),
        dtype=np.uint8,
    )
