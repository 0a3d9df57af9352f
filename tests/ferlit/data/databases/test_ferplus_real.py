"""The published FER+ in both of its forms: the same label for the same pixels."""

import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ferlit.data.databases.ferplus import FERPLUS
from ferlit.data.media.images import read_image
from ferlit.data.records import unread_files
from ferlit.data.texts import csv_rows
from tests.ferlit.data.databases.real_faces import real_ferplus

# What the authors' rules keep of training, validation and test.
KEPT = {
    "majority": (25_060, 3_199, 3_153),
    "probability": (27_956, 3_505, 3_505),
    "crossentropy": (27_956, 3_505, 3_505),
    "multi_target": (27_671, 3_472, 3_472),
}
PARTS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
# Names that two rows of the published table have; the votes on the last of them differ.
TWICE, DIFFERENT = {"fer0006953.png", "fer0008403.png", "fer0011785.png"}, "fer0033120.png"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_ferplus(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def folders(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the authors' ``generate_training_data.py`` makes: it walks both tables together."""
    root = tmp_path_factory.mktemp("folders")
    lines = defaultdict(list)
    for part in PARTS.values():
        (root / part).mkdir()
    with (tables / "fer2013new.csv").open(newline="") as votes:
        rows = csv.reader(votes)
        next(rows)
        pictures = csv_rows(tables / "fer2013.csv", ("pixels",))
        for (usage, name, *counts), (pixels,) in zip(rows, pictures, strict=True):
            if name:
                face = np.array(pixels.split(), dtype=np.uint8).reshape(48, 48)
                cv2.imwrite(str(root / PARTS[usage] / name), face)
                lines[PARTS[usage]].append(f'{name},"(0, 0, 48, 48)",{",".join(counts)}\n')
    for part, text in lines.items():
        (root / part / "label.csv").write_text("".join(text))
    return root


@pytest.mark.parametrize("rule", KEPT)
def test_the_tables_give_the_published_counts(rule: str, tables: Path) -> None:
    records = FERPLUS.read(tables, {"votes": rule})
    counts = records["split"].value_counts()
    assert (counts["train"], counts["val"], counts["test"]) == KEPT[rule]
    assert unread_files(records) == {}


def test_both_forms_give_the_same_label_for_the_same_pixels(tables: Path, folders: Path) -> None:
    by_row, by_name = FERPLUS.read(tables), FERPLUS.read(folders)
    names = pd.read_csv(tables / "fer2013new.csv", dtype=str)["Image name"]
    rows = by_row["image"].str.removeprefix("fer2013.csv#").astype(int)
    by_row = by_row.assign(name=names.iloc[rows].to_numpy())
    by_name = by_name.assign(name=by_name["image"].map(lambda image: Path(image).name))
    both = by_row.drop_duplicates("name").merge(by_name, on="name", how="outer", indicator=True)
    assert set(both.loc[both["_merge"] != "both", "name"]) <= {DIFFERENT}
    both = both[both["_merge"] == "both"]
    assert len(both) > 31_400
    assert (both["expression_x"] == both["expression_y"]).all()
    assert (both["split_x"] == both["split_y"]).all()
    for pair in both.iloc[::29].itertuples():
        left, right = read_image(tables, pair.image_x), read_image(folders, pair.image_y)
        np.testing.assert_array_equal(left, right)
    assert {Path(name).name for name in unread_files(by_name)} & TWICE == set()
    assert len(unread_files(by_name)) == len(TWICE) + 1
