"""Classifiers that run exported files: ONNX by onnxruntime or OpenCV, pt2 by PyTorch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import FerlitError, UsageError
from ferlit.extras import has
from ferlit.inference.classifiers.metadata import Metadata, read_metadata
from ferlit.inference.classifiers.seal import check_seal

INPUT, OUTPUT = "faces", "probabilities"


class _DescribedClassifier:
    """What a file's metadata say, as a `Classifier` says it.

    Args:
        metadata: Of the file.
    """

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self.classes = metadata.classes
        self.sequence_rule = metadata.sequence_rule
        self.preprocessing = metadata.preprocessing
        self.prior = metadata.prior
        self.expected = metadata.expected

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, K) probabilities of (B, 1, 48, 48) inputs."""
        raise NotImplementedError

    def _check_outputs(self, path: Path) -> None:
        """See that there is a probability for each class."""
        shape = self(np.zeros((1, 1, 48, 48), np.float32)).shape
        if shape != (1, len(self.classes)):
            raise FerlitError(
                f"{path}: damaged: for a face it gives numbers of shape {shape}, and it says that "
                f"it has {len(self.classes)} classes"
            )


class OnnxClassifier(_DescribedClassifier):
    """A model in ONNX, run by onnxruntime, or by OpenCV 5 where that is not installed.

    OpenCV runs float32 alone; OpenCV 4 gets the sizes of the network's poolings wrong and refuses.

    Args:
        path: What ``ferlit export`` wrote.
        device: "cpu", or with the package onnxruntime-gpu "cuda".
        threads: Of a call; None leaves it to the runtime.
        runtime: "onnxruntime" or "opencv"; None takes the first that is installed.

    Raises:
        FerlitError: the file is damaged, or the runtime cannot run it.
        UsageError: the runtime does not have this device.
    """

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        *,
        threads: int | None = None,
        runtime: str | None = None,
    ) -> None:
        check_seal(path)
        super().__init__(read_metadata(path))
        self.runtime = runtime or ("onnxruntime" if has("onnxruntime") else "opencv")
        self._run: Callable[[NDArray[np.float32]], NDArray[np.float32]] = (
            _OnnxRuntimeSession(path, device, threads)
            if self.runtime == "onnxruntime"
            else _OpenCVNet(path, device, threads)
        )
        self._check_outputs(path)

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, K) probabilities of (B, 1, 48, 48) inputs."""
        return self._run(np.ascontiguousarray(faces, np.float32))


class ExportedClassifier(_DescribedClassifier):
    """A program of ``torch.export``, run by PyTorch alone: no class of ours is needed.

    Nothing in such a file is run but operators on tensors, see
    `ferlit.inference.classifiers.pt2_program`.

    Args:
        path: What ``ferlit export`` wrote.
        device: Of PyTorch.

    Raises:
        FerlitError: the file is damaged, or has a part that could run code.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        from ferlit.inference.classifiers.pt2_program import Program

        check_seal(path)
        self.path = path
        self._program = Program(path, device)
        super().__init__(read_metadata(path))
        self._check_outputs(path)

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, K) probabilities of (B, 1, 48, 48) inputs."""
        import torch

        inputs = torch.from_numpy(np.ascontiguousarray(faces))
        try:
            with torch.inference_mode():
                return np.asarray(self._program(inputs).cpu().numpy(), np.float32)
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise FerlitError(
                f"{self.path}: its graph does not run ({first_line(error)})"
            ) from error


class _OnnxRuntimeSession:
    def __init__(self, path: Path, device: str, threads: int | None) -> None:
        import onnxruntime

        self.path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        providers = _onnxruntime_providers(device)
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers)
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise FerlitError(
                f"{path}: onnxruntime cannot load it ({first_line(error)})"
            ) from error

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(self.session.run([OUTPUT], {INPUT: faces})[0], np.float32)
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise FerlitError(
                f"{self.path}: onnxruntime cannot run it ({first_line(error)})"
            ) from error


def _onnxruntime_providers(device: str) -> list[Any]:
    import onnxruntime

    kind, _, number = device.partition(":")
    providers: list[Any] = ["CPUExecutionProvider"]
    if kind == "cuda":
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": number or "0"}))
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise UsageError(
                f"device {device}: this onnxruntime has no CUDA; install onnxruntime-gpu instead, "
                "or give the checkpoint or a .pt2 file, which PyTorch runs"
            )
    elif kind != "cpu":
        raise UsageError(f"device {device}: a model in ONNX runs on cpu or cuda")
    return providers


class _OpenCVNet:
    def __init__(self, path: Path, device: str, threads: int | None) -> None:
        import cv2

        if device != "cpu":
            raise UsageError(
                f"device {device}: OpenCV runs the model on the cpu; "
                "pip install onnxruntime-gpu for another"
            )
        if threads is not None:
            cv2.setNumThreads(threads)
        self.path = path
        try:
            self.net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise self._cannot(error) from error

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        import cv2

        try:
            self.net.setInput(faces)
            return np.array(self.net.forward(), np.float32)
        except cv2.error as error:
            raise self._cannot(error) from error

    def _cannot(self, error: BaseException) -> FerlitError:
        return FerlitError(
            f"{self.path}: OpenCV cannot run it ({first_line(error)}); pip install onnxruntime"
        )


def first_line(error: BaseException) -> str:
    """What an error of others says first."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
