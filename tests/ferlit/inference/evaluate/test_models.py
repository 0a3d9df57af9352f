"""Whom a model may be judged by, and what it gives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ferlit.data.store import Store
from ferlit.data.store.identities import IDENTITIES
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.evaluate.models import Model, check_probabilities
from ferlit.inference.evaluate.parts import choose_part
from ferlit.runs.people import Split, Training
from tests.ferlit.inference.evaluate.conftest import drawn_store
from tests.ferlit.inference.small import write_checkpoint


@pytest.fixture
def mixed(tmp_path: Path) -> Store:
    """An official split that has people in several parts."""
    store = drawn_store("fer2013", tmp_path)
    images = store.records["image"]
    table = pd.DataFrame({"image": images, "identity": [f"P{k % 5}" for k in range(len(images))]})
    table.to_csv(store.folder / IDENTITIES, index=False)
    return Store.open(store.folder)


def trained(tmp_path: Path, *splits: Split) -> Model:
    path = write_checkpoint(tmp_path / "a.ckpt")
    return Model(path, load_classifier(path), Training(splits), flips=False)


def test_the_test_part_of_the_own_split_is_not_refused(
    mixed: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = trained(tmp_path, Split.of_store(mixed))
    seen = model.check_people(mixed, choose_part(mixed, "test"), allow=False)
    assert (seen.images, seen.of, seen.people) == (8, 8, 5)
    assert "itself has them in several parts" in caplog.text
    with pytest.raises(FerlitError, match=r"7 of 7 tested images \(5 people\) were trained or"):
        model.check_people(mixed, choose_part(mixed, "val"), allow=False)


def test_whom_its_first_weights_have_seen_counts(mixed: Store, tmp_path: Path) -> None:
    other = np.where(mixed.records["split"] == "test", "train", "test")
    model = trained(tmp_path, Split.of_store(mixed), Split.of_store(mixed, other, 0, 4))
    with pytest.raises(FerlitError, match="8 of 8 tested images"):
        model.check_people(mixed, choose_part(mixed, "test"), allow=False)
    assert model.check_people(mixed, choose_part(mixed, "test"), allow=True).images == 8


def test_a_run_that_was_tested_on_several_crops_is_known(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt")
    assert Model.load(path).crops == 1
    content = torch.load(path, weights_only=True)
    content["configuration"] = {"data": {"init_args": {"eval_crops": 5}}}
    torch.save(content, path)
    assert Model.load(path).crops == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5, 0.5], [np.nan, np.nan]], "for 1 of 2 faces it gives no numbers"),
        ([[0.5, 0.5], [2.0, 3.0]], "those of a face sum up to 5"),
        ([[0.5, 0.5], [1.5, -0.5]], r"the least is -0\.5"),
    ],
)
def test_what_gives_no_probabilities_is_refused(values: list[list[float]], message: str) -> None:
    with pytest.raises(FerlitError, match=message):
        check_probabilities(Path("a.onnx"), np.array(values))
