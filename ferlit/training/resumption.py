"""Where a fit goes on, and whether there is anything left to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from ferlit.errors import FerlitError, UsageError
from ferlit.training.record.provenance import is_finished
from ferlit.training.record.saved_config import CONFIG

LAST = ("checkpoints", "last.ckpt")  # in a run's folder
_ENDS = ("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time")  # of a fit


def check_start(folder: Path) -> None:
    """See that a fit that begins anew has a folder of its own.

    Args:
        folder: Of the run.

    Raises:
        FerlitError: a run with a checkpoint is there.
    """
    last = folder.joinpath(*LAST)
    if last.is_file():
        raise FerlitError(
            f"{folder} holds a run that has been trained; go on with it by --ckpt_path {last}, "
            "or give another --trainer.logger.init_args.version"
        )


def check_epochs(checkpoint: Path, max_epochs: int | None) -> None:
    """See that a fit can go on from a checkpoint, and does not end before it.

    Args:
        checkpoint: The file.
        max_epochs: Of the fit; None and -1 set no end.

    Raises:
        FerlitError: the file is damaged or holds no fit, or the end is before it.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        trained = content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        _ = content["optimizer_states"], content["lr_schedulers"]
    except Exception as error:  # torch, pickle and zip have many
        raise FerlitError(
            f"{checkpoint}: damaged, or no checkpoint that a fit can go on from "
            f"({type(error).__name__}: {error})"
        ) from error
    if max_epochs not in (None, -1) and trained > max_epochs:
        raise UsageError(
            f"{checkpoint} has {trained} epochs of training behind it, and --trainer.max_epochs "
            f"{max_epochs} ends before; give at least {trained}"
        )


def is_over(folder: Path, trainer: Mapping[str, Any]) -> bool:
    """Whether the run of a folder is finished, and nothing asks it to train longer than it did.

    Args:
        folder: Of the run.
        trainer: The section of that name in the configuration of the fit.
    """
    if not is_finished(folder):
        return False
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        return _end(config["trainer"]) == _end(trainer)
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError, AttributeError):
        return False  # so it goes on from its checkpoint, and comes to the same end


def _end(trainer: Mapping[str, Any]) -> list[Any]:
    """What decides when a fit ends."""
    stops = [
        callback.get("init_args")
        for callback in trainer["callbacks"] or []
        if str(callback.get("class_path")).endswith("EarlyStopping")
    ]
    return [*(trainer[name] for name in _ENDS), stops]
