"""What a reader of a database is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.databases.counts import Published, check_counts
from ferlit.data.databases.leftovers import left_over
from ferlit.data.reasons import list_kinds
from ferlit.data.records import EXPRESSIONS, add_unread, unread_files, validate_records
from ferlit.errors import DataError, UsageError
from ferlit.locks import owned

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
    """

    name: str
    default: Any
    help: str
    kind: Callable[[str], Any] = str
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Database:
    """A facial expression database and how it is read.

    Args:
        name: Its name on the command line.
        classes: Its expressions, in the order of the network's outputs; () for those that a copy
            holds.
        reader: From the root folder, and the options as keyword arguments, to the record table (see
            `ferlit.data.records`); it raises `DataError` where the folder does not hold this
            database, and lists a single file that it cannot read as unread.
        layout: The expected layout in one line, for error messages.
        is_aligned: Whether the images are small aligned faces that need no registration; where an
            option decides, a function of the options.
        has_identities: Whether the records name the persons.
        sequence_rule: How the images of a sequence vote: "max" or "mean".
        published: The published counts with the options at their defaults, where there are some;
            or a function from the options to them.
        options: What the user may choose.
        create: Writes the database into a folder that does not exist, where it can be made.
        target_rule: Where several people judged each face: from the options to what training does
            with their judgements, "probability", "crossentropy" or "multi_target" (see
            `ferlit.data.databases.ferplus.votes`); "" where it learns the labels.
        unused: Patterns of pictures and videos that belong to the database and are left out by its
            protocol or an option, see `ferlit.data.databases.leftovers`; a function of the options
            where one decides. All others that no record takes are unread.
        targets: From the root, the names of images, and the options, to their (n, K) targets.
    """

    name: str
    classes: tuple[str, ...]
    reader: Callable[..., pd.DataFrame]
    layout: str
    is_aligned: bool | Callable[[Mapping[str, Any]], bool] = False
    has_identities: bool = True
    sequence_rule: Literal["max", "mean"] = "max"
    published: Published | Callable[[Mapping[str, Any]], Published] | None = None
    options: tuple[Option, ...] = ()
    create: Callable[..., None] | None = None
    unused: tuple[str, ...] | Callable[[Mapping[str, Any]], tuple[str, ...]] = ()
    target_rule: Callable[[Mapping[str, Any]], str] | None = None
    targets: Callable[..., NDArray[np.float32]] | None = None

    def read(self, root: Path, options: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Read and validate the record table of the copy below ``root``.

        Args:
            root: The folder.
            options: Values for some of the options.

        Raises:
            DataError: the folder is missing, is not this database, breaks its rules, or an option
                is unknown or has a value that is not among its choices.
        """
        source = f"{self.name} at {root}"
        chosen = self.chosen(options or {})
        if not root.exists() and self.create is not None:
            with owned(root, "drawing it"):
                if not root.exists():  # nobody else has by now
                    self.create(root, **chosen)
        if not root.is_dir():
            what = "is a file, not a folder" if root.exists() else "does not exist"
            raise DataError(f"{source}: this folder {what}; expected: {self.layout}")
        if not any(root.iterdir()):
            raise DataError(f"{source}: this folder is empty; expected: {self.layout}")
        unused = self.unused(chosen) if callable(self.unused) else self.unused
        try:
            records = self.reader(root, **chosen)
        except UsageError:
            raise
        except DataError as error:
            lines = list_kinds(left_over(root, (), {}, unused, most=_MOST_FOLDERS))
            raise DataError("\n  ".join([str(error), *lines])) from error
        used = [*records["image"], *records["landmarks"]]
        add_unread(records, left_over(root, used, unread_files(records), unused))
        records = validate_records(records, self.classes or EXPRESSIONS, source)
        published = self._published(chosen)
        if published is not None:
            check_counts(records, published, self.name)
        return records

    def needs_registration(self, options: Mapping[str, Any] | None = None) -> bool:
        """Whether the faces must be found and registered."""
        if callable(self.is_aligned):
            return not self.is_aligned(self.chosen(options or {}))
        return not self.is_aligned

    def rule_of_targets(self, options: Mapping[str, Any] | None = None) -> str:
        """What training does with the judgements of several people; "" where it learns labels."""
        return self.target_rule(self.chosen(options or {})) if self.target_rule else ""

    def read_targets(
        self, root: Path, images: Sequence[str], options: Mapping[str, Any] | None = None
    ) -> NDArray[np.float32] | None:
        """(n, K) what several people saw in the images, where training learns that."""
        if self.targets is None or not self.rule_of_targets(options):
            return None
        return self.targets(root, images, **self.chosen(options or {}))

    def _published(self, chosen: Mapping[str, Any]) -> Published | None:
        if callable(self.published):
            return self.published(chosen)
        is_usual = all(chosen[option.name] == option.default for option in self.options)
        return self.published if is_usual else None

    def chosen(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values of all options, the defaults where none is given.

        Raises:
            DataError: an option is unknown or has a value that is not among its choices.
        """
        known = {option.name: option for option in self.options}
        for name, value in given.items():
            if name not in known:
                names = ", ".join(known) or "none"
                raise UsageError(f"{self.name}: unknown option {name!r}; known are {names}")
            choices = known[name].choices
            if choices and value not in choices:
                raise UsageError(
                    f"{self.name}: {name}={value!r}; known are {', '.join(map(str, choices))}"
                )
        return {name: given.get(name, option.default) for name, option in known.items()}
