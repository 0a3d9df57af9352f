from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ferlit.data.databases import DATABASES
from ferlit.data.databases.trees.ferplus import write_ferplus
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from ferlit.data.store.manifest import write_manifest
from ferlit.errors import DataError


def test_a_store_of_ferplus_with_the_labels_of_other_faces_is_refused(tmp_path: Path) -> None:
    write_ferplus(tmp_path / "tree")
    folder = tmp_path / "store"
    prepare_store(DATABASES["ferplus"], tmp_path / "tree", folder, progress=False)
    assert len(Store.open(folder).faces) == 36
    records = pd.read_csv(folder / "records.csv", keep_default_na=False)
    # What an earlier version read: rows 59, 170 ... are no faces in the published table.
    images = [f"fer2013.csv#{row}" for row in range(2_200)]
    old = pd.concat([records.iloc[:1]] * len(images)).assign(image=images)
    old.to_csv(folder / "records.csv", index=False)
    np.save(folder / "faces.npy", np.zeros((len(images), 60, 60), np.uint8))
    write_manifest(folder)
    with pytest.raises(DataError, match="gave most faces the labels of others; prepare it again"):
        Store.open(folder)
