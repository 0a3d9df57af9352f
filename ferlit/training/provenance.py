"""What a run was made with, and whether it came to its end: ``run.json`` in the run's folder."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ferlit.training.callbacks import is_trial, run_folder

RUN = "run.json"


class RecordRun(Callback):
    """Writes ``run.json`` when a fit starts; `mark_finished` completes it."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = run_folder(trainer)
        if trainer.is_global_zero and not is_trial(trainer):
            folder.mkdir(parents=True, exist_ok=True)
            write_run(folder, {"command": sys.argv, "started": _now(), "clock": time.time()})


def write_run(folder: Path, content: dict[str, Any]) -> None:
    """Write ``run.json``."""
    (folder / RUN).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says; nothing where there is none or it is damaged."""
    try:
        content: dict[str, Any] = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def mark_finished(folder: Path) -> None:
    """Note that the fit of a run, and its test where there is one, came to the end."""
    content = read_run(folder)
    seconds = round(time.time() - content.get("clock", time.time()), 1)
    write_run(folder, content | {"finished": _now(), "seconds": seconds})


def is_finished(folder: Path) -> bool:
    """Whether a run came to its end."""
    return "finished" in read_run(folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
