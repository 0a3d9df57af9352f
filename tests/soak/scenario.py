"""What is stopped again and again: a command, and what it must give."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Results = dict[str, str]  # name -> text, or the hash of a file


@dataclass(frozen=True)
class Scenario:
    """A command that may be stopped at any moment and started again.

    Args:
        name: For people.
        command: From the folder that it writes into to what follows ``ferlit``, to start it or to
            go on, whichever is due.
        results: From that folder, after the end, to what must be as in an undisturbed run.
        busy: What a start says that another process, left over from before, is still at it; the
            start is then tried again.
        stopped: From that folder, after each stop, to what is wrong with what is there; "" for
            nothing.
    """

    name: str
    command: Callable[[Path], list[str]]
    results: Callable[[Path], Results]
    busy: str = "is still running there"
    stopped: Callable[[Path], str] = lambda _: ""


def hash_of(path: Path) -> str:
    """A short hash of a file; "missing" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "missing"


def differences(one: Results, other: Results) -> list[str]:
    """The names of what differs."""
    return [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
