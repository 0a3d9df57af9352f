"""``ferlit fit``, ``validate``, ``test`` and ``predict``."""

import os
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ferlit.options import without_option
from ferlit.training.distributed import leave_together, quiet_other_processes
from ferlit.training.fit.evaluation_cli import EvaluationCLI
from ferlit.training.fit.fit_cli import FitCLI
from ferlit.training.fit.places import run_options
from ferlit.training.record.wandb_logger import finish_tracking


def main(command: str, options: list[str]) -> None:
    """Run one of the commands."""
    quiet_other_processes()
    # Large tensors in huge pages, before the first of them; an epoch takes a sixth less on Linux.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    torch.set_float32_matmul_precision("high")
    exit_code = 1
    is_of_run = bool(options) and not options[0].startswith("-")
    kept = TemporaryDirectory()  # of the configuration that a run gives
    try:
        if command == "fit":
            FitCLI.run([command, *options])
        elif is_of_run:
            arguments = run_options(command, Path(options[0]), options[1:], Path(kept.name))
            EvaluationCLI.run([command, *arguments], is_of_run=True)
        else:
            EvaluationCLI.run([command, *options])
        leave_together()
        exit_code = 0
    except KeyboardInterrupt as interrupt:
        exit_code = 130
        if not interrupt.args:
            raise
        resume = ["ferlit", command, *without_option(options, "--ckpt_path"), *interrupt.args]
        raise KeyboardInterrupt(shlex.join(resume)) from None
    finally:
        finish_tracking(exit_code)
        kept.cleanup()
