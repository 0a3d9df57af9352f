"""``ferlit prepare``: a database on disk to a prepared store."""

import argparse
import shlex
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from ferlit.data.databases import DATABASES, Database, find_database
from ferlit.data.databases.base import Option
from ferlit.data.preparation import LANDMARK_SOURCES, list_reasons, prepare_store
from ferlit.data.store import Store


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit prepare``."""
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="Read a database, register every face and save them as a store to train on.",
        epilog="expected layouts, and options of one database:\n"
        + "\n".join(_describe(database) for database in DATABASES.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", required=True, choices=DATABASES, help="which database")
    parser.add_argument("--root", required=True, type=Path, help="its folder")
    parser.add_argument("--output", required=True, type=Path, help="folder of the new store")
    parser.add_argument(
        "--landmarks",
        default="auto",
        choices=LANDMARK_SOURCES,
        help="where the landmarks come from: the database's own files, none (the pictures are "
        "aligned faces), or whichever of the two fits (default)",
    )
    parser.add_argument("--workers", type=int, help="threads (default: one a core)")
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted preparation stopped"
    )
    given, rest = parser.parse_known_args(options)
    database = find_database(given.database)
    of_reader = argparse.ArgumentParser(
        prog=f"ferlit {command} --database {database.name}", add_help=False
    )
    for option in database.options:
        of_reader.add_argument(
            _flag(option), dest=option.name, type=option.kind, default=option.default
        )
    chosen = vars(of_reader.parse_args(rest))
    if given.workers is not None and given.workers < 1:
        parser.error(f"--workers {given.workers}: at least 1")
    try:
        store = prepare_store(
            database,
            given.root,
            given.output,
            options=chosen,
            landmarks=given.landmarks,
            workers=given.workers,
            resume=given.resume,
        )
    except KeyboardInterrupt:
        resume = [] if given.resume else ["--resume"]
        raise KeyboardInterrupt(shlex.join(["ferlit", command, *options, *resume])) from None
    print_summary(store, Console())


def print_summary(store: Store, console: Console) -> None:
    """What a store holds: images, sequences and subjects per expression, and what was dropped."""
    records, description = store.records, store.description
    table = Table(title=f"{description.database}: {store.folder}")
    for column in ("expression", "images", "sequences", "subjects"):
        table.add_column(column, justify="left" if column == "expression" else "right")
    labels = [*description.classes, *([""] if (records["expression"] == "").any() else [])]
    for label in [*labels, None]:
        rows = records if label is None else records[records["expression"] == label]
        counts = (len(rows), *(_distinct(rows[column]) for column in ("sequence", "identity")))
        name = "all" if label is None else label or "(not labelled)"
        table.add_row(name, *(str(count) for count in counts), end_section=label == labels[-1])
    console.print(table)
    dropped = description.dropped
    console.print(
        f"{description.found} images found, {len(records)} prepared, {len(dropped)} dropped"
    )
    if dropped:
        console.print(list_reasons(dropped), markup=False, highlight=False)


def _describe(database: Database) -> str:
    lines = [f"  {database.name}: {database.layout}"]
    for option in database.options:
        known = f"; one of {', '.join(map(str, option.choices))}" if option.choices else ""
        lines.append(f"    {_flag(option)}: {option.help}{known} (default: {option.default!r})")
    return "\n".join(lines)


def _flag(option: Option) -> str:
    return "--" + option.name.replace("_", "-")


def _distinct(values: "pd.Series[str]") -> int:
    return int(values[values != ""].nunique())
