"""A program of ``torch.export`` read and run without `torch.export.load`, which runs what it reads.

That unpickles sample inputs and constants, evaluates the texts of symbolic sizes as Python, and
calls whatever below ``torch`` a node names. Here the file is data: a list of ATen operators
that compute tensors from tensors, and the bytes of the weights. Nothing else is accepted.
"""

import io
import json
import operator
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ferlit.archives import UNREADABLE, check_archive
from ferlit.errors import DataError

_GRAPH = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
_PARTS = re.compile(
    r"models/model\.json|extra/[^/]+|byteorder|version|archive_format|archive_version|"
    r"data/sample_inputs/model\.pt|data/weights/(weight_\d+|model\.pt|model_weights_config\.json)|"
    r"data/constants/(tensor_\d+|model\.pt|model_constants_config\.json)|"
    r"\.(data/version|data/serialization_id|format_version|storage_alignment)"
)
_DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64,
    6: torch.float16, 7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
_MEMORY_FORMATS = {
    1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d,
    4: torch.preserve_format,
}  # fmt: skip
_PLAIN = re.compile("int|ints|float|floats|bool|bools|string|strings|int_lists|float_lists")
# Arithmetic on sizes, such as that of the batch.
_ON_SIZES = re.compile("add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_|not_")
_NO_GRADIENT = "torch.ops.higher_order.wrap_with_set_grad_enabled"
Values = dict[str, Any]


class Program:
    """The network in a .pt2 file.

    Args:
        path: What `ferlit.inference.export.graphs.write_pt2` or ``torch.export.save`` wrote.
        device: Where it runs.

    Raises:
        DataError: the file is damaged, or has a part or an operator that is not accepted.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.path = path
        self.device = torch.empty(0, device=device).device  # "cuda" has a number
        members = read_members(path)
        try:
            module = json.loads(members[_GRAPH])["graph_module"]
            self.graph = module["graph"]
            self.weights = self._weights(members, module["signature"])
            (self.input,) = (
                spec["user_input"]["arg"]["as_tensor"]["name"]
                for spec in module["signature"]["input_specs"]
                if "user_input" in spec
            )
            if any("user_output" not in spec for spec in module["signature"]["output_specs"]):
                raise DataError(f"{path}: it changes its own weights")
            _check_operators(path, self.graph)
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            kind = type(error).__name__
            raise DataError(f"{path}: damaged, or no program of torch.export ({kind})") from error

    def __call__(self, faces: Tensor) -> Tensor:
        """The output for an input."""
        values = {**self.weights, self.input: faces.to(self.device)}
        (output,) = _run(self.graph, values, self.device)
        assert isinstance(output, Tensor)
        return output

    def _weights(self, members: Mapping[str, bytes], signature: dict[str, Any]) -> Values:
        """Parameters, buffers and constants by their names in the graph."""
        stored = {
            **_read_tensors(self.path, members, "weights"),
            **_read_tensors(self.path, members, "constants"),
        }
        found: Values = {}
        for spec in signature["input_specs"]:
            ((kind, content),) = spec.items()
            if kind in ("parameter", "buffer", "tensor_constant"):
                found[content["arg"]["name"]] = stored[content[f"{kind}_name"]].to(self.device)
            elif kind != "user_input":
                raise DataError(f"{self.path}: its graph takes a {kind}, which is no tensor")
        return found


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
    if _GRAPH not in members:
        raise DataError(f"{path}: damaged, or no program of torch.export: it has no {_GRAPH}")
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


def _read_tensors(path: Path, members: Mapping[str, bytes], kind: str) -> dict[str, Tensor]:
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
    dtype = _DTYPES[meta["dtype"]]
    if not content:
        return torch.empty(0, dtype=dtype).reshape(sizes)
    flat = torch.frombuffer(bytearray(content), dtype=dtype)
    return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"])


def _check_operators(path: Path, graph: dict[str, Any]) -> None:
    for node in graph["nodes"]:
        if node["target"] == _NO_GRADIENT:
            _check_operators(path, node["inputs"][1]["arg"]["as_graph"]["graph"])
        elif _operator(node["target"]) is None:
            raise DataError(
                f"{path}: its graph calls {node['target']:.80}, which is no operator that only "
                "computes tensors; it is refused"
            )


def _operator(name: str) -> Callable[..., Any] | None:
    """An ATen operator that touches no file and no memory by its address, or one on sizes."""
    if name.startswith("_operator."):
        name = name.removeprefix("_operator.")
        return getattr(operator, name) if _ON_SIZES.fullmatch(name) else None
    match = re.fullmatch(r"torch\.ops\.aten\.(_?[a-z]\w*)\.(\w+)", name)
    try:
        found = match and getattr(getattr(torch.ops.aten, match[1]), match[2])
    except AttributeError:
        return None
    if not isinstance(found, torch._ops.OpOverload):
        return None
    arguments = found._schema.arguments
    reads_files = any(argument.name == "filename" for argument in arguments)
    has_storage = re.search("set|resize|storage|stream|nested", found._schema.name)
    return None if reads_files or has_storage else found


def _run(graph: dict[str, Any], values: Values, device: torch.device) -> list[Any]:
    for node in graph["nodes"]:
        if node["target"] == _NO_GRADIENT:  # nothing here has one
            _, inner, *rest = (entry["arg"] for entry in node["inputs"])
            given = [_value(entry, values, device) for entry in rest]
            names = [entry["as_tensor"]["name"] for entry in inner["as_graph"]["graph"]["inputs"]]
            inner_values = dict(zip(names, given, strict=True))
            _name(node["outputs"], _run(inner["as_graph"]["graph"], inner_values, device), values)
            continue
        function = _operator(node["target"])
        assert function is not None
        arguments = [(entry["name"], _value(entry["arg"], values, device))
                     for entry in node["inputs"]]  # fmt: skip
        if isinstance(function, torch._ops.OpOverload):
            result = function(**dict(arguments))
        else:
            result = function(*(value for _, value in arguments))
        is_many = isinstance(result, tuple) or (
            isinstance(result, list) and "as_tensors" not in node["outputs"][0]
        )
        _name(node["outputs"], list(result) if is_many else [result], values)
    return [_value(output, values, device) for output in graph["outputs"]]


def _name(outputs: list[dict[str, Any]], results: list[Any], values: Values) -> None:
    """Give the results of a node their names."""
    for output, result in zip(outputs, results, strict=bool(outputs)):
        ((kind, content),) = output.items()
        if kind == "as_tensors":
            values.update(
                (entry["name"], part) for entry, part in zip(content, result, strict=True)
            )
        elif kind != "as_none":
            values[content.get("name", content.get("as_name"))] = result


def _value(argument: dict[str, Any], values: Values, device: torch.device) -> Any:
    """An argument as Python has it."""
    ((kind, content),) = argument.items()
    kind = kind.removeprefix("as_")
    if kind == "none":
        return None
    if _PLAIN.fullmatch(kind):
        return content
    if kind in ("tensor", "name"):
        return values[content["name"] if kind == "tensor" else content]
    if kind == "tensors":
        return [values[entry["name"]] for entry in content]
    if kind.startswith(("sym_", "optional_tensor")):
        entries = content if isinstance(content, list) else [content]
        found = [_value(entry, values, device) for entry in entries]
        return found if isinstance(content, list) else found[0]
    if kind == "scalar_type":
        return _DTYPES[content]
    if kind == "memory_format":
        return _MEMORY_FORMATS[content]
    if kind == "layout":
        return torch.strided
    if kind == "device":
        return device
    raise KeyError(kind)
