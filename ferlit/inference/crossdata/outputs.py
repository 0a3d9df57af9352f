"""What a matrix of stores prints, and its files."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ferlit.data.preparation.choices import options_text
from ferlit.evaluation.bootstrap import LEVEL, Interval
from ferlit.evaluation.plots import plot_matrix
from ferlit.files import whole_file, write_json
from ferlit.inference.crossdata.cells import FIGURES, Cell
from ferlit.inference.crossdata.members import Member

RESULTS, TABLE, PICTURE = "results.json", "matrix.csv", "matrix.png"
_WIDTH = 120  # of what no terminal limits
_SHOWN = {"accuracy": "accuracy", "class_mean": "class mean"}


def print_members(members: Sequence[Member], console: Console) -> None:
    """How each store is split."""
    table = Table(title="stores", pad_edge=False)
    for name in ("store", "database", "classes", "split", "train", "val", "test"):
        table.add_column(name, justify="right" if name in ("train", "val", "test") else "left")
    for member in members:
        description = member.store.description
        counts = [member.counts(fold) for fold in member.splits]
        parts = ["\n".join(str(each[part]) for each in counts) for part in ("train", "val", "test")]
        options = options_text(description.database, description.reader).replace(", ", "\n")
        database = "\n".join(filter(None, [description.database, options]))
        names = [member.name, database, str(len(description.classes)), member.protocol]
        table.add_row(*map(Text, [*names, *parts]))
    console.print(table)


def print_matrix(members: Sequence[Member], cells: Sequence[Cell], console: Console) -> None:
    """The matrix, and what must be known to read it."""
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    seeds = max(len(cell.seeds) for cell in cells)
    spread = f", ± the standard deviation over {seeds} seeds" if seeds > 1 else ""
    table = Table(title="rows: trained on; columns: tested on", show_lines=True)
    table.add_column("")
    for member in members:
        table.add_column(Text(f"{member.name}\n{member.part().name}"), justify="right")
    by_names = {(cell.trained.name, cell.tested.name): cell for cell in cells}
    for row in members:
        found = [by_names.get((row.name, column.name)) for column in members]
        table.add_row(Text(row.name), *(_cell(cell) if cell else Text("-") for cell in found))
    console.print(table)
    lines = [f"accuracy, its counts and class mean{spread}; in brackets, {LEVEL}% intervals"]
    lines += [
        f"{cell.trained.name} on {cell.tested.name}: {len(cell.runs)} of {expected} networks"
        for cell in cells
        for expected in [_expected(cell, cells)]
        if len(cell.runs) < expected
    ]
    lines += [
        f"{'*' * bool(cell.seen)}{cell.trained.name} on {cell.tested.name}: {note}"
        for cell in cells
        for note in cell.notes()
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def write_matrix(members: Sequence[Member], cells: Sequence[Cell], folder: Path) -> None:
    """Write the matrix.

    Args:
        members: The stores.
        cells: Those that have a network.
        folder: Gets ``results.json``, ``matrix.csv`` and ``matrix.png``; the last two only where
            there is a cell.
    """
    names = [member.name for member in members]
    levels = {
        (cell.trained.name, cell.tested.name): cell.levels["image"].to_dict() for cell in cells
    }
    matrices = {
        figure: [
            [levels[row, column][figure] if (row, column) in levels else None for column in names]
            for row in names
        ]
        for figure in (*FIGURES, "correct", "total")
    }
    says = {
        "ferlit_version": version("ferlit"),
        "names": names,
        "stores": {member.name: _describe(member) for member in members},
        **matrices,
        "cells": [cell.to_dict() for cell in cells],
    }
    write_json(folder / RESULTS, says)
    if not cells:
        return
    with whole_file(folder / TABLE) as draft:
        table_of(cells).to_csv(draft, index=False)
    with whole_file(folder / PICTURE) as draft:
        plot_matrix(
            names,
            {text: matrices[figure] for figure, text in _SHOWN.items()},
            [
                [f"{c} of {n}" if n else "" for c, n in zip(correct, total, strict=True)]
                for correct, total in zip(matrices["correct"], matrices["total"], strict=True)
            ],
            draft,
        )


def table_of(cells: Sequence[Cell]) -> pd.DataFrame:
    """What ``matrix.csv`` holds: a row a cell; an interval that is not defined is empty."""
    rows = []
    for cell in cells:
        image = cell.levels["image"]
        row: dict[str, Any] = {
            "trained": cell.trained.name,
            "tested": cell.tested.name,
            "networks": len(cell.runs),
            "seeds": len(cell.seeds),
            "correct": image.correct,
            "total": image.total,
            "seen": cell.seen,
            "copies": cell.copies.judged,
        }
        for figure in FIGURES:
            low, high = cell.intervals["image"].get(figure) or (None, None)
            spread = cell.spread("image", figure)
            row |= {figure: image.to_dict()[figure], f"{figure}_low": low, f"{figure}_high": high}
            row |= {f"{figure}_seeds_mean": spread.mean, f"{figure}_seeds_sd": spread.sd}
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(cell: Cell) -> Text:
    image, found = cell.levels["image"], cell.intervals["image"]
    mark = "*" * bool(cell.seen)
    lines = [
        f"{image.accuracy:.1%}{mark}{_spread(cell, 'accuracy')}",
        f"({image.correct} of {image.total})",
        _brackets(found.get("accuracy")),
        f"class mean {image.class_mean:.1%}{_spread(cell, 'class_mean')}",
        _brackets(found.get("class_mean")),
    ]
    sequence = cell.levels.get("sequence")
    if sequence is not None:
        lines += [
            f"by sequence {sequence.accuracy:.1%}",
            f"({sequence.correct} of {sequence.total})",
            _brackets(cell.intervals["sequence"].get("accuracy")),
        ]
    is_own = cell.trained is cell.tested
    return Text("\n".join(filter(None, lines)), "bold" if is_own else "")


def _spread(cell: Cell, figure: str) -> str:
    found = cell.spread("image", figure)
    return "" if found.sd is None else f" ± {100 * found.sd:.1f}"


def _brackets(interval: Interval | None) -> str:
    return "" if interval is None else f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _expected(cell: Cell, cells: Sequence[Cell]) -> int:
    """How many networks a cell has where none failed."""
    seeds = {run.seed for each in cells for run in each.runs}
    return len(seeds) * len(cell.trained.splits)


def _describe(member: Member) -> dict[str, Any]:
    store = member.store
    return {
        "folder": str(store.folder.resolve()),
        "database": store.description.database,
        "reader": store.description.reader,
        "content": store.content,
        "classes": list(store.description.classes),
        "protocol": member.protocol,
        "part": member.part().name,
        "splits": [{"fold": fold, **member.counts(fold)} for fold in member.splits],
    }
