"""A fit that goes on: whether there is anything left to do, and with which settings."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.loading.preprocessing import PREPROCESSING
from ferlit.errors import DataError, FerlitError, UsageError
from ferlit.runs.folder import CHECKPOINTS, CONFIG, RECORD, RESULTS, SPLIT, TESTED, RunFolder
from ferlit.runs.settings import Change, changes, named, with_own_cosine
from ferlit.training.free_settings import FREE_IN_RESUMING

logger = logging.getLogger(__name__)
# These may change, and change the numbers: they are told.
_TOLD = (
    "trainer.accelerator",
    "trainer.callbacks",
    "trainer.devices",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.min_epochs",
    "trainer.min_steps",
    "trainer.num_nodes",
    "trainer.strategy",
)
_PATIENCE = "EarlyStopping.patience"  # of a callback: what is given is in force
_FOLDS = ("data.fold", "data.folds", "data.folds_by")
_ENDS = ("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time")  # of a fit
_CHOICE = ("checkpoint.monitor", "checkpoint.mode")  # all else of a checkpoint is where and when


def check_new_run(run: RunFolder) -> None:
    """See that a fit that begins anew has a folder of its own.

    Raises:
        FerlitError: a run with a checkpoint is there.
    """
    if run.last.is_file():
        raise FerlitError(
            f"{run.path} holds a run that has been trained; go on with it by --ckpt_path "
            f"{run.last}, or give another --trainer.logger.init_args.version"
        )


def check_no_run(folder: Path) -> None:
    """See that a fit without a logger, which has no folder of its own, overwrites nothing.

    Args:
        folder: Gets what it writes.

    Raises:
        FerlitError: a file of a run, or of its name, is there.
    """
    names = (CONFIG, RECORD, SPLIT, RESULTS, TESTED, CHECKPOINTS)
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


def is_over(run: RunFolder, trainer: Mapping[str, Any]) -> bool:
    """Whether a run is finished, and nothing asks it to train longer than it did.

    Args:
        run: Its folder.
        trainer: The section of that name in the configuration of the fit.
    """
    if not run.is_finished:
        return False
    try:
        return _end(run.config()["trainer"]) == _end(trainer)
    except (DataError, TypeError, KeyError, AttributeError):
        return False  # so it goes on from its checkpoint, and comes to the same end


def check_settings(
    checkpoint: Path, old: Mapping[str, Any], new: Mapping[str, Any], *, is_split_known: bool
) -> list[str]:
    """See that a fit goes on with the settings of its checkpoint, which would win in silence.

    Args:
        checkpoint: What it goes on from.
        old: Its configuration, see `ferlit.runs.checkpoints.config_of`.
        new: That of the command.
        is_split_known: Whether the people of the split are compared, so that the folds need not be.

    Returns:
        What has changed and may, a line each.

    Raises:
        FerlitError: a setting has changed that may not; the message names each.
    """
    if _schedule(old).get("class_path") != _schedule(new).get("class_path"):
        old, new = with_own_cosine(old), with_own_cosine(new)
    found = changes(old, new)
    free = named(found, [*FREE_IN_RESUMING, *(_FOLDS if is_split_known else ())])
    free += [change for change in named(found, ["checkpoint"]) if change.name not in _CHOICE]
    told = named(found, _TOLD)
    refused = [change for change in found if change not in [*free, *told]]
    of_callbacks = _changed_callbacks(old, new)
    told += [change for change in of_callbacks if change.name.endswith(_PATIENCE)]
    refused += [change for change in of_callbacks if change not in told]
    if refused:
        raise FerlitError(
            f"{checkpoint} was trained with other settings, which a fit that goes on cannot "
            "change:\n  "
            + "\n  ".join(map(str, refused))
            + "\ngive the former ones to go on, or start a new run from its weights: "
            f"--model.init_from {checkpoint}"
        )
    for change in told:
        if change.name == "trainer.max_epochs" and _is_open(new):
            logger.warning(
                "the learning rate falls over all epochs, now %s rather than %s: those so far had "
                "other rates than in a run of %s from the start",
                *(change.new, change.old, change.new),
            )
    lines = [str(change) for change in told]
    if lines:
        logger.info("going on with other settings:\n  %s", "\n  ".join(lines))
    return lines


def check_preprocessing(
    checkpoint: Path, content: Mapping[str, Any], data: ExpressionDataModule
) -> None:
    """See that a fit goes on with faces that are registered as those before.

    Raises:
        FerlitError: their landmarks are of another source.
    """
    old = (content.get(PREPROCESSING) or {}).get("landmarks")
    new = data.preprocessing.landmarks
    if old not in (None, new):
        raise FerlitError(
            f"{checkpoint} was trained on faces with landmarks of {old}, and those of "
            f"{data.source_name} are of {new}; give the store of its training"
        )


def _changed_callbacks(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Callbacks with other arguments: some take those of the checkpoint again."""
    before, now = (_callbacks(config) for config in (old, new))
    return [
        change
        for name in before.keys() & now.keys()
        for change in changes(before[name], now[name], f"trainer.callbacks.{name}")
    ]


def _callbacks(config: Mapping[str, Any]) -> dict[str, Any]:
    given = (config.get("trainer") or {}).get("callbacks") or []
    entries = given if isinstance(given, list) else [given]
    return {
        str(entry["class_path"]): entry.get("init_args") or {}
        for entry in entries
        if isinstance(entry, Mapping)
    }


def _schedule(config: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = (config.get("model") or {}).get("init_args") or {}
    schedule = arguments.get("lr_scheduler")
    return schedule if isinstance(schedule, Mapping) else {}


def _is_open(config: Mapping[str, Any]) -> bool:
    given = _schedule(config).get("init_args") or {}
    return any(name in given and given[name] is None for name in ("T_max", "epochs"))


def _end(trainer: Mapping[str, Any]) -> list[Any]:
    """What decides when a fit ends."""
    stops = [
        callback.get("init_args")
        for callback in trainer["callbacks"] or []
        if str(callback.get("class_path")).endswith("EarlyStopping")
    ]
    return [*(trainer[name] for name in _ENDS), stops]
