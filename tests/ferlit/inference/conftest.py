from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ferlit.cli import main
from ferlit.data.databases import DATABASES
from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.preparation import prepare_store
from ferlit.data.records import SequenceRule
from ferlit.data.store import Store
from tests.ferlit.training.fits import fit_options


class Trained(NamedTuple):
    """A short run on faces that mediapipe's models found."""

    tree: Path  # the database's folder
    store: Store
    run: Path
    checkpoint: Path


class Brightness:
    """Tells bright lower halves of a face from dark ones: what it says can be worked by hand."""

    classes = ("anger", "happiness")
    sequence_rule: SequenceRule = "max"
    preprocessing = Preprocessing()

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        lower = torch.from_numpy(faces[:, 0, 24:].mean(axis=(1, 2)))
        return torch.stack([-lower, lower], dim=1).softmax(1).numpy()


@pytest.fixture(scope="session")
def trained(tree: Path, landmark_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    store = prepare_store(
        DATABASES["ckplus"],
        tree,
        folder / "store",
        landmarks="mediapipe",
        landmark_models=landmark_models,
        progress=False,
    )
    assert main(fit_options(store.folder, folder / "runs", "--trainer.max_epochs=1")) == 0
    run = folder / "runs" / "ckplus" / "version_0"
    return Trained(tree, store, run, run / "checkpoints" / "best.ckpt")
