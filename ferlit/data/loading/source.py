"""Where a data module's faces come from: a prepared store, or a database that is prepared first."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ferlit.data.databases import Database, find_database
from ferlit.data.preparation.choices import other_options
from ferlit.data.store import DESCRIPTION, Description, find_description
from ferlit.data.store.together import describe
from ferlit.data.store.union import open_each
from ferlit.errors import DataError, UsageError


def find_source(
    database: str | None,
    root: Path | None,
    store: Path | Sequence[Path] | None,
    options: Mapping[str, Any],
    landmarks: str,
) -> Database | Description:
    """What names the classes before anything is prepared: the store, or else the database.

    Args:
        database: Its name.
        root: Its folder.
        store: Folder of the store, which may not exist yet; or of several.
        options: Of the database.
        landmarks: See `ferlit.data.preparation.landmarks.choose_landmarks`.

    Raises:
        UsageError: no data are named, or a store of another database.
        DataError: the store cannot be read, or was made with other landmarks or reader options.
    """
    if store is not None and not isinstance(store, Path):
        return _of_several(database, root, store, options, landmarks)
    description = find_description(store) if store else None
    if description is not None:
        if database not in (None, description.database):
            raise UsageError(
                f"{store} is a store of {description.database}, "
                f"not of {database}; give --data.database {description.database}"
            )
        found = other_options(description, options) if options and root is None else []
        if found:
            raise DataError(
                f"{store} was prepared otherwise: {'; '.join(found)}; leave these options of its "
                "reader out, or prepare another store"
            )
        if landmarks not in ("auto", description.landmarks):
            raise DataError(
                f"{store} has faces with landmarks of {description.landmarks}, not "
                f"of {landmarks}: leave out --data.landmarks, or prepare another store"
            )
        return description
    if database is None or root is None:
        if store is not None:
            Description.read(store / DESCRIPTION)  # raises: there is no store
        raise UsageError(
            "no data: give the folder of the database with --data.root DIR, "
            "or a prepared store with --data.store STORE"
        )
    return find_database(database).with_options(options)


def _of_several(
    database: str | None,
    root: Path | None,
    stores: Sequence[Path],
    options: Mapping[str, Any],
    landmarks: str,
) -> Description:
    names = ", ".join(map(str, stores))
    if root is not None or options:
        given = f"--data.root {root}" if root is not None else f"--data.reader {dict(options)}"
        raise UsageError(
            f"{given}: of one database, and --data.store names several stores ({names}), which "
            "must be there already: make each with `ferlit prepare`, and give the list alone"
        )
    opened = open_each(stores)
    strange = [each for each in opened if each.description.database != database]
    if database is not None and strange:
        raise UsageError(
            f"{strange[0].folder} is a store of {strange[0].description.database}, not of "
            f"{database}; with stores of several databases give --data.database null"
        )
    return describe(opened, landmarks)


def cached_store(database: str | None, root: Path) -> Path:
    """The store of a database in the user's cache."""
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]
    return user_cache_path("ferlit") / "stores" / f"{database}-{name}"
