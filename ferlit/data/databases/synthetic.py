"""Synthetic people in an official CK+ tree, drawn where there is none yet."""

from dataclasses import replace
from pathlib import Path

from ferlit.data.databases.ckplus import CKPLUS, read_ckplus


def _draw(root: Path) -> None:
    from ferlit.data.synthetic import write_ckplus

    write_ckplus(root, progress=True)


SYNTHETIC = replace(
    CKPLUS,
    name="synthetic",
    reader=read_ckplus,
    layout="a CK+ tree of synthetic people; a folder that does not exist is drawn",
    published=None,
    create=_draw,
)
