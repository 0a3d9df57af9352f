import os
import sys
from pathlib import Path

import pytest
from hypothesis import given

from ferlit.data.databases.folder import FOLDER
from ferlit.data.databases.trees.folder import write_folder
from ferlit.data.media.images import read_image
from ferlit.data.preparation import prepare_store
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import SETTINGS, damage_each, file_names, sample

PATTERN = r"(?P<identity>S\d+)_"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder") / "tree"
    write_folder(root)
    return root


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_below_the_splits_tell_split_and_class(tree: Path) -> None:
    records = FOLDER.read(tree)
    assert records["split"].value_counts().to_dict() == {"train": 17, "val": 8, "test": 8}
    counts = dict.fromkeys(EXPRESSIONS, 4) | {"happiness": 5}
    assert records["expression"].value_counts().to_dict() == counts
    assert set(records["identity"]) == {""}
    assert unread_files(records) == {
        "train/bored": f"unknown expression 'bored'; known are {', '.join(EXPRESSIONS)}"
    }


def test_a_pattern_tells_the_identity_and_names_what_it_does_not_match(tree: Path) -> None:
    records = FOLDER.read(tree, {"identity": PATTERN})
    assert records["identity"].value_counts().to_dict() == dict.fromkeys(
        ("S001", "S002", "S003", "S004"), 8
    )
    assert unread_files(records)["train/happy/webcam.png"] == (
        f"the pattern {PATTERN!r} finds no identity in the path"
    )


def test_class_folders_may_lie_in_the_root(tmp_path: Path) -> None:
    write_folder(tmp_path / "tree", splits=False)
    records = FOLDER.read(tmp_path / "tree")
    assert len(records) == 33
    assert set(records["split"]) == {""}
    assert {read_image(tmp_path / "tree", image).shape for image in records["image"]} == {
        (150, 120)
    }


@pytest.mark.parametrize(
    ("name", "split"),
    [("val", "val"), ("valid", "val"), ("Validation", "val"), ("TRAIN", "train"), ("test", "test")],
)
def test_splits_have_many_names(name: str, split: str, tmp_path: Path) -> None:
    touch(tmp_path, f"{name}/smile/a.png")
    record = FOLDER.read(tmp_path).iloc[0]
    assert (record["split"], record["expression"]) == (split, "happiness")


def test_a_pattern_may_tell_sequence_and_frame(tmp_path: Path) -> None:
    touch(tmp_path, *(f"happy/S1/{clip}/{frame}.png" for clip in "ab" for frame in ("9", "010")))
    touch(tmp_path, "sad/S1/a/1.png", "sad/S2/a/1.png", "sad/S2/a/peak.png", "sad/S2/a/²1.png")
    pattern = r"(?P<identity>S\d+)/(?P<sequence>\w)/(?P<frame>\w+)\.png"
    records = FOLDER.read(tmp_path, {"identity": pattern}).set_index("image")
    assert records["sequence"].value_counts().to_dict() == {
        "happy/S1/a": 2,
        "happy/S1/b": 2,
        "sad/S1/a": 1,
        "sad/S2/a": 1,
    }
    assert records.loc["happy/S1/b/010.png", "frame"] == 10
    assert unread_files(records.reset_index()) == {
        "sad/S2/a/peak.png": f"the pattern {pattern!r} finds the frame 'peak', no number",
        "sad/S2/a/²1.png": f"the pattern {pattern!r} finds the frame '²1', no number",
    }


