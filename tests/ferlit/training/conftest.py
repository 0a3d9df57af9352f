"""Finished runs that the tests of this folder share; a test that changes one copies it."""

import shutil
from pathlib import Path

import pytest

from ferlit.cli import main
from ferlit.data.store import Store
from tests.ferlit.training.fits import fit_options


@pytest.fixture(scope="session")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs, fold 0 of 4, system 2b_nm."""
    runs = tmp_path_factory.mktemp("finished")
    assert main(fit_options(store.folder, runs, "--trainer.max_epochs=2")) == 0
    return runs / "ckplus" / "version_0"


@pytest.fixture
def run_copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, without what other tests have evaluated."""
    copy = tmp_path / "runs" / "ckplus" / "version_0"
    return Path(shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("evaluations")))
