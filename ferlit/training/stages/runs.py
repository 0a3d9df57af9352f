"""One stage as a process: what a person sees while it runs, when it fails, and at the end."""

import json
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from ferlit.errors import FerlitError
from ferlit.runs.record import read_run
from ferlit.training.processes.fit import Fit
from ferlit.training.processes.pool import run_pool

# Of what a fit prints: its data, the weights that it took and left, its epochs, and its test.
_TOLD = re.compile(
    r"epoch \d|back-off: |weights from |(taken|new|left): |  [\w.]+: |(image|sequence) accuracy |"
    r".*: \d+ images.*: train \d"
)
_LEVELS = ("image", "sequence")


class Tail:
    """Shows the telling lines of a fit's log as they come.

    Args:
        path: The log; what is in it already is passed over.
        console: Where they are shown.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self.path = path
        self.console = console
        self.seen = path.stat().st_size if path.is_file() else 0

    def show(self) -> None:
        """Show the whole lines that came since the last time."""
        with self.path.open("rb") as file:
            file.seek(self.seen)
            lines = file.read().rpartition(b"\n")[0]
        self.seen += len(lines) + 1 if lines else 0
        for line in lines.decode("utf-8", errors="replace").splitlines():
            if _TOLD.match(line):
                self.console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def run_fit(fit: Fit, title: str, console: Console) -> None:
    """Run a fit to its end and show its epochs as they come; a log in its folder has the rest.

    Raises:
        FerlitError: it failed; the message has the end of its log.
        KeyboardInterrupt: it was interrupted, and so is the chain.
    """
    console.print(f"{title}: {fit.log}", highlight=False, markup=False, soft_wrap=True)
    tail, codes = Tail(fit.log, console), []
    with console.status(f"{title} runs"):
        run_pool([fit], [{}], lambda _, code: codes.append(code), lambda _: tail.show())
    if codes[0] in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if codes[0] != 0 or not fit.is_finished:
        raise FerlitError(
            f"{title} failed (exit code {codes[0]}); {fit.log} ends with:\n"
            f"{fit.log_end()}\nonce that is put right, the same command goes on from here"
        )


def print_results(fits: Sequence[tuple[str, Fit]], console: Console) -> None:
    """A table of the stages: validation, test and time."""
    table = Table("stage", title="stages")
    for name in ("validation, best epoch", "test by image", "by sequence", "seconds"):
        table.add_column(name, justify="right")
    for title, fit in fits:
        metrics = fit.folder / "metrics.json"
        tested = json.loads(metrics.read_text("utf-8")) if metrics.is_file() else {}
        shares: list[float | None] = [_best_validation(fit.folder)]
        shares += [tested[level]["accuracy"] if level in tested else None for level in _LEVELS]
        texts = ["-" if share is None else f"{share:.1%}" for share in shares]
        table.add_row(title, *texts, str(read_run(fit.folder).get("seconds", "-")))
    console.print(table)
    console.print(
        f"network of the last stage: {fits[-1][1].checkpoint}", markup=False, soft_wrap=True
    )


def _best_validation(folder: Path) -> float:
    return float(pd.read_csv(folder / "metrics.csv")["val/accuracy"].max())