def test_optional_groups_may_be_missing_from_a_path(tmp_path: Path) -> None:
    touch(tmp_path, "sad/S1_12.png", "sad/S2.png", "sad/x.png")
    pattern = r"(?P<identity>S\d)?(_(?P<frame>\d+))?\.png"
    records = FOLDER.read(tmp_path, {"identity": pattern})
    assert records[["identity", "frame"]].to_numpy().tolist() == [["S1", 12], ["S2", 0]]
    assert list(unread_files(records)) == ["sad/x.png"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<identity>", r"identity='\(\?P<identity>' is no regular expression \(missing \)"),
        ("a{99999999999}", "is no regular expression"),
        (r"S\d+", "has no group named identity; give one such as"),
        (r"(?P<subject>S\d+)", "has no group named identity"),
    ],
)
def test_a_wrong_pattern_is_an_error(pattern: str, message: str, tree: Path) -> None:
    with pytest.raises(DataError, match=message):
        FOLDER.read(tree, {"identity": pattern})


def test_a_pattern_that_matches_nothing_is_an_error_with_reasons(tree: Path) -> None:
    with pytest.raises(DataError, match=r"no class folders with pictures.*finds no identity.*more"):
        FOLDER.read(tree, {"identity": "(?P<identity>P[0-9]+)"})


def test_folders_of_other_names_alone_are_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "faces/1.png")
    with pytest.raises(DataError, match=r"no class folders.*faces: unknown expression 'faces'"):
        FOLDER.read(tmp_path)


def test_pictures_and_folders_that_are_neither_class_nor_split_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/sad/a.png", "dev/sad/b.png", "c.png", "train/d.png", "holdout/x/e.jpg")
    records = FOLDER.read(tmp_path)
    assert records["image"].tolist() == ["train/sad/a.png"]
    unread = unread_files(records)
    for folder in ("dev", "holdout"):
        reason = unread.pop(folder)
        assert reason.startswith(f"unknown expression '{folder}'; known are neutral")
        assert reason.endswith("or a split, train, training, val, valid, validation, test, testing")
    assert unread == dict.fromkeys(("c.png", "train/d.png"), "the picture lies in no class folder")


def test_strays_and_folders_without_pictures_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "sad/a.png", "sad/._a.png", "sad/Thumbs.db", "sad/notes.txt", "README.md")
    touch(tmp_path, "__MACOSX/sad/._a.png", "docs/index.html", "sad/.ipynb_checkpoints/a.png")
    records = FOLDER.read(tmp_path)
    assert records["image"].tolist() == ["sad/a.png"]
    assert unread_files(records) == {}


def test_a_number_sign_in_a_name_is_named_as_it_stands_for_a_row(tmp_path: Path) -> None:
    touch(tmp_path, "sad/a.png", "sad/take #2.png")
    records = FOLDER.read(tmp_path)
    assert records["image"].tolist() == ["sad/a.png"]
    assert "rename the file" in unread_files(records)["sad/take #2.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have text as file names")
def test_a_name_that_is_no_text_is_named_and_a_store_can_be_prepared(tmp_path: Path) -> None:
    write_folder(tmp_path / "tree", splits=False)
    touch(tmp_path / "tree", os.fsdecode(b"sad/caf\xe9.png"))
    store = prepare_store(
        FOLDER, tmp_path / "tree", tmp_path / "store", landmarks="none", progress=False
    )
    assert len(store.records) == 33
    assert "sad/caf\\udce9.png" in store.description.dropped


def test_damaged_pictures_are_left_to_the_preparation(tree: Path) -> None:
    expected = {"train/bored": unread_files(FOLDER.read(tree))["train/bored"]}
    for outcome in damage_each(FOLDER, tree, sample(tree, "*", most=6)):
        assert (outcome.error, outcome.lost, outcome.unread) == ("", set(), expected)


@SETTINGS
@given(name=file_names)
def test_no_name_stops_the_reader(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("folder")
    touch(root, "sad/S1_1.png", f"sad/{name}.png", f"sad/{name}/{name}.png", f"{name}/{name}.png")
    records = FOLDER.read(root, {"identity": "(?P<identity>S[12])_"})
    assert records["image"].tolist() == ["sad/S1_1.png"]
    is_stray = name[0] == "." or name.lower().startswith("readme")
    assert bool(unread_files(records)) == (not is_stray)
