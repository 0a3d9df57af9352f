"""Stores that are like others, but for something."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferlit.data.store import DESCRIPTION, FACES, RECORDS, Store
from ferlit.data.store.manifest import block_checksums, write_manifest


def changed(
    store: Store, folder: Path, said: Mapping[str, Any] = {}, pixels: int = 1, **columns: Any
) -> Path:
    """A copy.

    Args:
        store: The original.
        folder: The copy.
        said: What its description says otherwise.
        pixels: Bits of each pixel that are turned; 0 for the same faces.
        **columns: Other columns of the records.
    """
    shutil.copytree(store.folder, folder)
    records = pd.read_csv(folder / RECORDS, dtype=str, keep_default_na=False)
    records.assign(**columns).to_csv(folder / RECORDS, index=False)
    np.save(folder / FACES, np.asarray(store.faces) ^ np.uint8(pixels))
    description = json.loads((folder / DESCRIPTION).read_text())
    description |= {"blocks": block_checksums(folder / FACES), **said}
    (folder / DESCRIPTION).write_text(json.dumps(description))
    write_manifest(folder)
    return folder
