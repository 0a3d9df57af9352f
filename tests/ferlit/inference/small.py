"""Small model files of every kind, without a fit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.inference.classifiers.metadata import Metadata
from ferlit.inference.export.graphs import ProbabilityNetwork, write_onnx, write_pt2
from ferlit.training import ExpressionModule
from tests.ferlit.tiny import TinyBackbone

CLASSES = ["anger", "fear"]
METADATA = Metadata("0.1.0", ("anger", "fear"), "max", Preprocessing("none"))
_NARROW = {"class_path": "ferlit.models.OneBranch", "init_args": {"hidden": [8]}}


def small_module(classes: Sequence[str] = CLASSES) -> ExpressionModule:
    from functools import partial

    from ferlit.models import OneBranch

    torch.manual_seed(0)
    return ExpressionModule(
        list(classes), backbone=TinyBackbone(), branches=partial(OneBranch, hidden=[8])
    )


def write_checkpoint(path: Path, **settings: Any) -> Path:
    """What Lightning's command line would write, with other hyper-parameters."""
    hyper_parameters = {
        "_class_path": "ferlit.training.ExpressionModule",
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
        "classes": CLASSES,
        "sequence_rule": "max",
        "backbone": {"class_path": "tests.ferlit.tiny.TinyBackbone"},
        "branches": _NARROW,
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
        **settings,
    }
    content = {
        "state_dict": small_module(settings.get("classes", CLASSES)).state_dict(),
        "hyper_parameters": hyper_parameters,
        "hparams_name": "kwargs",
        "pytorch-lightning_version": "2.6.6",
        "epoch": 1,
        "global_step": 2,
        "preprocessing": {"landmarks": "none", "equalize": True, "fit_plane": True},
    }
    torch.save(content, path)
    return path


def write_exported(path: Path, classes: Sequence[str] = CLASSES, **said: Any) -> Path:
    """By its ending .onnx or .pt2; what else it says of itself."""
    write: Callable[..., None] = write_onnx if path.suffix == ".onnx" else write_pt2
    metadata = replace(METADATA, classes=tuple(classes), **said)
    write(ProbabilityNetwork(small_module(classes)), path, metadata)
    return path
