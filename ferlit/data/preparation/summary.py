"""What a preparation did: as a table for the terminal and as ``report.json`` in the store."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from ferlit.data.preparation.choices import options_text
from ferlit.data.reasons import count_kinds, list_kinds
from ferlit.data.store import Description, Store
from ferlit.files import write_json

REPORT = "report.json"
_UNLABELLED = "(not labelled)"


class WarningList(logging.Handler):
    """Keeps the warnings of ferlit while it is entered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> list[str]:
        logging.getLogger("ferlit").addHandler(self)
        return self.messages

    def __exit__(self, *_: object) -> None:
        logging.getLogger("ferlit").removeHandler(self)


def summarise(
    records: pd.DataFrame, description: Description, warnings: list[str], seconds: float
) -> dict[str, Any]:
    """The report of a preparation, ready for JSON.

    Args:
        records: The records that were prepared.
        description: Of the store.
        warnings: What was warned of.
        seconds: How long it took.
    """
    named = records["expression"].replace("", _UNLABELLED)
    is_known = records["identity"] != ""
    by_subject = pd.crosstab(records.loc[is_known, "identity"], named[is_known])
    return {
        "database": description.database,
        "reader": description.reader,
        "landmarks": description.landmarks,
        "found": description.found,
        "prepared": len(records),
        "dropped": count_kinds(description.dropped),
        "unread_files": count_kinds(description.unread),
        "several_faces": len(description.several),
        "classes": {name: _counts(rows) for name, rows in records.groupby(named)},
        "splits": {name: len(rows) for name, rows in records.groupby("split") if name},
        "images_by_subject": by_subject.to_dict("index"),
        "warnings": warnings,
        "seconds": round(seconds, 2),
        "images_per_second": round(len(records) / seconds, 1),
    }


def write_report(report: dict[str, Any], folder: Path) -> None:
    """Write ``report.json``."""
    write_json(folder / REPORT, report)


def print_summary(store: Store, console: Console) -> None:
    """What a store holds: images, sequences and subjects per expression, and what was dropped."""
    records, description = store.records, store.description
    table = Table(title=f"{description.database}: {store.folder}")
    for column in ("expression", "images", "sequences", "subjects"):
        table.add_column(column, justify="left" if column == "expression" else "right")
    labels = [*description.classes, *([""] if (records["expression"] == "").any() else [])]
    for label in [*labels, None]:
        rows = records if label is None else records[records["expression"] == label]
        name = "all" if label is None else label or _UNLABELLED
        cells = (str(count) for count in _counts(rows).values())
        table.add_row(name, *cells, end_section=label == labels[-1])
    console.print(table)
    if options := options_text(description.database, description.reader):
        console.print(f"read by {options}", markup=False, highlight=False, soft_wrap=True)
    dropped = description.dropped
    console.print(
        f"{description.found} images found, {len(records)} prepared, {len(dropped)} dropped"
    )
    _print_kinds(dropped, console)
    if unread := description.unread:
        console.print(
            f"{len(unread)} files or folders were not read, how many images they hold is not "
            "known:",
            soft_wrap=True,
        )
        _print_kinds(unread, console)
    if several := len(description.several):
        console.print(f"several faces: {several} pictures, the largest taken")


def list_reasons(lost: Mapping[str, str], most: int = 20) -> str:
    """What was lost, with the reasons, a line each.

    >>> print(list_reasons({"a.png": "truncated", "b.png": "missing"}, most=1))
      a.png: truncated
      and 1 more (store.json lists them all)
    """
    lines = [f"  {name}: {reason}" for name, reason in list(lost.items())[:most]]
    if len(lost) > most:
        lines.append(f"  and {len(lost) - most} more (store.json lists them all)")
    return "\n".join(lines)


def _print_kinds(lost: Mapping[str, str], console: Console) -> None:
    for line in list_kinds(lost):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {
        "images": len(rows),
        "sequences": _distinct(rows["sequence"]),
        "subjects": _distinct(rows["identity"]),
    }


def _distinct(values: "pd.Series[str]") -> int:
    return int(values[values != ""].nunique())
