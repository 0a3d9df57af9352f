import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlit.data.databases.rafdb import CODES, RAFDB
from ferlit.data.databases.trees.rafdb import LIST, write_rafdb
from ferlit.data.media.images import read_image
from ferlit.data.preparation import prepare_store
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.errors import DataError

LABELS = Path("basic/EmoLabel") / LIST
ALIGNED = Path("basic/Image/aligned")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated tree, which no test may change."""
    root = tmp_path_factory.mktemp("rafdb") / "official"
    write_rafdb(root)
    return root


def fill(root: Path, text: str, names: tuple[str, ...] = ("train_00001", "test_0001")) -> Path:
    """The list ``text`` and empty aligned pictures of those names."""
    for folder in (LABELS.parent, ALIGNED):
        (root / folder).mkdir(parents=True)
    (root / LABELS).write_text(text)
    for name in names:
        (root / ALIGNED / f"{name}_aligned.jpg").touch()
    return root


def test_the_list_tells_expression_and_split(made: Path) -> None:
    records = RAFDB.read(made)
    assert records["split"].value_counts().to_dict() == {"train": 14, "test": 7}
    assert records["expression"].value_counts().to_dict() == dict.fromkeys(RAFDB.classes, 3)
    found = records.set_index("image")["expression"]
    for number, expression in enumerate(
        ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"), start=1
    ):
        assert found[f"basic/Image/aligned/test_{number:04d}_aligned.jpg"] == expression
        assert found[f"basic/Image/aligned/train_{2 * number:05d}_aligned.jpg"] == expression
    for column in ("identity", "sequence", "landmarks"):
        assert set(records[column]) == {""}
    assert unread_files(records) == {}


def test_the_folder_basic_may_be_the_root(made: Path) -> None:
    records = RAFDB.read(made / "basic")
    assert len(records) == 21
    assert records.loc[0, "image"] == "Image/aligned/test_0001_aligned.jpg"


def test_the_original_pictures_are_an_option(made: Path) -> None:
    records = RAFDB.read(made, {"image": "original"})
    assert len(records) == 21
    assert records.loc[0, "image"] == "basic/Image/original/test_0001.jpg"
    assert read_image(made, records.loc[0, "image"]).shape == (490, 640)
    with pytest.raises(DataError, match="image='cropped'; known are aligned, original"):
        RAFDB.read(made, {"image": "cropped"})


@pytest.mark.parametrize(
    ("form", "first"),
    [("flat", "valid/test_0001_aligned.jpg"), ("folders", "train/1/train_00001_aligned.jpg")],
)
def test_other_forms_hold_the_same(form: str, first: str, made: Path, tmp_path: Path) -> None:
    write_rafdb(tmp_path / "tree", form=form)  # type: ignore[arg-type]
    records = RAFDB.read(tmp_path / "tree")
    assert records.loc[0, "image"] == first
    told = [
        {Path(row["image"]).name: (row["expression"], row["split"]) for _, row in table.iterrows()}
        for table in (records, RAFDB.read(made))
    ]
    assert told[0] == told[1]
    with pytest.raises(DataError, match="original"):
        RAFDB.read(tmp_path / "tree", {"image": "original"})


def test_class_folders_may_keep_the_list(tmp_path: Path) -> None:
    write_rafdb(tmp_path / "tree", form="folders")
    (tmp_path / "tree" / LIST).write_text("train_00001.jpg 1\ntest_0001.jpg 1\n")
    records = RAFDB.read(tmp_path / "tree")
    assert records["image"].tolist() == [
        "test/1/test_0001_aligned.jpg",
        "train/1/train_00001_aligned.jpg",
    ]
    assert len(unread_files(records)) == 19
    assert set(unread_files(records).values()) == {f"no line of {LIST} speaks of it"}


def change(root: Path, old: str, new: str) -> None:
    text = (root / LABELS).read_text()
    assert old in text
    (root / LABELS).write_text(text.replace(old, new))


def test_a_list_that_counts_from_0_is_refused(made: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(made, tmp_path / "tree"))
    lines = [line.split() for line in (root / LABELS).read_text().splitlines()]
    text = "".join(f"{name} {int(code) - 1}\n" for name, code in lines)
    (root / LABELS).write_text(text)
    with pytest.raises(DataError, match=r"line 1 is 'train_00001.jpg 0': .* 1 surprise.*from 0"):
        RAFDB.read(root)


@pytest.mark.parametrize("code", ["0", "8", "11", "07"])
def test_a_single_code_of_another_kind_is_refused(code: str, made: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(made, tmp_path / "tree"))
    change(root, "test_0001.jpg 1", f"test_0001.jpg {code}")
    with pytest.raises(DataError, match=f"line 15 is 'test_0001.jpg {code}'"):
        RAFDB.read(root)


def test_two_codes_for_one_picture_are_refused(made: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(made, tmp_path / "tree"))
    change(root, "test_0001.jpg 1", "test_0001.jpg 1\ntrain_00003.jpg 4")
    with pytest.raises(DataError, match=r"16 gives train_00003\.jpg the code 4, line 3 gives it 2"):
        RAFDB.read(root)


def test_a_picture_without_a_line_is_named(made: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(made, tmp_path / "tree"))
    change(root, "train_00003.jpg 2\n", "")
    records = RAFDB.read(root)
    assert len(records) == 20
    assert unread_files(records) == {
        "basic/Image/aligned/train_00003_aligned.jpg": f"no line of {LIST} speaks of it"
    }


@pytest.mark.parametrize(
    ("form", "to"),
    [("folders", "train/2"), ("folders", "test/1"), ("flat", "valid")],
)
def test_a_folder_that_tells_otherwise_than_the_list_is_refused(
    form: str, to: str, made: Path, tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    write_rafdb(root, form=form)  # type: ignore[arg-type]
    shutil.copy(made / LABELS, root / LIST)
    (path,) = root.rglob("train_00001_aligned.jpg")
    shutil.copy(path, root / to)  # the right place alone is not enough
    with pytest.raises(DataError, match=rf"train and the code 1, but it lies in the folder {to};"):
        RAFDB.read(root)


def test_class_folders_are_held_against_the_names(tmp_path: Path) -> None:
    write_rafdb(tmp_path / "tree", form="folders")
    shutil.copytree(tmp_path / "tree", tmp_path / "other")
    picture = tmp_path / "tree/train/1/train_00001_aligned.jpg"
    shutil.copy(picture, tmp_path / "tree/train/3")
    records = RAFDB.read(tmp_path / "tree")
    assert unread_files(records) == dict.fromkeys(
        (f"train/{code}/train_00001_aligned.jpg" for code in "13"),
        "the picture lies in train/1 and train/3",
    )
    assert len(records) == 20
    shutil.copy(picture, tmp_path / "tree/test/1")
    with pytest.raises(DataError, match="by its name it is of train, by its folder of test"):
        RAFDB.read(tmp_path / "tree")
    (tmp_path / "other/train/1").rename(tmp_path / "other/train/0")
    with pytest.raises(DataError, match="train/0: the codes of the basic set are 1 surprise"):
        RAFDB.read(tmp_path / "other")


def test_the_compound_set_is_told(tmp_path: Path) -> None:
    fill(tmp_path, "".join(f"train_{number:04d}.jpg 11\n" for number in range(3_954)))
    with pytest.raises(
        DataError, match=r"3,954 lines is that of the compound set; give the folder"
    ):
        RAFDB.read(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("train_00001.jpg 4", "train_00001.jpg was listed before"),
        ("train_00002.jpg 5", "there is no picture train_00002_aligned.jpg"),
        (f"train_{'1' * 300}.jpg 5", "is no line such as"),
        ("train_00001.jpg five", "the expression 'five'; known are 1 surprise, 2 fear"),
        ("train_00001.jpg", "the expression ''"),
        ("../train_00001.jpg 5", "is no line such as 'train_00001.jpg 5'"),
        ("/train_00001.jpg 5", "is no line such as 'train_00001.jpg 5'"),
        ("happy", "'happy' is no line such as"),
    ],
)
def test_a_wrong_line_is_unread_and_the_rest_is_read(
    line: str, reason: str, tmp_path: Path
) -> None:
    fill(tmp_path, f"train_00001.jpg 4\n{line}\n\ntest_0001.jpg 7\n")
    records = RAFDB.read(tmp_path)
    assert records["expression"].tolist() == ["neutral", "happiness"]
    assert list(unread_files(records)) == [f"{LABELS.as_posix()}#1"]
    assert reason in unread_files(records)[f"{LABELS.as_posix()}#1"]


@settings(deadline=None, max_examples=50)
@given(line=st.text(st.characters(blacklist_characters="\r\n"), max_size=60))
def test_any_line_leaves_the_others_alone(
    line: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = fill(tmp_path_factory.mktemp("line"), "")
    text = f"train_00001.jpg 4\n{line}\ntest_0001.jpg 7\n"
    (root / LABELS).write_text(text, encoding="utf-8", errors="replace", newline="")
    assert RAFDB.read(root)["expression"].tolist() == ["neutral", "happiness"]


@settings(deadline=None, max_examples=30)
@given(
    number=st.integers(0, 99_999),
    split=st.sampled_from(["train", "test"]),
    code=st.sampled_from(sorted(CODES)),
)
def test_any_number_and_code_are_read(
    number: int, split: str, code: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = f"{split}_{number:05d}"
    root = fill(tmp_path_factory.mktemp("name"), f"{name}.jpg {code}\r\n", (name,))
    record = RAFDB.read(root).iloc[0]
    assert record["image"] == f"basic/Image/aligned/{name}_aligned.jpg"
    assert (record["expression"], record["split"]) == (CODES[code], split)


def test_unexpected_names_in_class_folders_are_unread(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    write_rafdb(root, form="folders")
    (root / "train/1/face.jpg").touch()
    (root / "train/8").mkdir()
    for stray in (".DS_Store", "Thumbs.db", "._train_00001_aligned.jpg"):
        (root / "train/1" / stray).touch()
    (root / "train/__MACOSX").mkdir()
    records = RAFDB.read(root)
    assert len(records) == 21
    assert set(unread_files(records)) == {"train/1/face.jpg", "train/8"}


def test_a_list_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (fill(tmp_path, "") / LABELS).write_bytes(b"train_00001.jpg 4\nZo\xeb 4\n")
    with pytest.raises(
        DataError, match=r"label\.txt: line 2 has the byte 0xEB, which is not UTF-8"
    ):
        RAFDB.read(tmp_path)
    text = "train_00001.jpg 4\r\ntest_0001.jpg 7\r\n"
    (tmp_path / LABELS).write_text(text, encoding="utf-16")
    assert RAFDB.read(tmp_path)["expression"].tolist() == ["neutral", "happiness"]


@pytest.mark.parametrize("content", [b"", b"happy\n", bytes(range(128))])
def test_a_list_without_one_good_line_is_named(content: bytes, tmp_path: Path) -> None:
    (fill(tmp_path, "") / LABELS).write_bytes(content)
    with pytest.raises(DataError, match=r"list_patition_label\.txt: the list has no line such as"):
        RAFDB.read(tmp_path)


def test_missing_pictures_are_told_by_their_folder(tmp_path: Path) -> None:
    fill(tmp_path, "train_00001.jpg 4\n", ())
    with pytest.raises(DataError, match="Image/aligned: not one picture of the list"):
        RAFDB.read(tmp_path)


@pytest.mark.parametrize("folder", ["compound", "train"])
def test_a_folder_without_rafdb_is_an_error(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match="there is no RAF-DB, that is basic/EmoLabel"):
        RAFDB.read(tmp_path)


def test_empty_class_folders_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "train/1").mkdir(parents=True)
    with pytest.raises(DataError, match="the class folders hold no pictures"):
        RAFDB.read(tmp_path)


def test_a_list_that_is_cut_off_keeps_its_first_lines(tmp_path: Path) -> None:
    fill(tmp_path, "train_00001.jpg 4\ntest_0001.jpg")
    records = RAFDB.read(tmp_path)
    assert records["expression"].tolist() == ["happiness"]
    assert list(unread_files(records)) == [
        f"{LABELS.as_posix()}#1",
        "basic/Image/aligned/test_0001_aligned.jpg",
    ]


def test_damage_to_any_other_file_is_left_to_the_preparation(made: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    root = tmp_path / "tree"
    shutil.copytree(made, root)
    others = sorted(path for path in root.rglob("*") if path.is_file() and path.name != LIST)
    for path in rng.choice(np.array(others), 12, replace=False):
        whole = path.read_bytes()
        for damage in (b"", rng.bytes(4_000), whole[: len(whole) // 2]):
            path.write_bytes(damage)
            records = RAFDB.read(root)
            assert len(records) == 21
            assert unread_files(records) == {}


def test_the_aligned_faces_are_prepared_as_they_are(made: Path, tmp_path: Path) -> None:
    assert RAFDB.is_aligned
    assert not RAFDB.with_options({"image": "original"}).is_aligned
    assert not RAFDB.has_identities
    assert RAFDB.classes == tuple(name for name in EXPRESSIONS if name != "contempt")
    assert read_image(made, RAFDB.read(made).loc[0, "image"]).shape == (100, 100)
    store = prepare_store(RAFDB, made, tmp_path / "store", progress=False)
    assert store.faces.shape == (21, 60, 60)
    assert store.description.dropped == {}


def test_the_tree_is_fixed_by_its_seed(made: Path, tmp_path: Path) -> None:
    write_rafdb(tmp_path / "again")
    image = RAFDB.read(made).loc[0, "image"]
    np.testing.assert_array_equal(read_image(made, image), read_image(tmp_path / "again", image))
    with pytest.raises(DataError, match="exists"):
        write_rafdb(tmp_path / "again")
