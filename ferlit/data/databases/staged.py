"""Synthetic people in the layouts of FER2013 and Multi-PIE, for the stages before the last one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ferlit.data.databases.fer2013 import FER2013
from ferlit.data.databases.multipie import MULTIPIE
from ferlit.data.databases.synthetic import SYNTHETIC


def _draw_fer2013(root: Path, **_: Any) -> None:
    from ferlit.data.databases.trees.staged import write_many_fer2013

    write_many_fer2013(root)


def _draw_multipie(root: Path, **_: Any) -> None:
    from ferlit.data.databases.trees.staged import write_many_multipie

    write_many_multipie(root)


# By name. Each is drawn where its folder does not exist, with more people than the trees of
# ``ferlit prepare --database synthetic --like``.
STAGED = {
    database.name: database
    for database in (
        replace(
            FER2013,
            name="synthetic_fer2013",
            licence=SYNTHETIC.licence,
            published=(),
            create=_draw_fer2013,
        ),
        replace(
            MULTIPIE,
            name="synthetic_multipie",
            licence=SYNTHETIC.licence,
            published=(),
            create=_draw_multipie,
            is_aligned=True,
        ),
    )
}
