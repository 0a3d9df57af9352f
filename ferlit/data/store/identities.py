"""Who is who in a store whose database names nobody: ``identities.csv`` beside its faces.

The table is a guess of ``ferlit identities``, or written by hand: a row an image, with the columns
``image`` and ``identity`` and any others for people. A person may correct it; opening the store
applies it.
"""

import logging
from pathlib import Path

import pandas as pd

from ferlit.data.texts import composed, encoding_of, wrong_encoding
from ferlit.errors import DataError
from ferlit.files import whole_file

IDENTITIES = "identities.csv"
logger = logging.getLogger(__name__)
_said: set[str] = set()  # a store is opened several times


def read_identities(path: Path) -> pd.Series:
    """The identities that a table gives, by image; "" where a person left one out.

    Raises:
        DataError: it cannot be read, is in an encoding that it does not tell, lacks a column, or
            names an image twice.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding=encoding_of(path))
    except UnicodeDecodeError as error:
        raise wrong_encoding(path) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no table of identities ({error})") from error
    missing = [column for column in ("image", "identity") if column not in table]
    if missing:
        raise DataError(
            f"{path}: lacks the column {missing[0]}; it has {', '.join(map(str, table.columns))}. "
            "Save it with commas between the columns image and identity"
        )
    twice = table[table["image"].duplicated()]
    if not twice.empty:
        raise DataError(f"{path}: {twice.iloc[0]['image']} is listed twice; keep one of its rows")
    return pd.Series(table["identity"].map(composed).to_numpy(object), index=table["image"])


def with_identities(records: pd.DataFrame, path: Path) -> pd.DataFrame:
    r"""The records with the identities of a table; those that the database names stay as they are.

    A warning names an image for which the table has another person than the database, and one that
    neither of them knows.

    Args:
        records: A record table (see `ferlit.data.records`).
        path: The table of identities. An image that it leaves out stays unknown.

    Returns:
        A new record table.

    Raises:
        DataError: see `read_identities`; or the table lists an image that the records do not have,
            or gives the frames of a recording to two persons.

    >>> from tempfile import TemporaryDirectory
    >>> from ferlit.data.records import record_table
    >>> records = record_table([{"image": "a.png"}, {"image": "b.png", "identity": "S1"}])
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "identities.csv")
    ...     _ = path.write_text("image,identity\nb.png,S2\na.png,S2\n")
    ...     with_identities(records, path)["identity"].tolist()
    ['S2', 'S1']
    """
    given = read_identities(path)
    strangers = given.index[~given.index.isin(records["image"])]
    if len(strangers):
        raise DataError(
            f"{path}: {len(strangers)} of its {len(given)} images are not in the store, such as "
            f"{strangers[0]}; remove those rows, or make the table again with "
            f"`ferlit identities --store {path.parent} --overwrite`"
        )
    guesses = records["image"].map(given).astype(object).fillna("")
    _warn(records, guesses, path)
    records = records.assign(
        identity=records["identity"].where(records["identity"] != "", guesses).astype(object)
    )
    persons = records[records["sequence"] != ""].groupby("sequence")["identity"].unique()
    mixed = persons[persons.map(len) > 1]
    if not mixed.empty:
        names = ", ".join(name or "nobody" for name in sorted(mixed.iloc[0]))
        raise DataError(
            f"{path}: the frames of sequence {mixed.index[0]} show {names}; "
            "give all frames of a recording to one person"
        )
    return records


def write_identities(table: pd.DataFrame, path: Path) -> None:
    """Write a table of identities; whoever reads the file finds a whole one."""
    if not path.parent.is_dir():
        raise DataError(f"{path}: cannot be written (there is no folder {path.parent})")
    try:
        with whole_file(path) as draft:
            table.to_csv(draft, index=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def _warn(records: pd.DataFrame, guesses: "pd.Series[str]", path: Path) -> None:
    own = records["identity"]
    said = []
    other = records[(own != "") & (guesses != "") & (own != guesses)]
    if not other.empty:
        image, name = other.iloc[0][["image", "identity"]]
        said.append(
            f"{len(other)} images keep the person that the database names, such as {image}, which "
            f"shows {name} and not {guesses[other.index[0]]}"
        )
    unknown = records[(own == "") & (guesses == "")]
    if not unknown.empty:
        said.append(
            f"{len(unknown)} of {len(records)} images have no person in it, such as "
            f"{unknown.iloc[0]['image']}; they stay unknown"
        )
    for message in said:
        if f"{path}: {message}" not in _said:
            _said.add(f"{path}: {message}")
            logger.warning("%s: %s", path, message)
