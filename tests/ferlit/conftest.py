from pathlib import Path

import pytest

from ferlit.data.databases import DATABASES
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from ferlit.data.synthetic import write_ckplus


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small official CK+ tree: 8 people, 6 labelled expressions each."""
    root = tmp_path_factory.mktemp("ckplus") / "tree"
    write_ckplus(root, subjects=8, seed=0, expressions_per_subject=6, frames=4)
    return root


@pytest.fixture(scope="session")
def store(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    output = tmp_path_factory.mktemp("stores") / "ckplus"
    return prepare_store(DATABASES["ckplus"], tree, output, progress=False)
