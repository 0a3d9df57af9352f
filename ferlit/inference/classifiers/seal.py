"""The checksum that an exported file holds of itself, and the one in the model card beside it."""

import hashlib
import json
import logging
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from ferlit.archives import check_archive
from ferlit.data.store.manifest import checksum
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.metadata import EXTRA_FILE, read_properties
from ferlit.inference.classifiers.protobuf import (
    METADATA_PROPERTIES,
    onnx_property,
    protobuf_fields,
)

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)
SEAL = "content_sha256"
_REMEDY = "take a whole copy of it, or export the checkpoint again"


def seal_onnx(model: "onnx.ModelProto") -> bytes:
    """The content of an ONNX file that holds the checksum of all else in it."""
    import onnx

    properties = {entry.key: entry.value for entry in model.metadata_props if entry.key != SEAL}
    properties["sealed"] = "true"
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, properties)
    content = model.SerializeToString(deterministic=True)
    onnx.helper.set_model_props(model, {**properties, SEAL: _of_onnx(content)})
    sealed = model.SerializeToString(deterministic=True)
    assert isinstance(sealed, bytes)
    return sealed


def seal_pt2(path: Path, properties: dict[str, str]) -> None:
    """Put the metadata into a .pt2 file, with the checksum of all in it."""
    properties = {**properties, "sealed": "true"}
    properties[SEAL] = _of_pt2(path, properties)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/extra/{EXTRA_FILE}", json.dumps(properties))


def check_seal(path: Path) -> None:
    """Compare an exported file with its own checksum, and with that in the card beside it.

    A file of an older version has none; this is said, but where its parts have checksums of their
    own (.pt2) or a card names it.

    Raises:
        FerlitError: the file is damaged, or is not the one that its card describes.
    """
    check_archive(path)
    is_in_card = _check_card(path)
    try:
        properties = read_properties(path)
    except KeyError:
        return  # which `read_metadata` tells
    is_pt2 = zipfile.is_zipfile(path)
    if SEAL not in properties and "sealed" not in properties:
        if not is_in_card and not is_pt2:
            logger.warning(
                "%s holds no checksum of itself (it is of an older version), so a damage of it "
                "would not be seen; export the checkpoint again",
                path,
            )
        return
    found = _of_pt2(path, properties) if is_pt2 else _of_onnx(path.read_bytes())
    if properties.get(SEAL) != found:
        raise FerlitError(
            f"{path}: damaged: it holds the checksum {properties.get(SEAL, 'none')!r:.20}..., its "
            f"content has {found[:16]}...; {_REMEDY}"
        )


def _of_onnx(content: bytes) -> str:
    digest = hashlib.sha256()
    for part in protobuf_fields(content):
        is_seal = part.number == METADATA_PROPERTIES and onnx_property(part)[0] == SEAL
        if not is_seal:
            digest.update(part.whole)
    return digest.hexdigest()


def _of_pt2(path: Path, properties: dict[str, str]) -> str:
    """Of names and parts; the identity that PyTorch draws for a file is no content."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            inner = name.partition("/")[2]
            if inner not in (f"extra/{EXTRA_FILE}", ".data/serialization_id"):
                digest.update(f"{inner}\n{archive.getinfo(name).file_size}\n".encode())
                digest.update(archive.read(name))
    rest = {name: text for name, text in properties.items() if name != SEAL}
    digest.update(json.dumps(rest, sort_keys=True).encode())
    return digest.hexdigest()


def _check_card(path: Path) -> bool:
    """Whether the card beside a file names its checksum.

    Raises:
        FerlitError: it names another.
    """
    card = path.with_name(f"{path.name}.md")
    if not card.is_file():
        return False
    text = card.read_text(encoding="utf-8", errors="replace")
    row = re.search(rf"^\| {re.escape(path.name)} \| `([0-9a-f]{{64}})` \|$", text, re.MULTILINE)
    if row is None:
        return False
    if row[1] != checksum(path):
        raise FerlitError(
            f"{path}: not the file that its model card describes ({card} has the SHA-256 "
            f"{row[1][:16]}...): damaged, or the card is of another export; {_REMEDY}"
        )
    return True
