"""``ferlit prepare``: a database on disk to a prepared store."""

import argparse
import shlex
from pathlib import Path

from rich.console import Console

from ferlit.data.databases import DATABASES, Database, find_database
from ferlit.data.databases.base import Option
from ferlit.data.databases.synthetic import SYNTHETIC, drawn_like
from ferlit.data.preparation import prepare_store
from ferlit.data.preparation.landmarks import LANDMARK_SOURCES
from ferlit.data.preparation.summary import print_summary
from ferlit.data.store import Store
from ferlit.data.store.manifest import verify
from ferlit.errors import DataError
from ferlit.options import add_landmark_models


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit prepare``."""
    if any(option.startswith("--verify") for option in options):
        _verify(command, options)
        return
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="Read a database, register every face and save them as a store to train on.",
        epilog="expected layouts, and options of one database:\n"
        + "\n".join(_describe(database) for database in DATABASES.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--verify", metavar="STORE", help="instead: compare a store with its checksums"
    )
    parser.add_argument("--database", required=True, choices=DATABASES, help="which database")
    parser.add_argument("--root", required=True, type=Path, help="its folder")
    parser.add_argument("--output", required=True, type=Path, help="folder of the new store")
    parser.add_argument(
        "--landmarks",
        default="auto",
        choices=LANDMARK_SOURCES,
        help="where the landmarks come from: the database's own files, found in the pictures by "
        "mediapipe's models or by dlib, none (the pictures are aligned faces), or the first of "
        "none, database and mediapipe that serves (default)",
    )
    add_landmark_models(parser)
    parser.add_argument(
        "--workers", type=int, help="at most so many processes (default: one a core)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted preparation stopped"
    )
    parser.add_argument(
        "--like",
        choices=[name for name in DATABASES if name != SYNTHETIC.name],
        metavar="DATABASE",
        help="with --database synthetic: draw a small tree in the layout of that database",
    )
    given, rest = parser.parse_known_args(options)
    database = find_database(given.database)
    if given.like is not None:
        if database.name != SYNTHETIC.name:
            parser.error("--like goes with --database synthetic")
        database = drawn_like(find_database(given.like))
    of_reader = argparse.ArgumentParser(
        prog=f"ferlit {command} --database {database.name}", add_help=False
    )
    for option in database.options:
        of_reader.add_argument(
            _flag(option),
            dest=option.name,
            type=option.kind,
            default=option.default,
            choices=option.choices or None,
        )
    database = database.with_options(vars(of_reader.parse_args(rest)))
    if given.landmark_models is not None and given.landmarks not in ("auto", "mediapipe"):
        parser.error(f"--landmark-models goes with --landmarks mediapipe, not {given.landmarks}")
    if given.workers is not None and given.workers < 1:
        parser.error(f"--workers {given.workers}: at least 1")
    try:
        store = prepare_store(
            database,
            given.root,
            given.output,
            landmarks=given.landmarks,
            landmark_models=given.landmark_models,
            workers=given.workers,
            resume=given.resume,
            repair=True,
        )
    except KeyboardInterrupt:
        resume = [] if given.resume else ["--resume"]
        raise KeyboardInterrupt(shlex.join(["ferlit", command, *options, *resume])) from None
    print_summary(store, Console())


def _verify(command: str, options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog=f"ferlit {command}")
    parser.add_argument("--verify", metavar="STORE", type=Path, required=True)
    folder = parser.parse_args(options).verify
    differences = verify(folder)
    if differences:
        raise DataError(
            f"{folder} is not as it was written:\n  "
            + "\n  ".join(differences)
            + f"\nMake it again with `ferlit {command} --database NAME --root DIR --output "
            f"{folder}`, which keeps its identities.csv, or copy it again"
        )
    store = Store.open(folder)
    print(f"{folder}: {len(store.records)} faces of {store.description.database}, all as written")


def _describe(database: Database) -> str:
    lines = [f"  {database.name}: {database.layout}"]
    for option in database.options:
        known = f"; one of {', '.join(map(str, option.choices))}" if option.choices else ""
        lines.append(f"    {_flag(option)}: {option.help}{known} (default: {option.default!r})")
    return "\n".join(lines)


def _flag(option: Option) -> str:
    return "--" + option.name.replace("_", "-")
