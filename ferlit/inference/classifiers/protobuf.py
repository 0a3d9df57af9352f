"""The wire format of protocol buffers, as far as an ONNX file's metadata and checksum need it."""

from collections.abc import Iterator
from typing import NamedTuple

METADATA_PROPERTIES = 14  # the field of ONNX's ModelProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class Field(NamedTuple):
    """A field of a message of protocol buffers.

    Args:
        number: Which one.
        content: Of a field that has a length; empty for another.
        whole: With the tag before it.
    """

    number: int
    content: bytes
    whole: bytes


def protobuf_fields(message: bytes) -> Iterator[Field]:
    """The fields of a message, one after the other.

    Raises:
        ValueError: it is none, or is cut short.
        IndexError: it ends in a number.
    """
    place = 0
    while place < len(message):
        start = place
        tag, place = _varint(message, place)
        kind, length = tag & 7, 0
        if kind == _VARINT:
            _, place = _varint(message, place)
        elif kind == _BYTES:
            length, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"byte {place} is not of a protobuf message")
        begin, place = place, place + length
        content = message[begin:place] if kind == _BYTES else b""
        yield Field(tag >> 3, content, message[start:place])
    if place > len(message):
        raise ValueError("the file is cut short")


def onnx_property(part: Field) -> tuple[str, str]:
    """Name and text of a metadata property.

    Raises:
        KeyError: it has no name or no text.
    """
    entry = {inner.number: inner.content for inner in protobuf_fields(part.content)}
    return entry[1].decode(), entry[2].decode()


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
