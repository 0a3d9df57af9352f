"""The parts of a .pt2 file as data: the text of its graph and the tensors of its weights.

`torch.export.load` unpickles sample inputs and constants, which runs what they hold. Here they are
plain data or refused.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ferlit.archives import UNREADABLE, check_archive
from ferlit.errors import DataError

GRAPH = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
_PARTS = re.compile(
    r"models/model\.json|extra/[^/]+|byteorder|version|archive_format|archive_version|"
    r"data/sample_inputs/model\.pt|data/weights/(weight_\d+|model\.pt|model_weights_config\.json)|"
    r"data/constants/(tensor_\d+|model\.pt|model_constants_config\.json)|"
    r"\.(data/version|data/serialization_id|format_version|storage_alignment)"
)
DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64,
    6: torch.float16, 7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip


def read_members(path: Path) -> dict[str, bytes]:
    """The parts of a .pt2 file by name, all of them known and none able to run anything.

    Raises:
        DataError: it is damaged, or one is something else; the message names it.
    """
    check_archive(path)
    members: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                inner = name.partition("/")[2]
                if _PARTS.fullmatch(inner) is None:
                    raise DataError(
                        f"{path}: its part {name} is neither weights nor graph: loading it could "
                        "run code, so it is refused"
                    )
                if inner in members:
                    raise DataError(f"{path}: damaged, it has two parts of the name {inner}")
                members[inner] = archive.read(name)
    except UNREADABLE as error:
        raise DataError(f"{path}: damaged ({error})") from error
    if GRAPH not in members:
        raise DataError(f"{path}: damaged, or no program of torch.export: it has no {GRAPH}")
    if members.get(_SAMPLES):
        _unpickle(path, _SAMPLES, members[_SAMPLES])
    return members


def _unpickle(path: Path, name: str, content: bytes) -> Any:
    """Tensors and plain data that torch.save wrote.

    Raises:
        DataError: there is anything else in it.
    """
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # it may be anything
        raise DataError(
            f"{path}: its part {name} holds more than tensors: loading it could run code, so it "
            "is refused"
        ) from error


def read_tensors(path: Path, members: Mapping[str, bytes], kind: str) -> dict[str, Tensor]:
    """The tensors of "weights" or "constants" by the names that the program knows them by."""
    folder = f"data/{kind}/"
    if f"{folder}model.pt" in members:  # of PyTorch 2.8 and before
        content = members[f"{folder}model.pt"]
        return dict(_unpickle(path, f"{folder}model.pt", content)) if content else {}
    config = json.loads(members[f"{folder}model_{kind}_config.json"])["config"]
    found = {}
    for name, entry in config.items():
        part = folder + entry["path_name"]
        if entry["use_pickle"]:
            found[name] = _unpickle(path, part, members[part])
        else:
            found[name] = _tensor(members[part], entry["tensor_meta"])
    return found


def _tensor(content: bytes, meta: dict[str, Any]) -> Tensor:
    sizes, strides = ([entry["as_int"] for entry in meta[key]] for key in ("sizes", "strides"))
    dtype = DTYPES[meta["dtype"]]
    if not content:
        return torch.empty(0, dtype=dtype).reshape(sizes)
    flat = torch.frombuffer(bytearray(content), dtype=dtype)
    return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"])
