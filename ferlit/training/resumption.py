"""Where a fit goes on, and whether there is anything left to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferlit.errors import DataError, FerlitError, UsageError
from ferlit.runs.folder import CHECKPOINTS, CONFIG, LAST, SPLIT_TABLE, read_config
from ferlit.runs.record import RUN, is_finished

_ENDS = ("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time")  # of a fit


def check_new_run(folder: Path) -> None:
    """See that a fit that begins anew has a folder of its own.

    Args:
        folder: Of the run.

    Raises:
        FerlitError: a run with a checkpoint is there.
    """
    last = folder / CHECKPOINTS / LAST
    if last.is_file():
        raise FerlitError(
            f"{folder} holds a run that has been trained; go on with it by --ckpt_path {last}, "
            "or give another --trainer.logger.init_args.version"
        )


def check_no_run(folder: Path) -> None:
    """See that a fit without a logger, which has no folder of its own, overwrites nothing.

    Args:
        folder: Gets what it writes.

    Raises:
        FerlitError: a file of a run, or of its name, is there.
    """
    names = (CONFIG, RUN, SPLIT_TABLE, "metrics.json", "predictions.csv", CHECKPOINTS)
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise FerlitError(
            f"{folder} has {', '.join(there)}, which a fit without a logger would overwrite; give "
            "another folder by --trainer.default_root_dir, or leave out --trainer.logger"
        )


def check_epochs(checkpoint: Path, content: Mapping[str, Any], max_epochs: int | None) -> None:
    """See that a fit can go on from a checkpoint, and does not end before it.

    Args:
        checkpoint: The file, for the message.
        content: What is in it.
        max_epochs: Of the fit; None and -1 set no end.

    Raises:
        FerlitError: it holds no fit.
        UsageError: the end is before it.
    """
    try:
        trained = content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        _ = content["optimizer_states"], content["lr_schedulers"]
    except (KeyError, TypeError) as error:
        raise FerlitError(
            f"{checkpoint}: no checkpoint that a fit can go on from (it has no {error}); start a "
            f"new run from its weights: --model.init_from {checkpoint}"
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
        return _end(read_config(folder / CONFIG)["trainer"]) == _end(trainer)
    except (DataError, TypeError, KeyError, AttributeError):
        return False  # so it goes on from its checkpoint, and comes to the same end


def _end(trainer: Mapping[str, Any]) -> list[Any]:
    """What decides when a fit ends."""
    stops = [
        callback.get("init_args")
        for callback in trainer["callbacks"] or []
        if str(callback.get("class_path")).endswith("EarlyStopping")
    ]
    return [*(trainer[name] for name in _ENDS), stops]
