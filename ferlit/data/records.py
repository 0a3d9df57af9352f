"""The record table: the one form that every database takes.

A reader turns a database's own layout into this table, one row an image, and everything
downstream knows only the table:

==========  ======  ==============================================================
column      type    meaning
==========  ======  ==============================================================
image       str     file below the root; ``file#k`` is row or frame k of that file
expression  str     one of ``EXPRESSIONS``, or "" where the label is withheld
identity    str     the person, or "" where unknown
sequence    str     the recording that the image is a frame of, or "" for a still
frame       int     number of the frame in its recording, 0 for a still
split       str     "train", "val" or "test" where the database has an official one
landmarks   str     file with the image's 68 landmarks below the root, or ""
==========  ======  ==============================================================
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.texts import composed
from ferlit.errors import DataError

EXPRESSIONS = (
    "neutral",
    "anger",
    "contempt",
    "disgust",
    "fear",
    "happiness",
    "sadness",
    "surprise",
)
SPLITS = ("train", "val", "test")
SequenceRule = Literal["max", "mean"]  # how the images of a sequence vote
SEQUENCE_RULES: tuple[SequenceRule, ...] = get_args(SequenceRule)
STORE = "store"  # a column more, where several stores are taken as one: which the image is of
OF_IMAGE = ("image", "identity", "sequence", "label", "predicted")  # of a table of predictions
COLUMNS = ("image", "expression", "identity", "sequence", "frame", "split", "landmarks")

_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
logger = logging.getLogger(__name__)

_NAMES = ("identity", "sequence")
_UNREAD = "unread"

# The names that databases give to the expressions, in their folders and annotations.
_SYNONYMS = {
    "angry": "anger",
    "afraid": "fear",
    "fearful": "fear",
    "happy": "happiness",
    "smile": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "disgusted": "disgust",
}


def canonical_expression(name: str) -> str:
    """The canonical name of an expression that a database calls ``name``.

    Raises:
        DataError: ``name`` is none of the known expressions.

    >>> canonical_expression("Happy"), canonical_expression("sadness")
    ('happiness', 'sadness')
    """
    key = name.strip().lower()
    key = _SYNONYMS.get(key, key)
    if key not in EXPRESSIONS:
        raise DataError(f"unknown expression {name!r}; known are {', '.join(EXPRESSIONS)}")
    return key


def check_classes(classes: Sequence[str], place: str, *, several: bool = False) -> None:
    """See that no class is called like a column of the tables that have a column for each.

    Args:
        classes: Their names.
        place: Whose they are, for the message.
        several: Whether tables have the column ``store``, as those of several stores as one.

    Raises:
        DataError: one is.

    >>> check_classes(["anger", "label"], "store")
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: store: a class is called 'label', as a column of the predictions ...
    """
    columns = (*OF_IMAGE, *([STORE] if several else []))
    for name in classes:
        if name in columns:
            raise DataError(
                f"{place}: a class is called {name!r}, as a column of the predictions is (they are "
                f"{', '.join(columns)}); give it another name and prepare the store again"
            )


def meaning(name: str) -> str:
    """What two names of one class have in common.

    >>> meaning("Happy") == meaning("happiness"), meaning(" Joy ")
    (True, 'joy')
    """
    try:
        return canonical_expression(name)
    except DataError:  # a class of the user's own
        return name.strip().casefold()


def record_table(
    rows: Iterable[Mapping[str, Any]], unread: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """A table with all columns and their types; what a row leaves out is unknown.

    Args:
        rows: The records. Names of persons and recordings are brought to one form, see
            `ferlit.data.texts.composed`.
        unread: Files below the root that could not be read, each with the reason. They travel with
            the table, see `unread_files`.

    >>> record_table([{"image": "a.png", "expression": "fear"}]).loc[0].to_dict()
    {'image': 'a.png', 'expression': 'fear', 'identity': '', 'sequence': '', 'frame': 0, 'split': '', 'landmarks': ''}
    """  # noqa: E501
    rows = list(rows)
    columns = {column: [row.get(column) for row in rows] for column in COLUMNS}
    frame = pd.Series([int(number or 0) for number in columns.pop("frame")], dtype="int64")
    for column in _NAMES:
        columns[column] = [composed(str(value or "")) for value in columns[column]]
    texts = {
        column: pd.Series([value or "" for value in values], dtype=object)
        for column, values in columns.items()
    }
    table = pd.DataFrame({**texts, "frame": frame})[list(COLUMNS)]
    table.attrs[_UNREAD] = dict(unread or {})
    return table


def unread_files(records: pd.DataFrame) -> dict[str, str]:
    """The files that the reader could not read, each with the reason."""
    found: dict[str, str] = records.attrs.get(_UNREAD, {})
    return found


def add_unread(records: pd.DataFrame, unread: Mapping[str, str]) -> None:
    """Note more files that could not be read, beside those that the reader noted."""
    records.attrs[_UNREAD] = unread_files(records) | dict(unread)


def recordings(records: pd.DataFrame) -> NDArray[np.int64]:
    """(n,) the number of every image's recording, in order of appearance; a still is one by itself.

    >>> recordings(record_table([{"image": "a", "sequence": "s"}, {"image": "b"},
    ...                          {"image": "c", "sequence": "s"}])).tolist()
    [0, 1, 0]
    """
    is_still = records["sequence"] == ""
    names = ("sequence " + records["sequence"]).where(~is_still, "still " + records["image"])
    return pd.factorize(names)[0].astype(np.int64)


def read_records(path: Path) -> pd.DataFrame:
    """Read a table that `write_records` wrote."""
    types = {column: "int64" if column == "frame" else object for column in COLUMNS}
    try:
        table = pd.read_csv(path, dtype=types, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no record table ({error})") from error
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise DataError(f"{path}: the record table lacks the columns {', '.join(missing)}")
    return table[list(COLUMNS)]


def write_records(records: pd.DataFrame, path: Path) -> None:
    """Write the table as CSV."""
    records.to_csv(path, index=False)


def validate_records(records: pd.DataFrame, classes: tuple[str, ...], source: str) -> pd.DataFrame:
    """Check a reader's table and return it with a fresh index.

    Args:
        records: The table.
        classes: The expressions that the database has.
        source: The database and its root, for the messages.

    Raises:
        DataError: no records, an expression outside ``classes``, an unknown split, an image named
            twice, or a sequence that belongs to two identities or two splits.
    """
    if records.empty:
        raise DataError(f"{source}: no images found")
    records = records.reset_index(drop=True)
    for column, allowed in (("expression", (*classes, "")), ("split", (*SPLITS, ""))):
        wrong = records[~records[column].isin(allowed)]
        if not wrong.empty:
            row = wrong.iloc[0]
            raise DataError(
                f"{source}: {row['image']} has the {column} {row[column]!r}; "
                f"allowed are {', '.join(name for name in allowed if name)}"
            )
    twice = records[records["image"].duplicated()]
    if not twice.empty:
        raise DataError(f"{source}: {twice.iloc[0]['image']} is listed {len(twice) + 1} times")
    in_sequences = records[records["sequence"] != ""]
    for column in ("identity", "expression", "split"):
        values = in_sequences.groupby("sequence")[column].nunique()
        mixed = values[values > 1]
        if not mixed.empty:
            raise DataError(f"{source}: sequence {mixed.index[0]} has several values of {column}")
    _warn_of_people(records, source)
    return records


def _warn_of_people(records: pd.DataFrame, source: str) -> None:
    """Warn of names that may be one person's, and of persons who are in several splits."""
    alike: dict[str, set[str]] = {}
    for name in records["identity"].unique():
        key = _ZEROS.sub("", str(name).casefold()).removesuffix(".0")
        alike.setdefault("".join(key.split()), set()).add(str(name))
    doubtful = [sorted(names) for names in alike.values() if len(names) > 1]
    if doubtful:
        names = ", ".join(map(repr, doubtful[0]))
        more = f"; and {len(doubtful) - 1} more such groups" if len(doubtful) > 1 else ""
        logger.warning("%s: %s are taken for different persons%s", source, names, more)
    named = records[(records["identity"] != "") & (records["split"] != "")]
    splits = named.groupby("identity")["split"].unique()
    mixed = splits[splits.map(len) > 1]
    if not mixed.empty:
        logger.warning(
            "%s: %d persons are in several splits, such as %s (%s), so the splits do not hold "
            "different people",
            source,
            len(mixed),
            mixed.index[0],
            " and ".join(sorted(mixed.iloc[0])),
        )
