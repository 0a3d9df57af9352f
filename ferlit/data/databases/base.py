"""What a reader of a database is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.databases.counts import Published, check_counts
from ferlit.data.databases.leftovers import left_over
from ferlit.data.faces.landmarks import landmarks_below
from ferlit.data.reasons import list_kinds
from ferlit.data.records import (
    EXPRESSIONS,
    SequenceRule,
    add_unread,
    unread_files,
    validate_records,
)
from ferlit.errors import DataError, UsageError
from ferlit.locks import owned

RESEARCH_ONLY = "research only, not for commercial use; by a signed agreement"
OWN_DATA = "your own data: you know their terms"
_MOST_FOLDERS = 1000  # that are looked into for what lies there instead of a database


@dataclass(frozen=True)
class Option:
    """A choice that the reader of a database leaves to the user.

    Args:
        name: The keyword argument of the reader.
        default: Its default.
        help: One line that says what it does.
        kind: From the text on the command line to the value.
        choices: The values that are known; () for any.
        shapes_targets: Whether it decides about the targets and nothing else that a store holds.
    """

    name: str
    default: Any
    help: str
    kind: Callable[[str], Any] = str
    choices: tuple[Any, ...] = ()
    shapes_targets: bool = False


@dataclass(frozen=True)
class Database:
    """A facial expression database, how it is read, and what the user has chosen about it.

    Args:
        name: Its name on the command line.
        classes: Its expressions, in the order of the network's outputs; () for those that a copy
            holds.
        reader: From the root folder, and the options as keyword arguments, to the record table (see
            `ferlit.data.records`); it raises `DataError` where the folder does not hold this
            database, and lists a single file that it cannot read as unread.
        layout: The expected layout in one line, for error messages.
        licence: On what terms it may be used, in a few words; its agreement decides.
        is_aligned: Whether the images are small aligned faces that need no registration.
        has_identities: Whether the records name the persons.
        read_landmarks: From the root and a name in the record table to the landmarks that come with
            an image; a function that other processes can import.
        sequence_rule: How the images of a sequence vote: "max" or "mean".
        published: The published counts, each for certain values of the options.
        options: What the user may choose.
        values: What the user has chosen, see `with_options`.
        vary: Where options decide about other fields: from the database with the user's values to
            the one whose fields fit them.
        create: Writes the database into a folder that does not exist, where it can be made.
        target_rule: Where several people judged each face, what training does with their
            judgements: "probability", "crossentropy" or "multi_target" (see
            `ferlit.data.databases.ferplus.votes`); "" where it learns the label.
        targets: From the root, the names of images, and the options, to their (n, K) targets.
        unused: Patterns of pictures and videos that belong to the database and are left out by its
            protocol or an option, see `ferlit.data.databases.leftovers`. All others that no record
            takes are unread.
    """

    name: str
    classes: tuple[str, ...]
    reader: Callable[..., pd.DataFrame]
    layout: str
    licence: str = OWN_DATA
    is_aligned: bool = False
    has_identities: bool = True
    read_landmarks: Callable[[Path, str], NDArray[np.float64]] = landmarks_below
    sequence_rule: SequenceRule = "max"
    published: tuple[Published, ...] = ()
    options: tuple[Option, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    vary: Callable[["Database"], "Database"] | None = None
    create: Callable[..., None] | None = None
    target_rule: str = ""
    targets: Callable[..., NDArray[np.float32]] | None = None
    unused: tuple[str, ...] = ()

    def with_options(self, given: Mapping[str, Any] | None) -> "Database":
        """The database with other values of some options.

        Raises:
            UsageError: an option is unknown or has a value that is not among its choices.
        """
        known = {option.name: option for option in self.options}
        for name, value in (given or {}).items():
            if name not in known:
                names = ", ".join(known) or "none"
                raise UsageError(f"{self.name}: unknown option {name!r}; known are {names}")
            choices = known[name].choices
            if choices and value not in choices:
                raise UsageError(
                    f"{self.name}: {name}={value!r}; known are {', '.join(map(str, choices))}"
                )
        database = replace(self, values={**self.values, **(given or {})})
        return self.vary(database) if self.vary else database

    @property
    def defaults(self) -> dict[str, Any]:
        """The values of all options where the user chooses none."""
        return {option.name: option.default for option in self.options}

    @property
    def chosen(self) -> dict[str, Any]:
        """The values of all options."""
        return self.defaults | dict(self.values)

    @property
    def counts(self) -> Published | None:
        """The published counts for the values of the options, where there are some."""
        fitting = (
            each for each in self.published if self.defaults | dict(each.options) == self.chosen
        )
        return next(fitting, None)

    def read(self, root: Path, options: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Read and validate the record table of the copy below ``root``.

        Args:
            root: The folder.
            options: Values for some of the options, see `with_options`.

        Raises:
            DataError: the folder is missing, is not this database or breaks its rules.
            UsageError: an option is unknown or has a value that is not among its choices.
        """
        if options:
            return self.with_options(options).read(root)
        source = f"{self.name} at {root}"
        if not root.exists() and self.create is not None:
            with owned(root, "drawing it"):
                if not root.exists():  # nobody else has by now
                    self.create(root, **self.chosen)
        if not root.is_dir():
            what = "is a file, not a folder" if root.exists() else "does not exist"
            raise DataError(f"{source}: this folder {what}; expected: {self.layout}")
        if not any(root.iterdir()):
            raise DataError(f"{source}: this folder is empty; expected: {self.layout}")
        try:
            records = self.reader(root, **self.chosen)
        except UsageError:
            raise
        except DataError as error:
            lines = list_kinds(left_over(root, (), {}, self.unused, most=_MOST_FOLDERS))
            raise DataError("\n  ".join([str(error), *lines])) from error
        used = [*records["image"], *records["landmarks"]]
        add_unread(records, left_over(root, used, unread_files(records), self.unused))
        records = validate_records(records, self.classes or EXPRESSIONS, source)
        if self.counts is not None:
            check_counts(records, self.counts, self.name)
        return records

    def read_targets(self, root: Path, images: Sequence[str]) -> NDArray[np.float32] | None:
        """(n, K) what several people saw in the images, where training learns that."""
        if self.targets is None or not self.target_rule:
            return None
        return self.targets(root, images, **self.chosen)
