"""What a cross-validation shows: how far it is, and in the end its results."""

import time
from collections.abc import Iterable
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ferlit.errors import DataError
from ferlit.evaluation.pooling import PooledResults, SystemResults, pool
from ferlit.training.crossval.grid import CrossvalRun
from ferlit.training.crossval.rounds import Rounds

REFRESH_SECONDS = 1.0


class Display:
    """A live table in a terminal; elsewhere a line for every run that ends.

    Args:
        runs: All that were asked for, done or not.
        console: Where to print.
    """

    def __init__(self, runs: list[CrossvalRun], console: Console) -> None:
        self.runs = runs
        self.console = console
        self.failures: set[CrossvalRun] = set()
        self.done = sum(run.tested is not None for run in runs)
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.refreshed = 0.0

    def __enter__(self) -> "Display":
        if self.done:
            self.console.print(
                f"{self.done} of {len(self.runs)} runs are finished already", highlight=False
            )
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.update(self.table([]), refresh=True)
            self.live.stop()

    def finished(self, run: CrossvalRun) -> None:
        self.done += 1
        if self.live is None and run.tested is not None:
            results = [f"{run.tested.image.accuracy:.1%} of {run.tested.image.total} images"]
            if run.tested.sequence is not None:
                by_sequence = run.tested.sequence
                results.append(f"{by_sequence.accuracy:.1%} of {by_sequence.total} sequences")
            self.console.print(
                f"{run.name}: {', '.join(results)} ({self.done} of {len(self.runs)} runs)",
                highlight=False,
                soft_wrap=True,
            )

    def failed(self, run: CrossvalRun) -> None:
        self.failures.add(run)
        if self.live is None:
            self.console.print(
                f"{run.name}: failed, see {run.fit.run.log}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def update(self, running: list[CrossvalRun]) -> None:
        """Show what is running."""
        if self.live and time.monotonic() - self.refreshed > REFRESH_SECONDS:
            self.live.update(self.table(running), refresh=True)
            self.refreshed = time.monotonic()

    def table(self, running: Iterable[CrossvalRun]) -> Table:
        """Systems in rows, seeds in columns."""
        running = set(running)
        table = Table(title="cross-validation (folds done, accuracy so far)")
        table.add_column("system")
        seeds = list(dict.fromkeys(run.seed for run in self.runs))
        for seed in seeds:
            table.add_column(f"seed {seed}")
        for system in dict.fromkeys(run.system for run in self.runs):
            members = [run for run in self.runs if run.system == system]
            cells = [[run for run in members if run.seed == seed] for seed in seeds]
            table.add_row(system, *(self._cell(cell, running) for cell in cells))
        return table

    def _cell(self, runs: list[CrossvalRun], running: set[CrossvalRun]) -> str:
        done = [run.tested for run in runs if run.tested is not None]
        lines = [f"{len(done)}/{len(runs)}"]
        if done:
            lines[0] += f"  {list(pool(done).values())[-1].accuracy:.1%}"
        failures = sum(run in self.failures for run in runs)
        if failures:
            lines.append(f"[red]{failures} failed[/red]")
        lines += [
            f"{run.round.folder.replace('_', ' ')}: {_progress(run)}"
            for run in runs
            if run in running
        ]
        return "\n".join(lines)


def _progress(run: CrossvalRun) -> str:
    """The last epoch of a running fit and its validation accuracy."""
    try:
        last = run.fit.run.history().dropna(subset="val/accuracy").iloc[-1]
        return f"epoch {int(last['epoch']) + 1}, val {float(last['val/accuracy']):.1%}"
    except (DataError, KeyError, ValueError, IndexError):  # not there yet, or being written
        return "starting"


def print_results(rounds: Rounds, results: PooledResults, console: Console) -> None:
    """The systems' accuracies and their comparisons.

    Args:
        rounds: What they are of.
        results: Of all runs that are done.
        console: Where to print.
    """
    number = len(rounds.rounds)
    by = " by image" if rounds.folds_by == "image" else ""
    folds = f"{number} folds{by}" if number > 1 else f"official split, {rounds.part}"
    table = Table(
        title=f"{rounds.database}, {folds}",
        caption="accuracy in % with its counts; mean ± standard deviation over n seeds",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("system", no_wrap=True)
    for level in ("by image", "by sequence"):
        table.add_column(level, justify="right", no_wrap=True)
        table.add_column("seeds", justify="right", no_wrap=True)
    for name, system in results.systems.items():
        cells = [cell for level in ("image", "sequence") for cell in _cells(system, level)]
        table.add_row(name, *cells)
    console.print(table)
    for system_name, store, level, result in results.of_stores:
        console.print(
            f"{system_name} on {store}, by {level}: {100 * result.accuracy:.1f} "
            f"{result.correct}/{result.total}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    pairs = len(results.comparisons)
    for comparison in results.comparisons:
        first, second = comparison.systems
        found = comparison.over_seeds
        adjusted = f" ({comparison.p_value_holm:.3g} as one of {pairs})" if pairs > 1 else ""
        console.print(
            f"{first} against {second}, by {results.compared_by}: better on {found.b}, worse "
            f"on {found.c} of {found.total}, p = {found.p_value:.3g}{adjusted}",
            highlight=False,
            soft_wrap=True,
        )


def _cells(system: SystemResults, level: str) -> tuple[str, str]:
    if level not in system.levels:
        return "-", "-"
    result, seeds = system.levels[level], system.over_seeds(level)
    mean = "-" if seeds.mean is None else f"{100 * seeds.mean:.1f}"
    sd = "" if seeds.sd is None else f" ± {100 * seeds.sd:.1f}"
    return (
        f"{100 * result.accuracy:.1f} {result.correct}/{result.total}",
        f"{mean}{sd} ({seeds.number})",
    )
