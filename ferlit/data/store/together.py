"""What several stores are together, where they fit together."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ferlit.data.records import EXPRESSIONS, SequenceRule, check_classes, meaning
from ferlit.data.store.description import Description
from ferlit.data.store.store import Store
from ferlit.errors import DataError

logger = logging.getLogger(__name__)
_said: set[str] = set()  # stores are opened several times


def digest(parts: Sequence[str]) -> str:
    """One checksum of several, in their order."""
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()


def describe(stores: Sequence[Store], landmarks: str = "auto") -> Description:
    """What several stores are together.

    Args:
        stores: At least two.
        landmarks: See `StoreUnion.of`.

    Raises:
        DataError: a store has no class in common with the others; their targets mean different
            things; or they were registered by different landmarks and nobody says by which the
            trained network's pictures are.
    """
    each = [store.description for store in stores]
    names = store_names(stores)
    dropped: dict[str, str] = {}
    several: dict[str, int] = {}
    unread: dict[str, str] = {}
    for name, one in zip(names, each, strict=True):
        dropped |= {f"{name}/{image}": reason for image, reason in one.dropped.items()}
        several |= {f"{name}/{image}": count for image, count in one.several.items()}
        unread |= {f"{name}/{image}": reason for image, reason in one.unread.items()}
    return Description(
        database="+".join(one.database for one in each),
        classes=_classes(stores),
        sequence_rule=_sequence_rule(stores, names),
        landmarks=_landmarks(stores, landmarks),
        fingerprint=digest([one.fingerprint for one in each]),
        found=sum(one.found for one in each),
        dropped=dropped,
        target_rule=_target_rule(stores),
        unread=unread,
        several=several,
    )


def store_names(stores: Sequence[Store]) -> tuple[str, ...]:
    """What each of several stores is called: its database, with a number where others are alike.

    Not by their folders, which may be moved: what a run says of them stays true.
    """
    databases = [store.description.database for store in stores]
    counts, numbers = Counter(databases), Counter[str]()
    names: list[str] = []
    for database in databases:
        name = database
        while counts[database] > 1 and (name in databases or name in names):
            numbers[database] += 1
            name = f"{database}_{numbers[database]}"
        names.append(name)
    return tuple(names)


def _classes(stores: Sequence[Store]) -> tuple[str, ...]:
    """Those of all, in the canonical order, then others."""
    for store in stores:
        own = set(store.description.classes)
        others = {
            name for other in stores if other is not store for name in other.description.classes
        }
        if not own & others:
            raise DataError(
                f"{store.folder}: its classes are {', '.join(store.description.classes)}, and the "
                f"other stores have {', '.join(sorted(others))}: none in common, so one network "
                "cannot learn both; classes are the same where their names are"
            )
    found = dict.fromkeys(name for store in stores for name in store.description.classes)
    check_classes(list(found), ", ".join(str(store.folder) for store in stores), several=True)
    names: dict[str, str] = {}
    for name in found:
        first = names.setdefault(meaning(name), name)
        if first != name:
            raise DataError(
                f"{_having(first, stores)} has the class {first!r} and {_having(name, stores)} "
                f"{name!r}, which are one expression, and would be learnt as two: give both one "
                "name and prepare one of the stores again"
            )
    known = [name for name in EXPRESSIONS if name in found]
    return (*known, *(name for name in found if name not in EXPRESSIONS))


def _having(label: str, stores: Sequence[Store]) -> Path:
    """The first store that has a class."""
    return next(store.folder for store in stores if label in store.description.classes)


def _sequence_rule(stores: Sequence[Store], names: Sequence[str]) -> SequenceRule:
    """That of the first store with recordings; of stills it does not matter."""
    rules: dict[SequenceRule, list[str]] = {}
    for store, name in zip(stores, names, strict=True):
        if (store.records["sequence"] != "").any():
            rules.setdefault(store.description.sequence_rule, []).append(name)
    if not rules:
        return stores[0].description.sequence_rule
    first, *others = rules
    if others:
        here, there = ", ".join(rules[first]), ", ".join(rules[others[0]])
        warn(
            f"the images of a sequence vote by {first} in {here} and by {others[0]} in {there}: "
            f"here all vote by {first}, so the accuracies by sequence of {there} do not compare "
            "with those of its store alone"
        )
    return first


def _landmarks(stores: Sequence[Store], asked: str) -> str:
    found: dict[str, list[str]] = {}
    for store in stores:
        found.setdefault(store.description.landmarks, []).append(str(store.folder))
    if asked != "auto" and asked not in found:
        raise DataError(
            f"--data.landmarks {asked}: the stores have faces with landmarks of "
            f"{', '.join(found)}: leave it out, or prepare other stores"
        )
    said = "; ".join(f"{landmarks}: {', '.join(places)}" for landmarks, places in found.items())
    if len(found) > 1 and asked == "auto":
        raise DataError(
            "the stores were prepared in different ways, by landmarks of "
            f"{said}. Prepare them alike; or, to train on both, say by which the pictures are "
            f"registered that the trained network will see, --data.landmarks {next(iter(found))}"
        )
    if len(found) > 1:
        warn(
            f"the stores were prepared in different ways, by landmarks of {said}; the trained "
            f"network is for pictures that are registered by {asked}"
        )
    return next(iter(found)) if asked == "auto" else asked


def _target_rule(stores: Sequence[Store]) -> str:
    rules: dict[str, Path] = {}
    for store in stores:
        rules.setdefault(store.description.target_rule, store.folder)
    soft = [rule for rule in rules if rule]
    if len(soft) > 1 or ("multi_target" in rules and "" in rules):
        said = "; ".join(f"{rule or 'one label a face'}: {rules[rule]}" for rule in rules)
        raise DataError(
            f"the stores want to be learnt in different ways ({said}), and one loss cannot do "
            "both: prepare the one with votes again, with --votes crossentropy or probability, "
            "beside which a single label counts whole, or majority"
        )
    return soft[0] if soft else ""


def warn(message: str) -> None:
    """Say something of several stores, once a process."""
    if message not in _said:
        _said.add(message)
        logger.warning(message)
