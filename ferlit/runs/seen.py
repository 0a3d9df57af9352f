"""Whether a network has seen those whom it is to be judged by."""

import logging
from collections.abc import Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.store import Store, StoreUnion
from ferlit.data.store.people import is_anybodys
from ferlit.errors import FerlitError
from ferlit.runs.people import Hashes, Split, Training, hash_each

logger = logging.getLogger(__name__)
ALLOW = "allow_seen_people"  # the option that overrides a refusal
# Validation people chose the checkpoint, so a test on them flatters as well.
_SHOWN: dict[str, tuple[str, ...]] = {"val": ("train",), "test": ("train", "val")}
_DONE = {"val": "trained on", "test": "trained or validated on"}


@dataclass(frozen=True)
class Seen:
    """Who of a part of the data a network has seen in its training.

    Args:
        part: "val" or "test".
        of: Labelled images of the part.
        images: Those of them that it has seen, or whose person it has.
        people: The persons among them who have a name.
        unknown: Checkpoints of which nobody can tell whom they have seen.
        copies: Tested images beside them that show, pixel by pixel, a face which the data of its
            training have in several parts: a test of those data has them too.
    """

    part: Literal["val", "test"]
    of: int
    images: int
    people: int
    unknown: tuple[str, ...] = ()
    copies: int = 0

    def __str__(self) -> str:
        people = f" ({self.people} people)" if self.people else ""
        verb = "tested" if self.part == "test" else "validation"
        return f"{self.images} of {self.of} {verb} images{people} were {_DONE[self.part]}"

    def to_dict(self) -> dict[str, Any]:
        """What ``metrics.json`` says of it."""
        said = asdict(self) | {"unknown": list(self.unknown)}
        if not self.copies:  # as earlier versions wrote it
            del said["copies"]
        return said


def count_seen(
    training: Training, data: ExpressionDataModule, part: Literal["val", "test"]
) -> Seen:
    """Count the images of a part whose person, or which themselves, a network has seen.

    An image is known by its name in the same database, and by its pixels in any.

    Args:
        training: Whom it has seen.
        data: After its setup.
        part: The part.
    """
    rows = np.flatnonzero((data.split == part) & (data.labels >= 0))
    return seen_among(training, data.store, rows, part)


def seen_among(
    training: Training,
    store: Store | StoreUnion,
    rows: NDArray[np.int64],
    part: Literal["val", "test"],
) -> Seen:
    """Count those of some labelled faces of a store that a network has seen, see `count_seen`.

    Args:
        training: Whom it has seen.
        store: The store, or several as one.
        rows: Of its record table.
        part: See `which_seen`.
    """
    is_seen = which_seen(training, store, rows, part)
    people = len(set(store.records["identity"].iloc[rows[is_seen]]) - {""})
    faces = store.face_hashes[rows[~is_seen]]
    known = [split.copies for split in training.splits] if part == "test" else []
    copies = int(np.isin(faces, np.concatenate(known)).sum()) if known else 0
    return Seen(part, len(rows), int(is_seen.sum()), people, training.unknown, copies)


def which_seen(
    training: Training,
    store: Store | StoreUnion,
    rows: NDArray[np.int64],
    part: Literal["val", "test"],
) -> NDArray[np.bool_]:
    """Which of some labelled faces of a store a network has seen, see `count_seen`.

    Args:
        training: Whom it has seen.
        store: The store, or several as one.
        rows: Of its record table.
        part: What they are to it: "test" counts whom it was trained or validated on, "val" whom it
            was trained on.
    """
    is_seen = np.zeros(len(rows), dtype=bool)
    here = {member.store.content for member in store.members}
    for member in store.members:
        inside = np.isin(rows, np.arange(member.rows.start, member.rows.stop))
        is_seen[inside] = _is_seen(training, member.store, rows[inside] - member.start, part, here)
    return is_seen


def _is_seen(
    training: Training, store: Store, rows: NDArray[np.int64], part: str, here: Set[str]
) -> NDArray[np.bool_]:
    """Which faces of a store a network has seen.

    Args:
        training: Whom it has seen.
        store: The store.
        rows: Of its record table.
        part: See `which_seen`.
        here: What is in all stores that are taken as one with it. A person of another of them, of
            a kind whose names tell nothing, is somebody else.
    """
    database = store.description.database
    records = store.records.iloc[rows]
    persons, images = (hash_each(records[name].tolist()) for name in ("identity", "image"))
    is_named = (records["identity"] != "").to_numpy(bool)
    is_seen = np.zeros(len(rows), dtype=bool)
    faces = store.face_hashes[rows]
    for split in (each for whole in training.splits for each in whole.parts):
        is_seen |= _is_among(faces, split.faces, part)
        is_other = split.content != store.content and split.content in here
        if not split.shows_people_of(database) or (is_other and is_anybodys(database)):
            continue
        is_seen |= is_named & _is_among(persons, split.persons, part)
        if split.database == database:
            is_seen |= _is_among(images, split.images, part)
    return is_seen


