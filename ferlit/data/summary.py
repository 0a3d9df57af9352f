"""What a preparation did: as a table for the terminal and as ``report.json`` in the store."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from ferlit.data.store import Description, Store

REPORT = "report.json"
_MOST_REASONS = 10


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
    known = records[records["identity"] != ""]
    by_subject = pd.crosstab(known["identity"], known["expression"])
    return {
        "database": description.database,
        "landmarks": description.landmarks,
        "found": description.found,
        "prepared": len(records),
        "dropped": dict(Counter(description.dropped.values()).most_common()),
        "classes": {name: _counts(rows) for name, rows in records.groupby("expression")},
        "splits": {name: len(rows) for name, rows in records.groupby("split") if name},
        "images_by_subject": by_subject.to_dict("index"),
        "warnings": warnings,
        "seconds": round(seconds, 2),
        "images_per_second": round(len(records) / seconds, 1),
    }


def write_report(report: dict[str, Any], folder: Path) -> None:
    """Write ``report.json``."""
    (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def print_summary(store: Store, console: Console) -> None:
    """What a store holds: images, sequences and subjects per expression, and what was dropped."""
    records, description = store.records, store.description
    table = Table(title=f"{description.database}: {store.folder}")
    for column in ("expression", "images", "sequences", "subjects"):
        table.add_column(column, justify="left" if column == "expression" else "right")
    labels = [*description.classes, *([""] if (records["expression"] == "").any() else [])]
    for label in [*labels, None]:
        rows = records if label is None else records[records["expression"] == label]
        name = "all" if label is None else label or "(not labelled)"
        cells = (str(count) for count in _counts(rows).values())
        table.add_row(name, *cells, end_section=label == labels[-1])
    console.print(table)
    dropped = description.dropped
    console.print(
        f"{description.found} images found, {len(records)} prepared, {len(dropped)} dropped"
    )
    reasons = Counter(dropped.values()).most_common()
    for reason, count in reasons[:_MOST_REASONS]:
        example = next(image for image, why in dropped.items() if why == reason)
        line = f"  {count} x {reason} ({example}{', ...' if count > 1 else ''})"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(reasons) > _MOST_REASONS:
        console.print(f"  and {len(reasons) - _MOST_REASONS} more reasons (store.json lists all)")


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {
        "images": len(rows),
        "sequences": _distinct(rows["sequence"]),
        "subjects": _distinct(rows["identity"]),
    }


def _distinct(values: "pd.Series[str]") -> int:
    return int(values[values != ""].nunique())
