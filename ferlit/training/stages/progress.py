"""One stage as a process: what a person sees while it runs, when it fails, and at the end."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ferlit.errors import FerlitError
from ferlit.training.subprocesses.fit import Fit
from ferlit.training.subprocesses.pool import run_pool

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
        if not self.path.is_file():
            return
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
    console.print(f"{title}: {fit.run.log}", highlight=False, markup=False, soft_wrap=True)
    tail, codes = Tail(fit.run.log, console), []
    with console.status(f"{title} runs"):
        try:
            run_pool([fit], [{}], lambda _, code: codes.append(code), lambda _: tail.show())
        except KeyboardInterrupt:
            tail.show()  # what came since the last look
            raise
    if codes[0] in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if codes[0] != 0 or not fit.run.is_finished:
        raise FerlitError(
            f"{title} failed (exit code {codes[0]}); {fit.run.log} ends with:\n"
            f"{fit.log_end()}\nonce that is put right, the same command goes on from here"
        )


def print_results(fits: Sequence[tuple[str, Fit]], console: Console) -> None:
    """A table of the stages: validation, test and time."""
    table = Table("stage", title="stages")
    for name in ("validation, best epoch", "test by image", "by sequence", "seconds"):
        table.add_column(name, justify="right")
    for title, fit in fits:
        tested = fit.run.results()
        shares: list[float | None] = [float(fit.run.history()["val/accuracy"].max())]
        shares += [tested[level]["accuracy"] if level in tested else None for level in _LEVELS]
        texts = ["-" if share is None else f"{share:.1%}" for share in shares]
        table.add_row(title, *texts, str(fit.run.record().get("seconds", "-")))
    console.print(table)
    console.print(
        f"network of the last stage: {fits[-1][1].run.best}", markup=False, soft_wrap=True
    )
