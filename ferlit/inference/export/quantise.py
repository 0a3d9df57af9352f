"""An ONNX model in 8-bit integers, calibrated on training faces."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferlit.extras import require
from ferlit.inference.classifiers.exported import INPUT
from ferlit.inference.classifiers.metadata import read_metadata
from ferlit.inference.export.graphs import save_onnx

_BATCH = 10


def quantise(source: Path, target: Path, faces: NDArray[np.float32]) -> None:
    """Quantise an exported model: weights by channel, activations by the range that faces show.

    Static quantisation in the QDQ form of onnxruntime; PReLU and softmax stay in float32.

    Args:
        source: What `write_onnx` wrote.
        target: The new file.
        faces: (n, 1, 48, 48) inputs to calibrate on.

    Raises:
        FerlitError: a package is missing.
    """
    require("onnx", "onnxruntime")
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Faces(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.starts = iter(range(0, len(faces), _BATCH))

        def get_next(self) -> dict[str, Any] | None:
            start = next(self.starts, None)
            return None if start is None else {INPUT: faces[start : start + _BATCH]}

    with _without_advice():
        quantize_static(
            source,
            target,
            Faces(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        )
    metadata = replace(read_metadata(source), precision="int8")
    save_onnx(onnx.load(target), target, metadata)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without the advice that onnxruntime gives on the root logger, and the handler it adds."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
