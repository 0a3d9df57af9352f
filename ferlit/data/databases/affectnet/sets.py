"""AffectNet's new form: cropped faces in two sets, with files of annotations for each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ferlit.data.databases.affectnet.codes import Found, parse_code
from ferlit.data.databases.listing import below, image_files, is_stray
from ferlit.data.places import MARK
from ferlit.errors import DataError

SETS = {"train": "train_set", "val": "val_set"}
_ANNOTATION, _VALENCE = "_exp.npy", "_val.npy"
_MOST_VALENCES = 2_000  # of a set that are looked at, evenly spread


def new_form(root: Path, unread: dict[str, str]) -> Iterator[Found]:
    """The pictures that have a file of annotations each.

    Args:
        root: The folder that holds the sets.
        unread: Takes the files that cannot be used.

    Raises:
        DataError: a set lacks one of its folders.
    """
    for split, name in SETS.items():
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
        step = len(annotations) // _MOST_VALENCES + 1
        for number, stem in enumerate(sorted(images.keys() | annotations.keys())):
            if stem not in annotations:
                unread[images[stem]] = "there is no annotation of that name"
            elif stem not in images:
                unread[below(root, annotations[stem])] = "there is no picture of that name"
            elif MARK in stem or not stem.isprintable():
                unread[images[stem]] = "the name has characters that are not allowed"
            else:
                try:
                    code = parse_code(_read_annotation(annotations[stem]))
                    valence = "" if number % step else _valence(annotations[stem])
                    yield Found(images[stem], code, split, valence)
                except DataError as error:
                    unread[below(root, annotations[stem])] = str(error)


def _valence(annotation: Path) -> str:
    """Of the picture that has this annotation; "" where it cannot be read."""
    stem = annotation.name.removesuffix(_ANNOTATION)
    try:
        return _read_annotation(annotation.with_name(f"{stem}{_VALENCE}"))
    except DataError:
        return ""


def _read_annotation(path: Path) -> str:
    """The one number, or text that is a number, in a file."""
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
            return str(array.reshape(1).astype(str)[0])
    except Exception as error:
        # On damaged files NumPy raises anything from EOFError to a tokenizer's errors.
        reason = str(error) or type(error).__name__
        raise DataError(f"it holds no annotation ({reason[:80]})") from error
