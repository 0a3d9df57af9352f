"""Where the official FER2013 and the votes of FER+ are, for the tests that need them."""

import lzma
import os
import shutil
from pathlib import Path

import pytest

REASON = (
    "the official fer2013.csv (or fer2013.csv.xz) and fer2013new.csv are neither in the folder "
    "that FERLIT_FER2013 names nor in ../shared/data beside the repository"
)
_BESIDE = Path(__file__).resolve().parents[4].parent / "shared" / "data"


def real_ferplus(folder: Path) -> Path:
    """A folder with ``fer2013.csv`` and ``fer2013new.csv``; the test is skipped without them.

    Args:
        folder: Where what is compressed is unpacked.
    """
    given = os.environ.get("FERLIT_FER2013")
    source = Path(given) if given else _BESIDE
    packed = source / "fer2013.csv.xz"
    has_pictures = (source / "fer2013.csv").is_file() or packed.is_file()
    if not has_pictures or not (source / "fer2013new.csv").is_file():
        pytest.skip(REASON)
    if (source / "fer2013.csv").is_file():
        return source
    with lzma.open(packed) as compressed, (folder / "fer2013.csv").open("wb") as plain:
        shutil.copyfileobj(compressed, plain, 2**20)
    shutil.copy(source / "fer2013new.csv", folder)
    return folder
