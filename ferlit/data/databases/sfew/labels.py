"""The table of labels that some copies of SFEW have beside the class folders."""

import logging
from pathlib import Path

from ferlit.data.databases.folder import SPLIT_NAMES
from ferlit.data.records import canonical_expression
from ferlit.data.texts import composed, csv_header, csv_rows
from ferlit.errors import DataError

TABLE = "sfew_2.0_labels.csv"
_NAME, _CODE, _EMOTION, _SPLIT = "image_name", "label", "emotion", "original_split"
logger = logging.getLogger(__name__)


def check_labels(path: Path, folders: dict[str, tuple[str, str]]) -> set[str]:
    """Hold the table against the folders.

    Args:
        path: The table.
        folders: Expression ("" for the test) and split of each image, by its name without suffix.

    Returns:
        The names of images that the table does not have.

    Raises:
        DataError: the table cannot be read, lists an image twice, or gives an image another
            expression or split than its folder, an expression or split that is none, or a code two
            expressions.
    """
    header = csv_header(path)
    optional = [column for column in (_CODE, _EMOTION, _SPLIT) if column in header]
    seen: dict[str, int] = {}
    of_codes: dict[str, str] = {}
    lost: list[str] = []
    for number, values in enumerate(csv_rows(path, (_NAME, *optional))):
        told = dict(zip((_NAME, *optional), values, strict=True))
        name = Path(composed(told[_NAME])).stem
        place = f"{path}: row {number} (counted from 0)"
        if seen.setdefault(name, number) != number:
            raise DataError(f"{place} lists {name} again, as row {seen[name]} does")
        emotion, told_split = _expression(told, place), _split(told, place)
        if name not in folders:
            lost.append(name)
        expression, split = folders.get(name, ("", ""))
        code, meaning = told.get(_CODE, ""), emotion or expression
        if code and meaning and (other := of_codes.setdefault(code, meaning)) != meaning:
            raise DataError(
                f"{place} gives {name} the code {code}, which is {other} in rows before, but it is "
                f"{meaning}; unpack the database anew, or remove the table if it is not of these "
                "pictures"
            )
        for what, here, there in (
            ("expression", emotion, expression),
            ("split", told_split, split),
        ):
            if here and there and here != there:
                raise DataError(
                    f"{place} gives {name} the {what} {here}, but its folder {there}; unpack the "
                    "database anew, or remove the table if it is not of these pictures"
                )
    if lost:
        some = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
        logger.warning("%s: %d rows name no image that is there: %s", path, len(lost), some)
    return folders.keys() - seen.keys()


def _expression(told: dict[str, str], place: str) -> str:
    name = told.get(_EMOTION, "")
    try:
        return canonical_expression(name) if name else ""
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def _split(told: dict[str, str], place: str) -> str:
    name = told.get(_SPLIT, "")
    if name and name.lower() not in SPLIT_NAMES:
        raise DataError(f"{place}: the split {name[:40]!r}; known are train, val and test")
    return SPLIT_NAMES[name.lower()] if name else ""
