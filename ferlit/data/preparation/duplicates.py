"""Faces that a store has more than once, where their records contradict each other.

Databases gathered from the web, FER2013 above all, hold pictures twice: in two splits, so that a
network is tested on what it was trained on, or with two labels, one of which is wrong.
"""

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def warn_of_duplicates(records: pd.DataFrame, faces: NDArray[np.uint8]) -> list[str]:
    """Warn of equal faces in several splits, or with several expressions or identities.

    Args:
        records: The n records of the faces.
        faces: (n, H, W)

    Returns:
        What was warned of.

    >>> from ferlit.data.records import record_table
    >>> rows = [{"image": f"{split}.png", "split": split} for split in ("train", "test")]
    >>> warn_of_duplicates(record_table(rows), np.arange(2, dtype=np.uint8).repeat(9).reshape(2, 9))
    []
    >>> pair = np.tile(np.arange(9, dtype=np.uint8), (2, 1))
    >>> warn_of_duplicates(record_table(rows), pair)
    ['1 faces of val and test are in train too, pixel by pixel, such as test.png and train.png']
    """
    # A plain face is no evidence: many pictures may have nothing on them.
    keys = [hash(face.tobytes()) if face.min() < face.max() else None for face in faces]
    table = records.assign(key=pd.Series(keys, index=records.index, dtype=object))
    table = table[table["key"].notna() & table["key"].duplicated(keep=False)]
    messages = []
    trained = table[table["split"] == "train"].drop_duplicates("key").set_index("key")["image"]
    others = table[table["split"].isin(("val", "test")) & table["key"].isin(trained.index)]
    if not others.empty:
        first = others.iloc[0]
        messages.append(
            f"{len(others):,} faces of val and test are in train too, pixel by pixel, such as "
            f"{first['image']} and {trained[first['key']]}"
        )
    for column in ("expression", "identity"):
        told = table[table[column] != ""]
        several = told.groupby("key", sort=False)[column].nunique()
        mixed = told[told["key"].isin(several.index[several > 1])]
        if not mixed.empty:
            first = mixed[mixed["key"] == mixed.iloc[0]["key"]].drop_duplicates(column)
            pair = " and ".join(
                f"{row.image} ({getattr(row, column)})" for row in first.itertuples()
            )
            messages.append(
                f"{len(mixed):,} faces are there again with another {column}, pixel by pixel, such "
                f"as {pair}"
            )
    for message in messages:
        logger.warning(message)
    return messages
