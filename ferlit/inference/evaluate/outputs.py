"""What an evaluation prints, and the folder that it writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ferlit.errors import DataError, FerlitError, UsageError
from ferlit.evaluation.bootstrap import LEVEL, Interval
from ferlit.evaluation.tables import print_evaluation, write_evaluation
from ferlit.files import whole_file, write_json
from ferlit.inference.evaluate.results import StoreResult
from ferlit.locks import owned
from ferlit.runs.settings import changes

EVALUATION, TABLE, STORES = "evaluation.json", "table.csv", "stores"
RELIABILITY = "reliability.png"
_WIDTH = 120  # of what no terminal limits
_FIGURES = ("accuracy", "class_mean", "macro_f1")
_ECE = "expected_calibration_error"


def print_results(results: Sequence[StoreResult]) -> None:
    """Each store with its confusion matrix and notes, then one table of all."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    for result in results:
        console.print(Text(f"{result.judged.name}: {result.judged.store.folder}", "bold"))
        print_evaluation(result.results, console)
        for note in result.notes():
            console.print(f"- {note}", highlight=False, markup=False, soft_wrap=True)
        console.print()
    console.print(_rich_table(results))
    for line in _footnotes(results):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def table_of(results: Sequence[StoreResult]) -> pd.DataFrame:
    """What ``table.csv`` holds: a row a store; an interval that is not defined is empty."""
    rows = []
    for result in results:
        judged, image = result.judged, result.results["image"]
        row: dict[str, Any] = {
            "store": judged.name,
            "database": judged.store.description.database,
            "part": judged.part.name,
            "faces": image.total,
            "persons": result.persons,
            "left_out": judged.part.unlabelled + sum(judged.left_out.values()),
            "seen": judged.seen.images,
            "is_seen_known": not judged.seen.unknown,
            "correct": image.correct,
        }
        values = {**image.to_dict(), _ECE: result.calibration.error}
        for name in (*_FIGURES, _ECE):
            row |= _columns(name, values[name], result.intervals["image"].get(name))
        sequence = result.results.get("sequence")
        row |= {
            "sequences": sequence.total if sequence else 0,
            "sequences_correct": sequence.correct if sequence else None,
        }
        found = result.intervals.get("sequence", {}).get("accuracy")
        row |= _columns("sequence_accuracy", sequence.accuracy if sequence else None, found)
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.astype({"sequences_correct": "Int64"})


