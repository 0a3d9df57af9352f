"""A trained network as a graph in a file, ONNX or pt2, that runs without our code.

Backbone, expression classification branch and softmax (Liu et al. 2017, Sec. 4): the metric branch
is for training alone. Input ``faces``, (B, 1, 48, 48) float32; output ``probabilities``, (B, K).
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from ferlit.data.loading.preprocessing import flip_averaged
from ferlit.data.loading.transforms import INPUT_SIZE
from ferlit.errors import FerlitError
from ferlit.extras import require
from ferlit.inference.classifiers.exported import INPUT, OUTPUT, first_line
from ferlit.inference.classifiers.metadata import Metadata
from ferlit.inference.classifiers.seal import seal_onnx, seal_pt2
from ferlit.inference.temperature import tempered

if TYPE_CHECKING:
    import onnx

    from ferlit.models import Branches
    from ferlit.training.modules import ExpressionModule

_OPSET = 18  # the lowest that the exporter writes by itself, so that older runtimes read it too


class ProbabilityNetwork(nn.Module):
    """What of a module runs at test time.

    Args:
        module: Its backbone and branches are shared, not copied, and set to evaluation.
        temperature: Of its probabilities, see `ferlit.inference.temperature`.
    """

    def __init__(self, module: "ExpressionModule", temperature: float = 1.0) -> None:
        super().__init__()
        self.backbone = module.backbone
        self.branches = module.branches
        self.flip_average = module.flip_average
        self.temperature = temperature
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(B, K) probabilities of (B, 1, 48, 48) inputs."""
        classify = partial(flip_averaged, self._softmax) if self.flip_average else self._softmax
        return tempered(classify(faces), self.temperature)

    def _softmax(self, faces: Tensor) -> Tensor:
        branches = cast("Branches", self.branches)
        return branches.classify(self.backbone(faces)).float().softmax(1)


def write_onnx(network: nn.Module, path: Path, metadata: Metadata) -> None:
    """Write a network in ONNX, with a batch of any size.

    Args:
        network: From (B, 1, 48, 48) to (B, K).
        path: The file.
        metadata: Go into the file.

    Raises:
        FerlitError: a package is missing, or the network cannot be exported.
    """
    require("onnx", "onnxscript")
    with _quietly(), _as_error("ONNX"):
        exported = torch.onnx.export(
            _program(network),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=_OPSET,
            external_data=False,
            verbose=False,
        )
        program = cast("torch.onnx.ONNXProgram", exported)  # only the old exporter gives None
        save_onnx(program.model_proto, path, metadata)


def save_onnx(model: "onnx.ModelProto", path: Path, metadata: Metadata) -> None:
    """Write an ONNX model with our metadata, and without notes on the machine that made it."""
    import onnx

    model.graph.ClearField("metadata_props")
    model.graph.name = "ferlit"
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.value_info):
        part.ClearField("metadata_props")  # the exporter puts its traceback, with paths, here
        part.ClearField("doc_string")
    for part in (*model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata.properties())
    onnx.checker.check_model(model)
    path.write_bytes(seal_onnx(model))


def write_pt2(network: nn.Module, path: Path, metadata: Metadata) -> None:
    """Write a network as a program of ``torch.export``, with a batch of any size.

    Args:
        network: From (B, 1, 48, 48) to (B, K).
        path: The file.
        metadata: Go into the file.

    Raises:
        FerlitError: the network cannot be exported.
    """
    with _quietly(), _as_error("torch.export"):
        program = _program(network)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine
        program._example_inputs = None  # type: ignore[assignment, unused-ignore]  # a pickle
        # In memory: on a full disk PyTorch's own writer aborts the process.
        content = io.BytesIO()
        torch.export.save(program, content)
    path.write_bytes(content.getvalue())
    seal_pt2(path, metadata.properties())


def _program(network: nn.Module) -> torch.export.ExportedProgram:
    # With one row the exporter would take the size of the batch for a constant.
    sample = torch.zeros(2, 1, INPUT_SIZE, INPUT_SIZE)
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    with torch.no_grad():
        return torch.export.export(network, (sample,), dynamic_shapes=shapes)


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporters warn of their own inner affairs, such as packages that they do not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _as_error(kind: str) -> Iterator[None]:
    try:
        yield
    except (FerlitError, OSError):
        raise
    except Exception as error:  # the exporters raise whatever a network's own code meets
        raise FerlitError(
            f"the network cannot be exported to {kind}: {first_line(error)}. A backbone of your "
            "own must be one that torch.export can trace"
        ) from error
