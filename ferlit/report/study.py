"""The runs below a folder: which of them are done, and whether they belong together."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ferlit.errors import DataError
from ferlit.report.runs import Run, read_run, within
from ferlit.runs.folder import (
    CHECKPOINTS,
    CONFIG,
    EVALUATIONS,
    HISTORY,
    LOG,
    PREDICTED,
    RECORD,
    TESTED,
    RunFolder,
)

# A folder with one of them is the folder of a run, whatever became of it.
_MARKS = (CONFIG, RECORD, TESTED, LOG)
_WANDB = "wandb"  # W&B keeps a config.yaml of its own in this folder of a run
# The paper's order; it has no softmax_tuples.
_ORDER = ("softmax", "softmax_tuples", "1b_n1", "2b_n1", "1b_nm", "2b_nm")


class Note(NamedTuple):
    """A folder that is not part of the results, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Study:
    """All runs below a folder.

    Args:
        folder: The folder.
        runs: Those done, of one database and protocol, by system, seed and fold.
        unfinished: Those that did not come to their end, or were not tested.
        unreadable: Those with files that cannot be read.
        replaced: Those of which a newer run of the same system, seed and fold exists.
    """

    folder: Path
    runs: tuple[Run, ...]
    unfinished: tuple[Note, ...] = ()
    unreadable: tuple[Note, ...] = ()
    replaced: tuple[Note, ...] = ()

    @property
    def left_out(self) -> dict[str, tuple[Note, ...]]:
        """What is not part of the results, by its kind."""
        return {
            "unfinished": self.unfinished,
            "unreadable": self.unreadable,
            "replaced": self.replaced,
        }

    @property
    def systems(self) -> dict[str, list[Run]]:
        """The runs of each system."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.system, []).append(run)
        return found


def find_study(folder: Path) -> Study:
    """Read every run in a folder and below it.

    Args:
        folder: What ``ferlit crossval`` wrote, any folder with runs below it, or a run.

    Raises:
        DataError: no such folder, no run that is done, or runs that do not belong together.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; give one that holds runs with --runs")
    marks = [path for mark in _MARKS for path in folder.rglob(mark)]
    folders = {path.parent for path in marks}
    folders |= {
        path for path in folder.rglob("version_*") if path.is_dir() and not any(path.iterdir())
    }
    others = {_WANDB, EVALUATIONS}
    places = sorted(path for path in folders if not others & {*path.relative_to(folder).parts})
    runs: list[Run] = []
    unfinished: list[Note] = []
    unreadable: list[Note] = []
    for place in places:
        run = RunFolder(place)
        try:
            run.check_record()
            reason = _why_unfinished(run)
            if reason:
                unfinished.append(Note(place, reason))
                continue
            runs.append(read_run(run))
        except DataError as error:
            unreadable.append(Note(place, within(place, error)))
    if not runs:
        found = f"{len(unfinished)} unfinished, {len(unreadable)} unreadable"
        reasons = "".join(f"\n  {n.folder}: {n.reason}" for n in [*unfinished, *unreadable][:5])
        raise DataError(f"{folder}: no finished run with a test in it ({found}){reasons}")
    _check_one_protocol(folder, runs)
    kept, replaced = _newest(runs)
    return Study(folder, tuple(kept), tuple(unfinished), tuple(unreadable), tuple(replaced))


def _why_unfinished(run: RunFolder) -> str:
    there = {path.name for path in run.path.iterdir()}
    if CONFIG not in there and TESTED in there:
        if CHECKPOINTS in there:
            return f"it has no {CONFIG}"
        return "an evaluation of a checkpoint that was trained elsewhere"
    is_tested = bool({TESTED, PREDICTED} & there)
    if run.is_finished:
        return "" if is_tested else "not tested: its split has no test data"
    if is_tested and RECORD not in there:
        return ""  # tested apart from its fit
    lines = run.log.read_text("utf-8", errors="replace").split("\n") if LOG in there else []
    said = [line.strip() for line in lines if line.strip() and "━" not in line]  # no progress bars
    last = said[-1] if said else ""
    if not last and HISTORY not in there:
        return "it has not trained an epoch"
    return "did not come to its end" + (f"; the last line of its log: {last}" if last else "")


def _check_one_protocol(folder: Path, runs: list[Run]) -> None:
    kinds = [
        f"{run.database} with {len(run.tested.classes)} classes ({', '.join(run.tested.classes)}), "
        + (f"{run.folds} folds" if run.folds else f"official split, judged by {run.part}")
        + (" by image" if run.folds and run.folds_by == "image" else "")
        for run in runs
    ]
    found = pd.Series(kinds).value_counts()
    if len(found) > 1:
        shown = "; ".join(f"{kind}: {count} runs" for kind, count in found.items())
        raise DataError(
            f"{folder} holds runs that cannot be compared ({shown}); give the folder of one kind, "
            f"for example --runs {_folder_of_a_kind(runs, kinds)}"
        )


def _folder_of_a_kind(runs: list[Run], kinds: list[str]) -> Path:
    """The highest folder that holds the first run and none of another kind."""
    others = [run.folder for run, kind in zip(runs, kinds, strict=True) if kind != kinds[0]]
    folder = runs[0].folder
    while not any(other.is_relative_to(folder.parent) for other in others):
        folder = folder.parent
    return folder


def _newest(runs: list[Run]) -> tuple[list[Run], list[Note]]:
    newest: dict[tuple[str, int, int], Run] = {}
    replaced = []
    for run in sorted(runs, key=lambda run: (str(run.record.get("started", "")), run.folder)):
        fold = -1 if run.tested.fold is None else run.tested.fold
        key = (run.system, run.tested.seed, fold)
        if key in newest:
            reason = f"replaced by {run.folder}, a newer run of the same system, seed and fold"
            replaced.append(Note(newest[key].folder, reason))
        newest[key] = run
    rank = {name: place for place, name in enumerate(_ORDER)}
    keys = sorted(newest, key=lambda key: (rank.get(key[0], len(rank)), *key))
    return [newest[key] for key in keys], replaced
