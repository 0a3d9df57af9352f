"""Reasons why pictures and files are lost, counted by kind, with the first names of each."""

import re
from collections.abc import Mapping

_MOST_NAMES = 3
# Paths, quoted values and numbers in brackets, which differ from image to image.
_PARTICULAR = re.compile(
    r"'[^']*'|\([^()]*\d[^()]*\)|[^\s,;:]+/[^\s,;:]+|[\w.-]+\.[A-Za-z]{3,4}(?:#\d+)?(?=\W|$)"
)


def kind_of(reason: str) -> str:
    """A reason without the names and values of the one image that it is about.

    >>> kind_of("Landmarks/S005/a_landmarks.txt: 67 lines instead of 68")
    '...: 67 lines instead of 68'
    >>> kind_of("the expression '11'; known are 0 neutral"), kind_of("it has 48 x 48.5 pixels")
    ('the expression ...; known are 0 neutral', 'it has 48 x 48.5 pixels')
    """
    return _PARTICULAR.sub("...", reason)


def count_kinds(lost: Mapping[str, str]) -> dict[str, int]:
    """How often each kind of reason is given, the most frequent first."""
    return {kind: len(names) for kind, names in _names_by_kind(lost).items()}


def list_kinds(lost: Mapping[str, str], most: int = 10) -> list[str]:
    """A line for each kind of reason, with the first names.

    >>> list_kinds({"a.png": "the file is empty", "b.png": "the file is empty", "c": "no picture"})
    ['2 x the file is empty (a.png, b.png)', '1 x no picture (c)']
    """
    kinds = _names_by_kind(lost)
    lines = []
    for kind, names in list(kinds.items())[:most]:
        reason = lost[names[0]] if len(names) == 1 else kind
        some = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
        lines.append(f"{len(names)} x {reason} ({some})")
    if len(kinds) > most:
        lines.append(f"and {len(kinds) - most} more reasons")
    return lines


def _names_by_kind(lost: Mapping[str, str]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for name, reason in lost.items():
        kinds.setdefault(kind_of(reason), []).append(name)
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))
