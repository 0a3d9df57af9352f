from pathlib import Path

import pytest

from ferlit.data.databases import DATABASES
from ferlit.data.faces.detection.models import cache_folder, model_files
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from ferlit.data.synthetic import write_ckplus
from ferlit.errors import DataError


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


@pytest.fixture(scope="session")
def landmark_models() -> Path:
    """Where an earlier use of mediapipe's models left them; tests fetch nothing."""
    try:
        return model_files(cache_folder())[0].parent
    except DataError as error:
        reason = str(error).partition(";")[0]
        pytest.skip(f"needs the landmark models, which their first use fetches: {reason}")
