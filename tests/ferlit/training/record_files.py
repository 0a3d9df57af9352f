"""Readers of the files that TensorBoard's and W&B's writers leave, to see what is in them."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event
from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768  # of a log of LevelDB, the form of W&B's files
HEADER = 7


def tensorboard_events(path: Path) -> Iterator[Any]:
    """The events of a file: (length, checksum, event, checksum) one after the other."""
    content = path.read_bytes()
    place = 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        yield Event.FromString(content[place + 12 : place + 12 + length])
        place += length + 16


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a ``.wandb`` file: a header, then pieces of records in blocks."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    place, record = HEADER, b""
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:  # no piece begins in a block's last bytes
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        if place + HEADER + length > len(content):  # still being written
            break
        record += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(record)
            record = b""
