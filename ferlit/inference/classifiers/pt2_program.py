"""A program of ``torch.export`` run without `torch.export.load`, which runs what it reads.

That evaluates the texts of symbolic sizes as Python, and calls whatever below ``torch`` a node
names. Here the graph is data: a list of ATen operators that compute tensors from tensors. Nothing
else is accepted.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ferlit.errors import DataError
from ferlit.inference.classifiers.pt2_archive import DTYPES, GRAPH, read_members, read_tensors

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
            module = json.loads(members[GRAPH])["graph_module"]
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
            **read_tensors(self.path, members, "weights"),
            **read_tensors(self.path, members, "constants"),
        }
        found: Values = {}
        for spec in signature["input_specs"]:
            ((kind, content),) = spec.items()
            if kind in ("parameter", "buffer", "tensor_constant"):
                found[content["arg"]["name"]] = stored[content[f"{kind}_name"]].to(self.device)
            elif kind != "user_input":
                raise DataError(f"{self.path}: its graph takes a {kind}, which is no tensor")
        return found


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
        return DTYPES[content]
    if kind == "memory_format":
        return _MEMORY_FORMATS[content]
    if kind == "layout":
        return torch.strided
    if kind == "device":
        return device
    raise KeyError(kind)
