"""By which options a database was read: as its store remembers them, told, and compared by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferlit.data.databases import Database, find_database
from ferlit.data.store import Description
from ferlit.errors import UsageError

UNKNOWN = "reader options not known"


def plain_options(database: Database) -> dict[str, Any]:
    """The values of all options of a database's reader, for ``store.json``; of a file its name.

    >>> plain_options(find_database("ferplus").with_options({"own_labels": 0.25}))
    {'votes': 'majority', 'own_labels': 0.25}
    """
    values = database.chosen
    files = [each.name for each in database.options if each.kind is Path and values[each.name]]
    return values | {name: Path(values[name]).name for name in files}


def options_text(database: str, reader: Mapping[str, Any] | None) -> str:
    """By which options a store was read, for people; what is empty is not told.

    Args:
        database: Of the store.
        reader: What its description says; None where it says nothing.

    Returns:
        "" where the reader leaves nothing to choose.

    >>> options_text("ferplus", {"votes": "majority", "own_labels": 0.0})
    'votes=majority'
    >>> options_text("ferplus", None), options_text("jaffe", None)
    ('reader options not known', '')
    """
    if reader is None:
        known = _find(database)
        return UNKNOWN if known is not None and known.options else ""
    return ", ".join(f"{name}={value}" for name, value in reader.items() if value)


def other_options(made: Description, asked: Mapping[str, Any]) -> list[str]:
    """Options that a store was not made by, a line each.

    The store of an earlier version does not remember them: what they decide about is compared then,
    as far as that tells.

    Args:
        made: What the store says.
        asked: Values of some options.

    Raises:
        UsageError: a value is not among its option's choices.

    >>> made = Description("ferplus", (), "max", "none", "", 0, reader={"votes": "majority"})
    >>> other_options(made, {"votes": "crossentropy"})
    ['votes=majority there, not crossentropy']
    """
    database = _find(made.database)
    known = {option.name for option in database.options} if database else set(made.reader or {})
    found = [f"{made.database} has no option {name}" for name in asked if name not in known]
    asked = {name: value for name, value in asked.items() if name in known}
    wanted = database and database.with_options(asked)
    if made.reader is not None:
        values = dict(asked) if wanted is None else plain_options(wanted)
        return found + [
            f"{name}={made.reader[name]} there, not {values[name]}"
            for name in asked
            if name in made.reader and str(made.reader[name]) != str(values[name])
        ]
    if wanted is not None and wanted.target_rule != made.target_rule:
        rules = (rule or "one label a face" for rule in (made.target_rule, wanted.target_rule))
        found.append("training learns {} there, not {}".format(*rules))
    if wanted is not None and wanted.classes and wanted.classes != made.classes:
        classes = (", ".join(names) for names in (made.classes, wanted.classes))
        found.append("the classes are {} there, not {}".format(*classes))
    return found


def _find(name: str) -> Database | None:
    """The database of a store, whose trees may be drawn in the layout of another."""
    for each in (name, name.removeprefix("synthetic_")):
        try:
            return find_database(each)
        except UsageError:
            continue
    return None
