"""Fits as processes of their own: one folder and one log each, resumed where they stopped.

In-process fits clash with the launcher of several GPUs, which runs the command line again.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ferlit.errors import FerlitError
from ferlit.locks import is_taken
from ferlit.runs.folder import RunFolder


@dataclass(frozen=True)
class Fit:
    """One ``ferlit fit`` that writes into a folder of its own.

    Args:
        run: The folder; ``fit.log`` in it gets what the process prints.
        options: Of ``ferlit fit``, without those that name the folder.
    """

    run: RunFolder
    options: tuple[str, ...]

    def command(self, name: Literal["fit", "predict"] = "fit") -> list[str]:
        """The command line; a fit goes on from the last checkpoint where there is one.

        Args:
            name: "fit", or "predict" for the predictions of the chosen checkpoint.
        """
        logger = "--trainer.logger.init_args."
        folder = self.run.path
        place = {
            "save_dir": folder.parent.parent,
            "name": folder.parent.name,
            "version": folder.name,
        }
        places = [f"{logger}{key}={value}" for key, value in place.items()]
        checkpoint = self.run.best if name == "predict" else self.run.last
        given = [f"--ckpt_path={checkpoint}"] if checkpoint.is_file() else []
        return [sys.executable, "-m", "ferlit", name, *self.options, *places, *given]

    def start(
        self,
        environment: Mapping[str, str] | None = None,
        name: Literal["fit", "predict"] = "fit",
    ) -> "subprocess.Popen[bytes]":
        """Start the process; variables of ``environment`` are added to ours.

        Raises:
            FerlitError: another process still writes into the folder.
        """
        self.run.path.mkdir(parents=True, exist_ok=True)
        with self.run.log.open("ab") as log:
            if is_taken(log.fileno()):
                raise FerlitError(
                    f"{self.run.path}: a fit is still running there, perhaps one whose parent was "
                    "killed; wait for its end, or end it, then try again"
                )
            return subprocess.Popen(
                self.command(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )

    def log_end(self, lines: int = 20) -> str:
        """The last lines of what the process printed."""
        try:
            text = self.run.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
