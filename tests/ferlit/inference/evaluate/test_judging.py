"""Faces that a network has seen are left out, by person or by pixels."""

from pathlib import Path

import numpy as np
import pytest

from ferlit.data.store import Store
from ferlit.errors import DataError
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.evaluate.judging import judge
from ferlit.inference.evaluate.models import Model
from ferlit.inference.evaluate.parts import choose_part
from ferlit.runs.people import Split, Training
from tests.ferlit.inference.crossdata.stores import changed
from tests.ferlit.inference.small import write_checkpoint


def trained_on(store: Store, folder: Path) -> Model:
    path = write_checkpoint(folder / "a.ckpt", classes=list(store.description.classes))
    return Model(path, load_classifier(path), Training((Split.of_store(store),)), flips=False)


def test_people_that_an_official_split_has_in_several_parts(fer: Store, tmp_path: Path) -> None:
    split = fer.records["split"].to_numpy(str)
    tested = np.flatnonzero(split == "test")
    people = [f"P{number}" for number in range(len(split))]
    people[tested[0]] = people[np.flatnonzero(split == "train")[0]]
    people[tested[1]] = people[np.flatnonzero(split == "val")[0]]
    store = Store.open(changed(fer, tmp_path / "mixed", identity=people))
    model = trained_on(store, tmp_path)
    judged = judge(model, store, "mixed", choose_part(store, None), leave_out_seen=True)
    assert judged.part.rows.tolist() == tested[2:].tolist()
    assert judged.seen.images == 0
    assert judged.seen_before is not None
    assert (judged.seen_before.images, judged.seen_before.people) == (2, 2)


def test_pixels_that_another_database_has_too(fer: Store, tmp_path: Path) -> None:
    split = fer.records["split"].to_numpy(str)
    hashes, counts = np.unique(fer.face_hashes, return_counts=True)
    is_once = np.isin(fer.face_hashes, hashes[counts == 1])
    moved = np.flatnonzero((split == "train") & is_once)[:3]
    other = split.copy()
    other[moved] = "test"
    folder = changed(fer, tmp_path / "other", {"database": "other"}, 0, split=other.tolist())
    store = Store.open(folder)
    model = trained_on(fer, tmp_path)
    judged = judge(model, store, "other", choose_part(store, "test"), leave_out_seen=True)
    assert judged.part.rows.tolist() == np.flatnonzero(split == "test").tolist()
    assert judged.seen_before is not None
    assert judged.seen_before.images == 3
    assert str(judged.seen_before) == "3 of 11 tested images were trained or validated on"
    with pytest.raises(DataError, match=r"28 of 28 tested images .* so that none is left"):
        judge(model, fer, "fer", choose_part(fer, "train"), leave_out_seen=True)
