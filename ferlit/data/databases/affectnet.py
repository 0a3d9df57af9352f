"""AffectNet: some 290,000 manually annotated faces from the web.

Mollahosseini et al., AffectNet: a database for facial expression, valence, and arousal computing in
the wild, IEEE Transactions on Affective Computing 2019. It has official training and validation
parts and names nobody. There are two forms. The old one has whole photographs, with the box and 68
landmarks of a face in its lists::

    Manually_Annotated_file_lists/training.csv, validation.csv      the latter may lack its header
    Manually_Annotated_Images/689/737db2483489148d.jpg

and the new one faces of 224 x 224 pixels, each with files of annotations::

    train_set/images/0.jpg       train_set/annotations/0_exp.npy (0_val, 0_aro, 0_lnd: not used)
    val_set/images/0.jpg         val_set/annotations/0_exp.npy

The pictures of the new form are cut to the face, so they can be prepared with ``--landmarks none``;
those of the old one are registered by their own landmarks, or by the box where a row has none.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ferlit.data.databases.affectnet_lists import check_width, list_rows
from ferlit.data.databases.base import Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import (
    below,
    file_below,
    image_files,
    is_stray,
    nothing_read,
)
from ferlit.data.records import record_table
from ferlit.errors import DataError

# The expressions by their code, and the codes of pictures that show none of them.
CODES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
OTHERS = {8: "none", 9: "uncertain", 10: "non-face"}
# By whether contempt is among the classes.
PUBLISHED = {
    "yes": Published("images", total=291_651, splits={"train": 287_651, "val": 4_000}),
    "no": Published("images", total=287_401, splits={"train": 283_901, "val": 3_500}),
}
_SETS = {"train": "train_set", "val": "val_set"}
_LISTS = {"train": "training.csv", "val": "validation.csv"}
_LIST_FOLDERS = ("Manually_Annotated_file_lists", "")
_IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
_ANNOTATION = "_exp.npy"
_LAYOUT = (
    "Manually_Annotated_file_lists/training.csv and Manually_Annotated_Images, or "
    "train_set/images and train_set/annotations"
)
logger = logging.getLogger(__name__)


class _Found(NamedTuple):
    image: str  # below the root
    code: int
    split: str
    landmarks: str = ""  # the row of a list


def read_affectnet(root: Path, *, contempt: str = "yes") -> pd.DataFrame:
    """Read AffectNet in either of its forms; the new one is preferred.

    A row, an annotation or a picture that cannot be used is listed as unread; what is annotated as
    no expression, as uncertain or as no face is left out.

    Args:
        root: The folder with ``train_set`` and ``val_set``, or with the lists and pictures of the
            old form.
        contempt: "yes" for eight expressions, "no" for seven.

    Returns:
        The record table.

    Raises:
        DataError: it is in neither form, or not one picture with an expression is there.

    >>> read_affectnet(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no AffectNet, that is Manually_Annotated...
    """
    unread: dict[str, str] = {}
    is_new = any((root / name).is_dir() for name in _SETS.values())
    found = list((_new_form if is_new else _old_form)(root, unread))
    others = Counter(picture.code for picture in found if picture.code in OTHERS)
    if others:
        counts = ", ".join(f"{others[code]} {name}" for code, name in OTHERS.items())
        logger.info("%s: pictures of no expression are left out: %s", root, counts)
    records = record_table(
        (
            {
                "image": picture.image,
                "expression": CODES[picture.code],
                "split": picture.split,
                "landmarks": picture.landmarks,
            }
            for picture in sorted(found, key=lambda picture: (picture.split, picture.image))
            if picture.code not in OTHERS
            and (contempt == "yes" or CODES[picture.code] != "contempt")
        ),
        unread,
    )
    if records.empty:
        raise nothing_read(f"{root}: not one picture with its expression is there", unread)
    return records


def _new_form(root: Path, unread: dict[str, str]) -> Iterator[_Found]:
    """The pictures that have a file of annotations each."""
    for split, name in _SETS.items():
        folder = root / name
        if not folder.is_dir():
            continue
        for part in ("images", "annotations"):
            if not (folder / part).is_dir():
                raise DataError(
                    f"{folder}: there is no folder {part}; unpack the whole archive of {name}"
                )
        images = {
            path.stem: below(root, path)
            for path in image_files(folder / "images")
            if path.is_file()
        }
        annotations = {
            path.name.removesuffix(_ANNOTATION): path
            for path in (folder / "annotations").glob(f"*{_ANNOTATION}")
            if not is_stray(path.name)
        }
        for stem in sorted(images.keys() | annotations.keys()):
            if stem not in annotations:
                unread[images[stem]] = "there is no annotation of that name"
            elif stem not in images:
                unread[below(root, annotations[stem])] = "there is no picture of that name"
            elif "#" in stem or not stem.isprintable():
                unread[images[stem]] = "the name has characters that are not allowed"
            else:
                try:
                    yield _Found(images[stem], _read_annotation(annotations[stem]), split)
                except DataError as error:
                    unread[below(root, annotations[stem])] = str(error)


def _old_form(root: Path, unread: dict[str, str]) -> Iterator[_Found]:
    """The pictures that the CSV lists speak of."""
    lists = {
        split: next(path for path in paths if path.is_file())
        for split, name in _LISTS.items()
        for paths in [[root / folder / name for folder in _LIST_FOLDERS]]
        if any(path.is_file() for path in paths)
    }
    if not lists:
        raise DataError(f"{root}: there is no AffectNet, that is {_LAYOUT}")
    folder = next((root / name for name in _IMAGE_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise DataError(
            f"{root}: there is no folder {_IMAGE_FOLDERS[0]}, which the lists speak of; unpack the "
            "parts of Manually_Annotated there"
        )
    seen: set[str] = set()
    for split, path in lists.items():
        rows = list_rows(path, below(root, path), unread)
        for place, name, width, expression, has_landmarks in rows:
            try:
                code = _parse_code(expression)
                if code in OTHERS:  # many of these have no face
                    yield _Found("", code, split)
                    continue
                check_width(width)
                if "#" in name:  # in a record it would be the number of a row
                    raise DataError(f"{name[:200]!r} is no name of a picture")
                image = below(root, folder / file_below(folder, name))
                if image in seen:
                    raise DataError(f"{image} was listed before")
            except DataError as error:
                unread[place] = str(error)
            else:
                seen.add(image)
                yield _Found(image, code, split, place if has_landmarks else "")


def _read_annotation(path: Path) -> int:
    """The code in a file of one number, or of one text that is a number."""
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
            text = str(array.reshape(1).astype(str)[0])
    except Exception as error:
        # On damaged files NumPy raises anything from EOFError to a tokenizer's errors.
        reason = str(error) or type(error).__name__
        raise DataError(f"it holds no annotation ({reason[:80]})") from error
    return _parse_code(text)


def _parse_code(text: str) -> int:
    try:
        value = float(text)
        code = int(value)
    except (ValueError, OverflowError):
        value, code = 0.0, -1
    if code != value or not (0 <= code < len(CODES) or code in OTHERS):
        known = ", ".join(f"{code} {name}" for code, name in (*enumerate(CODES), *OTHERS.items()))
        raise DataError(f"the expression {text[:20]!r}; known are {known}")
    return code


AFFECTNET = Database(
    name="affectnet",
    classes=(),
    reader=read_affectnet,
    layout=_LAYOUT,
    unused=("*_set/images/*", "*Annotated_Images/*"),
    has_identities=False,
    published=lambda options: PUBLISHED[options["contempt"]],
    options=(
        Option(
            "contempt",
            "yes",
            "whether contempt is among the classes: eight, or seven as most results are reported",
            choices=("yes", "no"),
        ),
    ),
)
