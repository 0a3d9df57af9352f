"""Checkpoints of runs: where they are, and what is in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferlit import archives
from ferlit.errors import DataError, FerlitError
from ferlit.runs.folder import BEST, CHECKPOINTS, RunFolder

CONFIGURATION = "configuration"  # in a checkpoint: the whole configuration of its fit


def find_checkpoint(place: Path, name: str = BEST) -> Path:
    """The checkpoint that a run's folder, or a checkpoint's own path, means.

    Args:
        place: The folder of a run, or a checkpoint.
        name: Which one of a run.

    Raises:
        FerlitError: there is none; the message says what is there.
    """
    if place.is_file():
        return place
    checkpoint = place / CHECKPOINTS / name
    if checkpoint.is_file():
        return checkpoint
    if not place.is_dir():
        raise FerlitError(f"{place}: there is no such run or checkpoint")
    found = sorted((place / CHECKPOINTS).glob("*.ckpt")) or sorted(
        place.rglob(f"{CHECKPOINTS}/{name}"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    if not found:
        raise FerlitError(f"{place}: not the folder of a run, it has no {CHECKPOINTS}/{name}")
    hint = found[0] if found[0].parent.parent == place else found[0].parent.parent
    raise FerlitError(f"{place}: it has no {CHECKPOINTS}/{name}; do you mean {hint}?")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; its weights stay on the disk until they are used.

    Raises:
        DataError: it is missing, damaged, or none.
    """
    content = archives.read_checkpoint(path, mmap=True)
    if not isinstance(content, dict):
        raise DataError(f"{path}: a {type(content).__name__}, not a checkpoint")
    return content


def config_of(checkpoint: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the configuration that a checkpoint was made with.

    It says so itself; one of an earlier version is told by ``config.yaml`` of its run, or else
    knows the part of its network alone.

    Args:
        checkpoint: The file.
        content: See `read_checkpoint`.
    """
    if isinstance(content.get(CONFIGURATION), dict):
        return dict(content[CONFIGURATION])
    run = RunFolder.around(checkpoint)
    config = run.config() if run is not None else {}
    if config:
        return config
    known = content.get("hyper_parameters") or {}
    if "_class_path" not in known:
        return {}
    arguments = {name: value for name, value in known.items() if not name.startswith("_")}
    return {"model": {"class_path": known["_class_path"], "init_args": arguments}}
