"""Folders that get their name only when they are whole."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ferlit.errors import DataError
from ferlit.locks import owned


@contextmanager
def draft_of(root: Path) -> Iterator[Path]:
    """A draft beside the root, renamed to it at the end; on an error it is removed.

    Args:
        root: A folder that does not exist or is empty.

    Raises:
        DataError: another process made the root meanwhile.
    """
    draft = root.with_name(root.name + ".partial")
    with owned(draft, "drawing people"):
        if root.exists() and any(root.iterdir()):
            raise DataError(f"{root} exists; choose another folder")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(parents=True)
            yield draft
            if root.exists():
                root.rmdir()
            draft.rename(root)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def new_tree(root: Path) -> AbstractContextManager[Path]:
    """The draft of a tree that must not exist yet.

    Raises:
        DataError: ``root`` exists.
    """
    if root.exists():
        raise DataError(f"{root} exists; choose another folder")
    return draft_of(root)
