"""A trained network to be passed on: safetensors for its weights, a JSON beside it for the rest.

``model.safetensors`` holds tensors alone, which no program can hide in; ``model.json`` says what
they are: classes in order, preprocessing, architecture, provenance and figures. Each holds a
checksum of the other, so that neither is used with a part that was changed or swapped. Read back,
both are what a checkpoint of a run is, without the state of its training.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlit.errors import DataError, FerlitError
from ferlit.files import whole_file

if TYPE_CHECKING:
    from torch import Tensor

ENDING = ".safetensors"
FORMAT = 1
STATE = "state_dict"  # its tensors keep their names; others are named for their place
_PLACE = "/"
_FORMAT, _SUM, _SEAL = "format", "sha256", "description_sha256"
_REMEDY = "take whole copies of both files of the model, or export the checkpoint again"


def description_of(path: Path) -> Path:
    """The JSON beside the weights.

    >>> description_of(Path("a/ferplus.safetensors")).name
    'ferplus.json'
    """
    return path.with_suffix(".json")


def write_packed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a network.

    Args:
        path: The weights, ``NAME.safetensors``; ``NAME.json`` is written beside them. What is there
            is replaced.
        content: Plain data by name, with tensors anywhere in it; ``state_dict`` holds the weights.

    Raises:
        FerlitError: something in it is neither plain data nor a tensor, or a disk is full.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    rest = {name: value for name, value in content.items() if name != STATE}
    description = {_FORMAT: FORMAT, **_without_tensors(rest, (), tensors)}
    tensors |= content[STATE]
    header = {"format": "pt", _SEAL: _seal(description)}
    packed = save({name: each.contiguous() for name, each in tensors.items()}, header)
    description[_SUM] = hashlib.sha256(packed).hexdigest()
    text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    with whole_file(path) as weights, whole_file(description_of(path)) as beside:
        weights.write_bytes(packed)
        beside.write_text(text, encoding="utf-8")


def read_packed(path: Path) -> dict[str, Any]:
    """What `write_packed` wrote.

    Raises:
        DataError: a file is missing or damaged, the two do not belong together, or they are of a
            later version of ferlit.

    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.safetensors")
    ...     write_packed(path, {"state_dict": {"weight": torch.ones(2)}, "classes": ["anger"]})
    ...     read_packed(path)["classes"]
    ['anger']
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    description = read_description(path)
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror or error})") from error
    found = hashlib.sha256(packed).hexdigest()
    if found != description.get(_SUM):
        raise DataError(
            f"{path}: not the weights that {description_of(path)} describes: it has the SHA-256 "
            f"{found[:16]}..., there {description.get(_SUM, 'none')!r:.20}...; {_REMEDY}"
        )
    try:
        tensors = load(packed)
        with safe_open(path, "pt") as file:  # the header alone
            seal = (file.metadata() or {}).get(_SEAL)
    except SafetensorError as error:
        raise DataError(f"{path}: no safetensors file ({error})") from error
    if seal != _seal(description):
        raise DataError(
            f"{description_of(path)}: not what {path.name} was written with: it was changed since; "
            f"{_REMEDY}"
        )
    del description[_FORMAT], description[_SUM]
    held = {name: tensors.pop(name) for name in list(tensors) if _PLACE in name}
    content = {**description, STATE: tensors}
    for name, tensor in held.items():
        _put(path, content, name.split(_PLACE), tensor)
    return content


def read_description(path: Path) -> dict[str, Any]:
    """What the JSON says of a network, without its tensors; nothing is compared.

    Args:
        path: The weights.

    Raises:
        DataError: it is missing, damaged, or of a later version of ferlit.
    """
    beside = description_of(path)
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: {beside.name} is not beside it, which says what its weights are; {_REMEDY}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{beside}: damaged ({error}); {_REMEDY}") from error
    if not isinstance(description, dict) or not isinstance(description.get(_FORMAT), int):
        raise DataError(f"{beside}: not the description of a model of ferlit; {_REMEDY}")
    if description[_FORMAT] > FORMAT:
        raise DataError(
            f"{beside}: of format {description[_FORMAT]}, and this ferlit reads {FORMAT}; install "
            "a newer one"
        )
    return description


def _without_tensors(value: Any, place: tuple[str, ...], tensors: dict[str, "Tensor"]) -> Any:
    """Plain data without the tensors in it, which get the names of their places."""
    from torch import Tensor

    if isinstance(value, Mapping):
        kept = {}
        for name, inner in value.items():
            if isinstance(inner, Tensor):
                tensors[_PLACE.join((*place, str(name)))] = inner
            else:
                kept[str(name)] = _without_tensors(inner, (*place, str(name)), tensors)
        return kept
    if isinstance(value, (list, tuple)):
        return [
            _without_tensors(inner, (*place, str(number)), tensors)
            for number, inner in enumerate(value)
        ]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise FerlitError(f"{_PLACE.join(place)}: a {type(value).__name__}, which is no plain data")


def _put(path: Path, content: Any, place: list[str], tensor: "Tensor") -> None:
    *way, last = place
    try:
        for step in way:
            content = content[int(step)] if isinstance(content, list) else content[step]
        content[last] = tensor
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: {description_of(path).name} has no place for its tensor {_PLACE.join(place)}"
        ) from error


def _seal(description: Mapping[str, Any]) -> str:
    """A checksum of all that the JSON says beside the checksum of the weights."""
    told = {name: value for name, value in description.items() if name != _SUM}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def half(state: Mapping[str, "Tensor"]) -> Iterator[tuple[str, "Tensor"]]:
    """Weights with the matrices and kernels in 16 bits, at half the size.

    >>> import torch
    >>> [str(each.dtype) for _, each in half({"kernel": torch.ones(2, 2), "bias": torch.ones(2)})]
    ['torch.float16', 'torch.float32']
    """
    import torch

    for name, each in state.items():
        yield (
            name,
            each.to(torch.float16) if each.dtype == torch.float32 and each.ndim > 1 else each,
        )
