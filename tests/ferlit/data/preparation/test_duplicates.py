import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferlit.data.databases import DATABASES
from ferlit.data.databases.trees.fer2013 import write_fer2013
from ferlit.data.preparation import prepare_store
from ferlit.data.preparation.duplicates import warn_of_duplicates
from ferlit.data.records import record_table

RNG = np.random.default_rng(0)
ONE, OTHER = RNG.integers(0, 256, (2, 6, 6), dtype=np.uint8)
PLAIN = np.zeros((6, 6), np.uint8)


def row(
    image: str, split: str = "", expression: str = "fear", identity: str = ""
) -> dict[str, str]:
    return {"image": image, "split": split, "expression": expression, "identity": identity}


def test_frames_of_one_person_and_plain_pictures_may_be_equal() -> None:
    rows = [row("a", "train", identity="S1"), row("b", "train", identity="S1")]
    rows += [row("c", "train", "anger"), row("d", "test", "sadness"), row("e", "test")]
    assert warn_of_duplicates(record_table(rows), np.stack([ONE, ONE, PLAIN, PLAIN, OTHER])) == []


def test_each_contradiction_is_told(caplog: pytest.LogCaptureFixture) -> None:
    rows = [row("a", "train", identity="S1"), row("b", "val"), row("c", "test", "anger")]
    rows += [row("d", "val", identity="S1"), row("e", "test", identity="S2")]
    messages = warn_of_duplicates(record_table(rows), np.stack([ONE, ONE, ONE, OTHER, OTHER]))
    assert messages == [
        "2 faces of val and test are in train too, pixel by pixel, such as b and a",
        "3 faces are there again with another expression, pixel by pixel, such as a (fear) and "
        "c (anger)",
        "2 faces are there again with another identity, pixel by pixel, such as d (S1) and e (S2)",
    ]
    assert [record.message for record in caplog.records] == messages


@pytest.mark.parametrize("form", ["fer2013.csv", "folders"])
def test_a_preparation_reports_the_face_of_fer2013_that_is_in_two_splits(
    form: str, tmp_path: Path
) -> None:
    write_fer2013(tmp_path / "tree", form=form)
    prepare_store(DATABASES["fer2013"], tmp_path / "tree", tmp_path / "store", progress=False)
    warnings = json.loads((tmp_path / "store" / "report.json").read_text())["warnings"]
    (message,) = [text for text in warnings if "pixel by pixel" in text]
    assert message.startswith("1 faces of val and test are in train too, pixel by pixel, such as ")


def test_a_preparation_reports_pictures_of_ones_own_with_two_labels(tmp_path: Path) -> None:
    for name in ("sad/S1.png", "happy/S1.png"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True)
        Image.fromarray(np.tile(ONE, (10, 10))).save(tmp_path / "tree" / name)
    prepare_store(
        DATABASES["folder"],
        tmp_path / "tree",
        tmp_path / "store",
        landmarks="none",
        progress=False,
    )
    warnings = json.loads((tmp_path / "store" / "report.json").read_text())["warnings"]
    assert any("again with another expression" in text for text in warnings)
