"""What commands have in common that train many networks into one folder, a process each."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ferlit.errors import FerlitError, UsageError
from ferlit.options import option_values
from ferlit.runs.folder import BEST, CHECKPOINTS, RunFolder
from ferlit.training.subprocesses.fit import Fit
from ferlit.training.subprocesses.pool import visible_gpus

_SHOWN_FAILURES = 5  # more would hide the message at the top
# Options of fit that such a command gives each run, and what to do instead.
_OWN = {
    "data.seed": "give --seeds",
    "seed_everything": "give --seeds",
    "ckpt_path": "what was interrupted goes on by itself",
    "print_config": "give it to ferlit fit",
    "trainer.fast_dev_run": "give it to ferlit fit",
    "trainer.logger.save_dir": "give --output",
    "trainer.logger.name": "give --output",
    "trainer.logger.version": "give --output",
}


class GridRun(Protocol):
    """One of the networks."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def fit(self) -> Fit:
        """The process that trains it."""


S = TypeVar("S")
T = TypeVar("T", bound=GridRun)


def check_handed_on(command: str, options: Sequence[str], own: Mapping[str, str]) -> None:
    """See that no option for the fits is one that the command sets itself.

    Args:
        command: Its name, for the message.
        options: What is handed on to every fit.
        own: Options that only this command sets, as `option_values` names them, and what to do
            instead; those below them count as well.

    Raises:
        UsageError: one is.
    """
    for name in option_values(options):
        for mine, remedy in (_OWN | dict(own)).items():
            if name == mine or name.startswith(f"{mine}."):
                raise UsageError(f"--{name} is not for {command}: {remedy}")


def check_checkpoints(command: str, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """See that no runs share a folder of checkpoints: they would test each other's networks.

    Args:
        command: Its name, for the message.
        configs: The whole configurations, by what a message calls them.

    Raises:
        UsageError: some do.
    """
    for name, config in configs.items():
        checkpoint = config["checkpoint"]
        if checkpoint["dirpath"] is not None or f"{checkpoint['filename']}.ckpt" != BEST:
            raise UsageError(
                f"checkpoint.dirpath and checkpoint.filename are not for {command} ({name}): "
                f"every run keeps {BEST} in a folder of its own"
            )


def gpus_of(trainer: Mapping[str, Any]) -> list[str]:
    """The GPUs that the fits take turns on.

    Args:
        trainer: The configuration of their trainer.

    Raises:
        UsageError: a fit wants several.
    """
    gpus = visible_gpus() if trainer["accelerator"] in ("auto", "gpu", "cuda") else []
    if gpus and trainer["devices"] not in ("auto", 1, "1", -1, "-1"):
        raise UsageError(
            f"--trainer.devices {trainer['devices']}: every fit gets one GPU of its own; "
            "leave the option out, and give --jobs"
        )
    return gpus


def has_begun(folder: Path) -> bool:
    """Whether a run has a checkpoint to go on from, or is finished with or without checkpoints."""
    runs = map(RunFolder, folder.glob("runs/*/*/*"))
    return any(run.is_finished or any(run.path.glob(f"{CHECKPOINTS}/*.ckpt")) for run in runs)


def read_settings(path: Path, understand: Callable[[Any], S]) -> S | None:
    """What all runs of a folder have in common, as the folder remembers it.

    Args:
        path: The JSON file in the folder.
        understand: From its content to the settings.

    Returns:
        The settings, or None where the folder is new.

    Raises:
        FerlitError: the file is damaged, or there are runs without it.
    """
    try:
        return understand(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        if not (path.parent / "runs").exists():
            return None
        reason = "there is no such file"
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise FerlitError(
        f"{path.parent} holds runs, but {path} does not tell what they were made with ({reason}); "
        "give another --output"
    )


def refuse_differences(folder: Path, differences: Sequence[str]) -> None:
    """See that a folder's runs were made with the same options.

    Args:
        folder: The folder.
        differences: What is set otherwise now, a line each.

    Raises:
        UsageError: something is.
    """
    if not differences:
        return
    shown = [*differences[:20]]
    if len(differences) > len(shown):
        shown.append(f"and {len(differences) - len(shown)} more")
    raise UsageError(
        f"{folder} holds runs that were made with other options:\n  "
        + "\n  ".join(shown)
        + "\ngive the same options, or another --output"
    )


def failures(failed: Mapping[T, str], total: int) -> str:
    """What is said of runs that failed.

    Args:
        failed: Each with its reason, such as "exit code 1".
        total: How many were asked for.
    """
    shown = [
        f"{run.name}, {reason}; the end of {run.fit.run.log}:\n{run.fit.log_end(12)}"
        for run, reason in list(failed.items())[:_SHOWN_FAILURES]
    ]
    others = [f"{run.name}: see {run.fit.run.log}" for run in list(failed)[_SHOWN_FAILURES:]]
    return "\n\n".join(
        [
            f"{len(failed)} of {total} runs failed; what is finished is evaluated",
            *shown,
            *(["\n".join(others)] if others else []),
            "The same command tries the failed ones again.",
        ]
    )


def available_cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
