"""A one-layer ONNX file, written byte by byte: no test needs the package onnx or a download."""

import numpy as np
from numpy.typing import NDArray


def linear_onnx(weight: NDArray[np.float32], side: int) -> bytes:
    """The model (1, 3, side, side) -> Flatten -> MatMul with weight (3 side^2, D).

    Numbers of fields and types are those of onnx.proto: 1 is FLOAT in a type, 7 INT64.
    """
    inputs, outputs = weight.shape
    tensor = _field(1, inputs) + _field(1, outputs) + _field(2, 1) + _field(8, "weight")
    tensor += _field(9, weight.astype("<f4").tobytes())
    flatten = _field(1, "image") + _field(2, "flat") + _field(4, "Flatten")
    product = _field(1, "flat") + _field(1, "weight") + _field(2, "embedding")
    product += _field(4, "MatMul")
    graph = _field(1, flatten) + _field(1, product) + _field(2, "linear") + _field(5, tensor)
    graph += _field(11, _value("image", 1, 3, side, side))
    graph += _field(12, _value("embedding", 1, outputs))
    operators = _field(1, "") + _field(2, 13)
    return _field(1, 8) + _field(7, graph) + _field(8, operators)


def _value(name: str, *sizes: int) -> bytes:
    shape = b"".join(_field(1, _field(1, size)) for size in sizes)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    content = b""
    while number > 127:
        content += bytes([number & 127 | 128])
        number >>= 7
    return content + bytes([number])
