"""A network as safetensors and JSON: the same in and out, and no part of it changed or swapped."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ferlit.errors import DataError, FerlitError
from ferlit.packed import description_of, half, read_packed, write_packed

CONTENT: dict[str, Any] = {
    "state_dict": {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.ones(2)},
    "classes": ["anger", "fear"],
    "prior": [0.25, 0.75],
    "people": {"splits": [{"database": "ferplus", "images": {"train": torch.tensor([3, 1])}}]},
    "fold": None,
    "name": "Müller",
}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_packed(path, CONTENT)
    return path


def test_what_is_read_is_what_was_written(packed: Path) -> None:
    found = read_packed(packed)
    assert list(found) == [name for name in CONTENT if name != "state_dict"] + ["state_dict"]
    assert torch.equal(found["state_dict"]["layer.weight"], CONTENT["state_dict"]["layer.weight"])
    assert set(found["state_dict"]) == set(CONTENT["state_dict"])
    assert found["people"]["splits"][0]["images"]["train"].tolist() == [3, 1]
    assert [found[name] for name in ("classes", "prior", "fold", "name")] == [
        CONTENT[name] for name in ("classes", "prior", "fold", "name")
    ]


def test_other_programs_read_the_weights_by_their_names(packed: Path) -> None:
    from safetensors.numpy import load_file

    weights = load_file(packed)
    assert np.array_equal(weights["layer.weight"], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"anger",\n  "fear"', '"fear",\n  "anger"'),  # the order of the labels
        ("0.25", "0.35"),
        ('"Müller"', '"Meier"'),
        ('"classes"', '"Classes"'),
    ],
)
def test_a_changed_description_is_refused(packed: Path, old: str, new: str) -> None:
    beside = description_of(packed)
    text = beside.read_text(encoding="utf-8")
    assert old in text
    beside.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=r"model\.json: not what model\.safetensors was written"):
        read_packed(packed)


def test_the_description_of_another_network_is_refused(packed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    write_packed(other, CONTENT | {"classes": ["fear", "anger"]})
    shutil.copy(description_of(other), description_of(packed))
    with pytest.raises(DataError, match=r"not the weights that .*model\.json describes"):
        read_packed(packed)


@pytest.mark.parametrize("place", [0, 9, 200, -1])
def test_a_flipped_bit_in_the_weights_is_refused(packed: Path, place: int) -> None:
    content = bytearray(packed.read_bytes())
    content[place] ^= 1
    packed.write_bytes(content)
    with pytest.raises(DataError, match=r"model\.safetensors"):
        read_packed(packed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "model.json is not beside it"),
        ("", "model.json: damaged"),
        ("[1, 2", "model.json: damaged"),
        ("[]", "not the description of a model"),
        ('{"format": "one"}', "not the description of a model"),
        ('{"format": 2}', "install a newer one"),
    ],
)
def test_a_description_that_is_none_is_told(packed: Path, text: str | None, message: str) -> None:
    beside = description_of(packed)
    beside.unlink()
    if text is not None:
        beside.write_text(text)
    with pytest.raises(DataError, match=message):
        read_packed(packed)


def test_what_is_no_safetensors_file_is_told(packed: Path) -> None:
    import hashlib

    packed.write_bytes(b"PK not tensors")
    said = json.loads(description_of(packed).read_text(encoding="utf-8"))
    said["sha256"] = hashlib.sha256(packed.read_bytes()).hexdigest()
    description_of(packed).write_text(json.dumps(said))
    with pytest.raises(DataError, match="no safetensors file"):
        read_packed(packed)


def test_a_tensor_that_the_description_has_no_place_for_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_packed(path, CONTENT | {"state_dict": {"people/splits/7/x": torch.ones(1)}})
    with pytest.raises(DataError, match="no place for its tensor people/splits/7/x"):
        read_packed(path)


def test_what_is_no_plain_data_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(FerlitError, match="optimizer/kind: a function"):
        write_packed(path, CONTENT | {"optimizer": {"kind": half}})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_writing_leaves_the_one_before(packed: Path) -> None:
    before = {path: path.read_bytes() for path in packed.parent.iterdir()}
    with pytest.raises(FerlitError):
        write_packed(packed, CONTENT | {"x": object()})
    assert {path: path.read_bytes() for path in packed.parent.iterdir()} == before
