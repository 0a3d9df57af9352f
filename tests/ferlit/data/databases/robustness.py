"""What every reader must stand: damaged files, and names that nobody expects."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from ferlit.data.databases.base import Database
from ferlit.data.records import unread_files
from ferlit.errors import DataError

KINDS = ("random", "empty", "truncated")
# The same examples every time, however busy the machine.
SETTINGS = settings(deadline=None, derandomize=True, max_examples=60)


class Outcome(NamedTuple):
    """What became of a database one file of which was damaged."""

    file: str
    kind: str
    error: str  # "" where the rest was read
    lost: set[str]  # images that were read before and are not now
    unread: dict[str, str]

    @property
    def is_named(self) -> bool:
        return self.file in {name.partition("#")[0] for name in self.unread}


def damage_each(
    database: Database, root: Path, files: Iterable[Path], options: dict[str, Any] | None = None
) -> Iterator[Outcome]:
    """Read the database with each of the files damaged in every way, one at a time."""
    before = set(database.read(root, options)["image"])
    for number, path in enumerate(files):
        content = path.read_bytes()
        rng = np.random.default_rng(number)
        damaged = (rng.bytes(max(64, min(len(content), 4096))), b"", content[: len(content) // 2])
        for kind, data in zip(KINDS, damaged, strict=True):
            path.write_bytes(data)
            try:
                records = database.read(root, options)
            except DataError as error:
                outcome = str(error), before, dict[str, str]()
            else:
                outcome = "", before - set(records["image"]), unread_files(records)
            yield Outcome(path.relative_to(root).as_posix(), kind, *outcome)
        path.write_bytes(content)


def sample(root: Path, pattern: str, most: int = 6) -> list[Path]:
    """Some of the files that match, always the same."""
    files = sorted(path for path in root.rglob(pattern) if path.is_file())
    assert files
    chosen = np.random.default_rng(0).permutation(len(files))[:most]
    return [files[k] for k in sorted(chosen)]


def _usable(name: str) -> bool:
    data = os.fsencode(name)
    return 0 < len(data) < 200 and not set(b"/\0") & set(data) and name not in (".", "..")


# Only Linux takes any bytes; elsewhere names that differ in case or accents may be one file.
_alphabet = None if sys.platform == "linux" else "abc _-.0123456789"
_texts = st.text(_alphabet or st.characters(codec="utf-8"), min_size=1, max_size=30)
_bytes = st.binary(min_size=1, max_size=30).map(os.fsdecode)
file_names = (_texts if _alphabet else _texts | _bytes).filter(_usable)
