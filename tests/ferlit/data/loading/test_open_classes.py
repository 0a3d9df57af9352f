"""Databases whose classes are those that a copy holds, trained on by their folder alone."""

from pathlib import Path

import pytest

from ferlit.data import ExpressionDataModule
from ferlit.data.databases import DATABASES
from ferlit.data.databases.trees import TREES
from ferlit.data.store import DESCRIPTION, Description
from ferlit.errors import DataError

OPEN = [name for name, database in DATABASES.items() if not database.classes]


@pytest.mark.parametrize("name", OPEN)
def test_the_store_that_is_made_names_the_classes(name: str, tmp_path: Path) -> None:
    TREES[name](tmp_path / "tree")
    data = ExpressionDataModule(
        database=name, root=tmp_path / "tree", store=tmp_path / "store", landmarks="none"
    )
    classes = data.classes
    said = Description.read(tmp_path / "store" / DESCRIPTION)
    assert tuple(classes) == said.classes
    assert len(classes) > 1
    data.prepare_data()
    data.setup("predict")
    assert data.store.description.fingerprint == said.fingerprint


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    data = ExpressionDataModule(database="folder", root=tmp_path / "none", store=tmp_path / "store")
    with pytest.raises(DataError, match="does not exist"):
        _ = data.classes
