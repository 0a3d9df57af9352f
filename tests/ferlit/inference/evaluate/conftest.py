"""Runs and stores that the tests of this folder share; a test that changes one copies it."""

from pathlib import Path

import pytest

from ferlit.cli import main
from ferlit.data.databases import DATABASES
from ferlit.data.databases.synthetic import drawn_like
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from tests.ferlit.tiny import TINY
from tests.ferlit.training.fits import fit_options


def drawn_store(name: str, folder: Path) -> Store:
    """A small store with the layout of a database, below a folder of its name."""
    database = drawn_like(DATABASES[name])
    return prepare_store(database, folder / "tree", folder / name, progress=False)


@pytest.fixture(scope="session")
def fer(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Seven classes, an official split, no persons, no landmarks."""
    return drawn_store("fer2013", tmp_path_factory.mktemp("fer"))


@pytest.fixture(scope="session")
def mmi(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six classes, persons, recordings that vote by their mean."""
    return drawn_store("mmi", tmp_path_factory.mktemp("mmi"))


@pytest.fixture(scope="session")
def fer_run(fer: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the official split."""
    runs = tmp_path_factory.mktemp("runs")
    options = [
        "fit",
        "--config=fer2013.yaml",
        "--data.database=synthetic_fer2013",
        f"--data.store={fer.folder}",
        "--data.num_workers=0",
        *TINY,
        f"--trainer.logger.save_dir={runs}",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
    ]
    assert main(options) == 0
    return runs / "fer2013" / "version_0"


@pytest.fixture(scope="session")
def ckplus_run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of fold 0 of 4."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(fit_options(store.folder, runs, "--trainer.max_epochs=1")) == 0
    return runs / "ckplus" / "version_0"
