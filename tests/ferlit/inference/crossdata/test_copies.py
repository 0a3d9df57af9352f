"""Stores of a matrix with the same faces: what they have in common is counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.inference.crossdata.copies import Copies
from ferlit.inference.crossdata.members import Member
from ferlit.runs.people import Split, Training
from ferlit.runs.seen import seen_among
from tests.ferlit.data.written_stores import write_store
from tests.ferlit.training.fits import small_fit

SPLITS = ("train", "train", "val", "test")


def member(store: Store, name: str) -> Member:
    split = store.records["split"].to_numpy(str)
    training = Training().then(Split.of_store(store))
    return Member(name, store, (), {}, None, {None: split}, {None: training})


@pytest.fixture
def two(tmp_path: Path) -> tuple[Member, Member]:
    """The same faces in both but for six of them; a tested one is a copy of one that trains."""
    first = np.random.default_rng(0).integers(256, size=(24, 60, 60), dtype=np.uint8)
    first[20] = first[0]  # of person 4, who tests, and of person 1, who trains
    other = first.copy()
    other[6:12] ^= 255
    people = {"people": ("",) * 4, "splits": SPLITS}
    one = write_store(tmp_path / "one", "fer2013", faces=first, **people)
    two = write_store(tmp_path / "two", "ferplus", faces=other, **people)
    return member(one, "one"), member(two, "two")


def test_faces_of_both_stores_and_copies_that_judge_are_counted(two: tuple[Member, Member]) -> None:
    one, other = two
    rows = other.part().rows
    assert len(rows) == 6
    found = Copies.of(one, None, other, rows)
    assert found == (18, 1)
    assert found.notes("one", "two", 6) == [
        "18 faces of two are in one too, pixel by pixel",
        "flattering: 1 of the 6 faces that judge are, pixel by pixel, among those that train or "
        "validate, as one has them in several parts; they stay, as in its own test",
    ]
    assert Copies.of(one, None, one, one.part().rows) == (0, 1)


def test_what_is_left_out_as_seen_is_not_counted_again(two: tuple[Member, Member]) -> None:
    one, other = two
    everything = np.arange(24)
    # Of all, only row 0 and its copy are in several parts of the store that trains.
    assert Copies.of(one, None, other, everything).judged == 2


def test_other_faces_have_nothing_to_tell(two: tuple[Member, Member], tmp_path: Path) -> None:
    other = member(write_store(tmp_path / "new", seed=9, splits=SPLITS), "new")
    found = Copies.of(two[0], None, other, other.part().rows)
    assert found == (0, 0)
    assert found.notes("one", "new", 6) == []


def test_a_checkpoint_knows_them_too(two: tuple[Member, Member]) -> None:
    one, other = two
    split = Split.read(Split.of_store(one.store).plain())
    seen = seen_among(Training((split,)), other.store, other.part().rows, "test")
    assert (seen.images, seen.copies, seen.of) == (0, 1, 6)
    assert seen.to_dict()["copies"] == 1
    old = {name: value for name, value in split.plain().items() if name != "copies"}
    seen = seen_among(Training((Split.read(old),)), other.store, other.part().rows, "test")
    assert seen.copies == 0  # of an earlier version, which does not tell
    assert "copies" not in seen.to_dict()


def test_an_evaluation_tells_of_them(two: tuple[Member, Member], tmp_path: Path) -> None:
    one, other = two
    own = ("--data.database=null", f"--data.store={one.store.folder}", "--trainer.max_epochs=1")
    assert main(small_fit("fer2013.yaml", tmp_path, *own)) == 0
    model = tmp_path / "fer2013" / "version_0"
    output = tmp_path / "evaluation"
    given = ["evaluate", f"--model={model}", f"--store={other.store.folder}", "--bootstrap=0"]
    assert main([*given, f"--output={output}"]) == 0
    (told,) = json.loads((output / "evaluation.json").read_text())["stores"]
    assert told["people"]["copies"] == 1
    assert any(note.startswith("flattering: 1 of 6 faces are, pixel") for note in told["notes"])
