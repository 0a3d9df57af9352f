"""The table of labels that some copies of SFEW have beside the class folders."""

from pathlib import Path

from ferlit.data.databases.folder import SPLIT_NAMES
from ferlit.data.images import csv_header, csv_rows
from ferlit.data.records import canonical_expression
from ferlit.data.texts import composed
from ferlit.errors import DataError

TABLE = "sfew_2.0_labels.csv"
_NAME, _CODE, _EMOTION, _SPLIT = "image_name", "label", "emotion", "original_split"


def check_labels(path: Path, folders: dict[str, tuple[str, str]]) -> set[str]:
    """Hold the table against the folders.

    Args:
        path: The table.
        folders: Expression ("" for the test) and split of each image, by its name without suffix.

    Returns:
        The names of images that the table does not have.

    Raises:
        DataError: the table cannot be read, lists an image twice, or gives an image another
            expression or split than its folder, or a code two expressions.
    """
    header = csv_header(path)
    optional = [column for column in (_CODE, _EMOTION, _SPLIT) if column in header]
    seen: dict[str, int] = {}
    of_codes: dict[str, str] = {}
    for number, values in enumerate(csv_rows(path, (_NAME, *optional))):
        told = dict(zip((_NAME, *optional), values, strict=True))
        name = Path(composed(told[_NAME])).stem
        place = f"{path}: row {number} (counted from 0)"
        if seen.setdefault(name, number) != number:
            raise DataError(f"{place} lists {name} again, as row {seen[name]} does")
        emotion = _expression(told.get(_EMOTION, ""))
        code = told.get(_CODE, "") or emotion
        if emotion and (other := of_codes.setdefault(code, emotion)) != emotion:
            raise DataError(f"{place} calls the code {code} {emotion}, rows before {other}")
        if name not in folders:
            continue
        expression, split = folders[name]
        told_split = SPLIT_NAMES.get(told.get(_SPLIT, "").lower(), "")
        for what, here, there in (
            ("expression", emotion, expression),
            ("split", told_split, split),
        ):
            if here and there and here != there:
                raise DataError(
                    f"{place} gives {name} the {what} {here}, but its folder {there}; unpack the "
                    "database anew, or remove the table if it is not of these pictures"
                )
    return folders.keys() - seen.keys()


def _expression(name: str) -> str:
    try:
        return canonical_expression(name)
    except DataError:
        return ""
