"""Small fits by the command line."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ferlit.data.store import Store
from tests.ferlit.tiny import TINY

ROOT = Path(__file__).parents[3]


def small_fit(config: str, runs: Path, *more: str) -> list[str]:
    """By a configuration, of a tiny network."""
    return [
        "fit",
        f"--config={config}",
        "--data.num_workers=0",
        *TINY,
        f"--trainer.logger.save_dir={runs}",
        "--trainer.accelerator=cpu",
        *more,
    ]


def union_of(stores: Sequence[Store]) -> tuple[str, str]:
    """The options that take several stores as one."""
    folders = ", ".join(str(store.folder) for store in stores)
    return "--data.database=null", f"--data.store=[{folders}]"


def fit_options(store: Path, runs: Path, *more: str) -> list[str]:
    options = (
        f"--data.store={store}",
        "--data.folds=4",
        "--data.tuples_per_batch=6",
        "--model.lr_scheduler.T_max=60",  # so that a fit may stop early and go on
        "--model.optimizer.lr=0.03",  # so that the first epoch is better than the last
    )
    return small_fit("ckplus.yaml", runs, *options, *more)


def command(store: Store, runs: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "ferlit", *fit_options(store.folder, runs, *more)]


def run_command(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run to the end, from the checkout, what `command` gives."""
    return subprocess.run(
        arguments,
        cwd=ROOT,
        env=environment(),
        check=False,
        timeout=180,
        capture_output=True,
        text=True,
    )


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(["nmloss/src", "."])}
