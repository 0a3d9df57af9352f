"""Synthetic people in an official CK+ tree, drawn where there is none yet."""

from dataclasses import replace
from pathlib import Path

from ferlit.data.databases.base import Database
from ferlit.data.databases.ckplus import CKPLUS


def _draw(root: Path) -> None:
    from ferlit.data.synthetic import write_ckplus

    write_ckplus(root, progress=True)


SYNTHETIC = replace(
    CKPLUS,
    name="synthetic",
    layout="a CK+ tree of synthetic people; a folder that does not exist is drawn",
    licence="drawn by ferlit; MIT, as ferlit",
    published=(),
    create=_draw,
)


def drawn_like(database: Database) -> Database:
    """Synthetic people in a small tree with the layout of a database, drawn where there is none.

    >>> from ferlit.data.databases import DATABASES
    >>> drawn_like(DATABASES["mmi"]).name
    'synthetic_mmi'
    """
    from ferlit.data.databases.trees import TREES

    name = f"{SYNTHETIC.name}_{database.name}"
    create = TREES.get(database.name, _draw)
    return replace(
        database,
        name=name,
        licence=SYNTHETIC.licence,
        published=(),
        create=lambda root, **_: create(root),
    )