def check_output(folder: Path, asked: Mapping[str, Any]) -> None:
    """See that a folder may get an evaluation: it is new, empty, or holds the same one.

    Args:
        folder: The folder.
        asked: What is evaluated, and how; see `write_results`.

    Raises:
        UsageError: something else is there.
        DataError: what is there cannot be read.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"--output {folder}: a file of that name is in the way")
    try:
        text = (folder / EVALUATION).read_text(encoding="utf-8")
        before = json.loads(text)["asked"]
        before["settings"].setdefault("prior", "training")  # all that earlier versions had
    except FileNotFoundError:
        if any(folder.iterdir()):
            raise UsageError(
                f"--output {folder}: it is not empty, and holds no evaluation; choose another"
            ) from None
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder / EVALUATION}: cannot be read ({error}); remove it, or give another --output"
        ) from error
    found = changes(before, json.loads(json.dumps(asked)))
    if before != json.loads(json.dumps(asked)):
        lines = "\n  ".join(map(str, found)) or "of another version"
        raise UsageError(
            f"--output {folder}: it holds another evaluation; give another folder:\n  {lines}"
        )


def write_results(
    results: Sequence[StoreResult],
    folder: Path,
    *,
    asked: Mapping[str, Any],
    says: Mapping[str, Any],
) -> None:
    """Write an evaluation.

    Args:
        results: One a store.
        folder: Gets ``evaluation.json``, ``table.csv`` and, in a folder below ``stores`` for each,
            what `ferlit.evaluation.tables.write_evaluation` writes and ``reliability.png``.
        asked: What tells this evaluation from others.
        says: What ``evaluation.json`` says beside the results.

    Raises:
        UsageError: the folder holds something else.
        FerlitError: it cannot be written.
    """
    from ferlit.evaluation.plots import plot_reliability

    try:
        with owned(folder.resolve(), "writing an evaluation"):
            check_output(folder, asked)  # another process may have written it by now
            folder.mkdir(exist_ok=True)
            stores = [result.to_dict() for result in results]
            write_json(folder / EVALUATION, {"asked": asked, **says, "stores": stores})
            with whole_file(folder / TABLE) as draft:
                table_of(results).to_csv(draft, index=False)
            for result, told in zip(results, stores, strict=True):
                place = folder / STORES / result.judged.name
                write_evaluation(result.results, result.predictions, place, {"evaluation": told})
                plot_reliability(result.calibration, place / RELIABILITY)
    except OSError as error:
        raise FerlitError(
            f"--output {folder}: it cannot be written ({error.strerror or error})"
        ) from error


def is_written(folder: Path, asked: Mapping[str, Any]) -> bool:
    """Whether a folder holds an evaluation, whole; see `write_results`."""
    try:
        before = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))["asked"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    # The pictures are written last.
    whole = all((folder / STORES / name / RELIABILITY).is_file() for name in asked["stores"])
    return whole and bool(before == json.loads(json.dumps(asked)))


def short_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart.

    >>> short_names([Path("/a/ckplus"), Path("/a/fer")]), short_names([Path("/a/s"), Path("/b/s")])
    (['ckplus', 'fer'], ['a/s', 'b/s'])
    """
    parts = [folder.resolve().parts[1:] or ("store",) for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names


def _rich_table(results: Sequence[StoreResult]) -> Table:
    table = Table(title=f"all stores (in brackets, {LEVEL}% intervals)")
    has_sequences = any("sequence" in result.results for result in results)
    names = ["store", "faces", "accuracy", "class mean", "macro F1", "ECE (15 bins)"]
    for number, name in enumerate([*names, *(["by sequence"] if has_sequences else [])]):
        table.add_column(name, justify="right" if number else "left")
    for result in results:
        judged, image, found = result.judged, result.results["image"], result.intervals["image"]
        mark = "*" * bool(judged.seen.images) + "?" * bool(judged.seen.unknown)
        classes = int((image.confusion.sum(axis=1) > 0).sum())
        counted = f"({image.correct} of {image.total})"
        persons = f"{result.persons} persons" if result.persons else "no names"
        cells = [
            f"{judged.name}\n{judged.part.name}",
            f"{image.total}{mark}\n{persons}",
            f"{image.accuracy:.1%}\n{counted}{_percent(found.get('accuracy'))}",
            f"{image.class_mean:.1%}\n{classes} classes{_percent(found.get('class_mean'))}",
            f"{image.macro_f1:.3f}{_decimal(found.get('macro_f1'))}",
            f"{result.calibration.error:.3f}{_decimal(found.get(_ECE))}",
        ]
        sequence = result.results.get("sequence")
        if sequence is not None:
            interval = _percent(result.intervals["sequence"].get("accuracy"))
            counted = f"({sequence.correct} of {sequence.total})"
            cells.append(f"{sequence.accuracy:.1%}\n{counted}{interval}")
        table.add_row(*map(Text, cells), end_section=True)
    return table


def _footnotes(results: Sequence[StoreResult]) -> list[str]:
    judged = [result.judged for result in results]
    lines = [f"* {each.name}: {each.seen}" for each in judged if each.seen.images]
    unknown = ", ".join(each.name for each in judged if each.seen.unknown)
    if unknown:
        lines.append(f"? {unknown}: whom the model was trained on is not known")
    return lines


def _percent(interval: Interval | None) -> str:
    return "" if interval is None else f"\n[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _decimal(interval: Interval | None) -> str:
    return "" if interval is None else f"\n[{interval.low:.3f}, {interval.high:.3f}]"


def _columns(name: str, value: float | None, interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
