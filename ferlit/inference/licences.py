"""On what terms the databases may be used; a network trained on them inherits the question."""

from collections.abc import Sequence

from ferlit.data.databases import DATABASES
from ferlit.data.databases.base import OWN_DATA
from ferlit.data.databases.synthetic import SYNTHETIC


def licence_of(database: str) -> str:
    """The terms of a database, in a few words; its agreement decides.

    >>> licence_of("jaffe")
    'research only, not for commercial use'
    >>> licence_of("synthetic_jaffe")
    'drawn by ferlit; MIT, as ferlit'
    """
    if database.startswith(f"{SYNTHETIC.name}_"):  # in the layout of another one
        return SYNTHETIC.licence
    return DATABASES[database].licence if database in DATABASES else OWN_DATA


def licence_note(databases: Sequence[str]) -> str:
    """One line for a file's metadata.

    >>> licence_note(["synthetic"])
    'trained on synthetic (drawn by ferlit; MIT, as ferlit)'
    """
    if not databases:
        return "trained on data that are not known here; their terms hold for the network too"
    return "trained on " + ", ".join(f"{name} ({licence_of(name)})" for name in databases)
