"""Runs that a command line names: by their folder, as the newest, and those that failed at once."""

import glob
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ferlit.errors import FerlitError, UsageError
from ferlit.options import option_values
from ferlit.runs.checkpoints import config_of, find_checkpoint, read_checkpoint
from ferlit.runs.folder import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    EVALUATIONS,
    HYPER_PARAMETERS,
    LAST,
    RECORD,
    SPLIT,
    WANDB,
    RunFolder,
    store_folders,
)
from ferlit.training.fit.evaluating import is_of_system

logger = logging.getLogger(__name__)
KEYWORDS = {"last": LAST, "best": BEST}  # the checkpoints of the newest run, by name


def run_options(command: str, place: Path, options: Sequence[str], folder: Path) -> list[str]:
    """The options of an evaluation of a run: its configuration, and those given over it.

    Args:
        command: "test", "validate" or "predict".
        place: The run's folder or a checkpoint.
        options: What follows it.
        folder: Gets the configuration as a file.

    Raises:
        FerlitError: there is no checkpoint, or no configuration of it.
    """
    given = option_values(options)
    name = KEYWORDS.get(given.get("ckpt_path", "best"))
    if name is None:
        raise UsageError(
            f"{command} {place}: --ckpt_path {given['ckpt_path']} names another checkpoint; give "
            "best or last, or leave it out"
        )
    checkpoint = find_checkpoint(place, name)
    run = RunFolder.around(checkpoint)
    config = run.config() if run is not None else {}
    config = config or config_of(checkpoint, read_checkpoint(checkpoint))
    if "trainer" not in config or "data" not in config:
        raise FerlitError(
            f"{checkpoint} does not say its configuration, and lies in no folder of a run; give "
            f"one: ferlit {command} --config FILE --ckpt_path {checkpoint}"
        )
    for key in ("ckpt_path", "return_predictions", "weights_only", "verbose"):
        config.pop(key, None)
    config["trainer"]["callbacks"] = None  # those of a training have nothing to do here
    _find_data(config, run.record() if run is not None else {}, given)
    path = folder / CONFIG
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return [f"--config={path}", *options, f"--ckpt_path={checkpoint}"]


def newest_checkpoint(
    runs: Path, name: str, config: Mapping[str, Any], version: int | str | None = None
) -> Path:
    """The checkpoint ``name`` ("last" or "best") of the newest run that has one.

    Args:
        runs: Where the runs of that name are.
        name: "last" or "best".
        config: The whole configuration of the command.
        version: The run's number or name, where it is not the newest one that is meant.

    Raises:
        UsageError: the run that is meant has none.
        FerlitError: no run below ``runs`` has one, or the newest is of another network.
    """
    run = version if isinstance(version, str) else f"version_{version}"
    found = sorted(
        runs.glob(f"{'*' if version is None else glob.escape(run)}/{CHECKPOINTS}/{KEYWORDS[name]}"),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    if not found:
        if version is not None:
            raise UsageError(f"--ckpt_path {name}: {runs / run} has no checkpoint {name}.ckpt")
        raise FerlitError(f"--ckpt_path {name}: no run in {runs} has a checkpoint {name}.ckpt")
    differences = {
        path: is_of_system(config_of(path, read_checkpoint(path)), config) for path in found
    }
    if differences[found[0]]:
        own = next((path for path, others in differences.items() if not others), None)
        hint = "" if own is None else f" (the newest of this one: --ckpt_path {own})"
        raise FerlitError(
            f"--ckpt_path {name}: the newest run, {found[0].parent.parent}, is of another network "
            "than the configuration:\n  "
            + "\n  ".join(map(str, differences[found[0]]))
            + f"\ngive its configuration, or the file of another run{hint}"
        )
    return found[0]


def remove_failed_start(folder: Path) -> None:
    """Remove the folder of a run or an evaluation that failed before it left anything of use.

    Args:
        folder: It stays where it holds an epoch, a checkpoint, a table, or what others wrote.
    """
    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events")}
    if names <= {CONFIG, RECORD, SPLIT, HYPER_PARAMETERS, WANDB}:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.parent.name == EVALUATIONS and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _find_data(config: dict[str, Any], record: Mapping[str, Any], given: Mapping[str, str]) -> None:
    """Let other data take the place of the run's, and find its store from any folder."""
    options = config["data"].get("init_args") or {}
    names_data = {"data.root", "data.store"} & given.keys()
    if names_data:
        if "data.root" not in given:
            options.update(database=None, reader=None, landmarks="auto")
        options.update({name: None for name in ("root", "store") if f"data.{name}" not in given})
        return
    named = options.get("store") or []
    stores = named if isinstance(named, list) else [named]
    places = [str(place) for place in (options.get("root"), *stores) if place]
    folders = store_folders(record)
    if not folders or all(Path(place).exists() for place in places):
        return
    if all(Path(folder).is_dir() for folder in folders):
        logger.info("the data of the run: %s", ", ".join(folders))
        if len(folders) == 1:
            options.update(root=None, store=folders[0], reader=None, landmarks="auto")
        else:
            options.update(store=folders)
