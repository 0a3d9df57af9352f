"""Fits as processes of their own: one folder and one log each, resumed where they stopped.

In-process fits clash with the launcher of several GPUs, which runs the command line again.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ferlit.training.provenance import is_finished

LOG = "fit.log"


@dataclass(frozen=True)
class Fit:
    """One ``ferlit fit`` that writes into a folder of its own.

    Args:
        folder: The run's folder; ``fit.log`` in it gets what the process prints.
        options: Of ``ferlit fit``, without those that name the folder.
    """

    folder: Path
    options: tuple[str, ...]

    @property
    def is_finished(self) -> bool:
        return is_finished(self.folder)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that validation chose."""
        return self.folder / "checkpoints" / "best.ckpt"

    def command(self) -> list[str]:
        """The command line; it goes on from the last checkpoint where there is one."""
        name = "--trainer.logger.init_args."
        run = self.folder
        place = {"save_dir": run.parent.parent, "name": run.parent.name, "version": run.name}
        places = [f"{name}{key}={value}" for key, value in place.items()]
        last = run / "checkpoints" / "last.ckpt"
        resume = [f"--ckpt_path={last}"] if last.is_file() else []
        return [sys.executable, "-m", "ferlit", "fit", *self.options, *places, *resume]

    def start(self, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start the process; variables of ``environment`` are added to ours."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG).open("ab") as log:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )

    def log_end(self, lines: int = 20) -> str:
        """The last lines of what the process printed."""
        try:
            text = (self.folder / LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