def check_evaluation(
    checkpoint: Path,
    training: Training,
    data: ExpressionDataModule,
    part: Literal["val", "test"],
    *,
    allow: bool = False,
) -> Seen:
    """See that nobody whom a checkpoint is judged by was in its training.

    Args:
        checkpoint: The file, for the message.
        training: Whom it has seen.
        data: After its setup.
        part: "test", or "val": nobody of its training people.
        allow: Only warn.

    Raises:
        FerlitError: some were.
    """
    here, seen = Split.of(data), count_seen(training, data, part)
    warn_of_unknown(checkpoint, seen)
    if not seen.images:
        return seen
    own = training.splits[0]
    before = Training(training.splits[1:])
    if own.of_one(here).is_same(here) and not count_seen(before, data, part).images:
        logger.warning(
            "%s: %s: %s itself has them in several parts", checkpoint, seen, data.source_name
        )
        return seen
    is_moved = own.database == here.database and own.title != here.title
    reason = (
        f"{checkpoint} was trained in {own.title}, and the data are those of {here.title}: {seen}"
        if is_moved
        else f"{checkpoint}: {seen} ({why(own, here)})"
    )
    remedy = f"give {own.options}" if is_moved else "give the data of its training"
    refuse(f"{reason}; {remedy}", allow=allow)
    return seen


def check_resume(
    checkpoint: Path, training: Training, data: ExpressionDataModule, *, allow: bool = False
) -> None:
    """See that a fit goes on with the split, and the store, that it was begun with.

    Args:
        checkpoint: What it goes on from, for the message.
        training: Whom it has seen.
        data: After its setup.
        allow: Only warn.

    Raises:
        FerlitError: the split is another one, or faces, labels or persons are.
    """
    if not training.splits:
        logger.warning(
            "%s does not say which people it was trained on (it is of an earlier version), so it "
            "cannot be checked that the split is the same",
            checkpoint,
        )
        return
    own, here = training.splits[0], Split.of(data)
    if own.is_same(here) and own.holds_the_same_data_as(here):
        return
    seen = count_seen(training, data, "test")
    counts = f": {seen}" if seen.images else ""
    if own.database == here.database and own.title != here.title:
        text = (
            f"{checkpoint} was trained in {own.title}, and the data are those of {here.title}"
            f"{counts}; give {own.options}"
        )
    else:
        what = "other data" if own.is_same(here) else "another split"
        text = (
            f"{checkpoint} was trained with {what} ({why(own, here)}){counts}; give the "
            f"data of its training, or start a new run from its weights: --model.init_from "
            f"{checkpoint}"
        )
    refuse(text, allow=allow)


def check_start(
    checkpoint: Path, training: Training, data: ExpressionDataModule, *, allow: bool = False
) -> Seen:
    """See that the weights that a fit starts from have not seen whom it will be judged by.

    Args:
        checkpoint: What ``--model.init_from`` names.
        training: Whom it has seen.
        data: After its setup.
        allow: Only warn.

    Returns:
        Who of the test part it has seen.

    Raises:
        FerlitError: it has seen people of the test or, in its training, of the validation part.
    """
    tested, validated = (count_seen(training, data, part) for part in ("test", "val"))
    warn_of_unknown(checkpoint, tested)
    found = [str(seen) for seen in (tested, validated) if seen.images]
    if found:
        refuse(
            f"--model.init_from {checkpoint}: in its training, {' and '.join(found)}; start from "
            "weights of other people, or of the same split",
            allow=allow,
        )
    return tested


def _is_among(names: Hashes, parts: Any, part: str) -> NDArray[np.bool_]:
    shown = [parts[name] for name in _SHOWN[part] if name in parts]
    return np.isin(names, np.concatenate(shown)) if shown else np.zeros(len(names), bool)


def why(own: Split, here: Split) -> str:
    """How the data differ from those of a training, where it has seen some of them."""
    if own.of_one(here) is not own:
        return f"it was trained in {own.title} of {own.database}, and this store is one of them"
    if own.database != here.database:
        return f"it was trained on {own.database}, which shares people or pictures with them"
    if own.fingerprint != here.fingerprint:
        return f"{own.title}, of a store that was made from other files or in another way"
    if own.is_same(here):
        return "of the same files, but faces, labels or persons of the store were changed since"
    return f"{own.title} of the same store, whose identities were changed since"


def warn_of_unknown(checkpoint: Path, seen: Seen, place: str | None = None) -> None:
    """Warn of those checkpoints of which nobody can tell whom they have seen.

    Args:
        checkpoint: What is judged.
        seen: Names them.
        place: Whose faces judge it; None for those of the part.
    """
    part = "the test part" if seen.part == "test" else "the validation part"
    for name in seen.unknown:
        which = "it" if name == str(checkpoint) else f"{name}, which it began with,"
        logger.warning(
            "%s: whom %s was trained on is not known (an earlier version, or another program, made "
            "it), so it cannot be checked that they are other people than those of %s",
            checkpoint,
            which,
            place or part,
        )


def refuse(text: str, *, allow: bool) -> None:
    """Raise FerlitError, which tells how to go on all the same; or only warn."""
    if not allow:
        raise FerlitError(
            f"{text}, or --{ALLOW} true to go on all the same, which the results will say"
        )
    logger.warning("%s (--%s true: going on)", text, ALLOW)
