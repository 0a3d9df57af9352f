"""Several stores as one: what they are together, who is who, and what no part may have."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ferlit.data import ExpressionDataModule, TupleDataModule
from ferlit.data.store import Store, StoreUnion, open_stores
from ferlit.data.store.manifest import write_manifest
from ferlit.errors import DataError, UsageError
from tests.ferlit.data.written_stores import write_store

OFFICIAL = ("train", "train", "val", "test")


def union(*stores: Store, landmarks: str = "auto") -> StoreUnion:
    found = open_stores([store.folder for store in stores], landmarks)
    assert isinstance(found, StoreUnion)
    return found


def data_of(*stores: Store, **options: object) -> ExpressionDataModule:
    options = {"store": [store.folder for store in stores], "num_workers": 0} | options
    data = ExpressionDataModule(**options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup("fit")
    return data


def test_classes_are_joined_by_name_in_the_canonical_order_then_others(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "folder", classes=("surprise", "boredom", "anger"))
    two = write_store(tmp_path / "two", "jaffe", classes=("happiness", "anger"), seed=1)
    data = data_of(one, two, fold=0, folds=3)
    assert data.classes == ["anger", "happiness", "surprise", "boredom"]
    named = np.array([*data.classes])[data.labels]
    assert named.tolist() == [*one.records["expression"], *two.records["expression"]]


def test_faces_and_rows_are_those_of_the_stores_in_order(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "jaffe")
    two = write_store(tmp_path / "two", "kdef", seed=1)
    both = union(one, two)
    whole = np.concatenate([one.faces, two.faces])
    n = len(whole)
    for rows in (np.array([n - 1, 0, 24, 23]), whole[:, 0, 0] > 100, slice(20, 30), [3], -1):
        assert (both.faces[rows] == whole[rows]).all()
    assert all(isinstance(part, np.memmap) for part in both.faces.parts)
    assert (both.face_hashes == np.concatenate([one.face_hashes, two.face_hashes])).all()
    assert both.records["store"].tolist() == ["jaffe"] * 24 + ["kdef"] * 24
    assert both.records["image"].is_unique
    assert both.records["image"][24] == "kdef/1/anger0.png"


@pytest.mark.parametrize(
    ("databases", "is_one"),
    [
        (("jaffe", "kdef"), False),
        (("ck48", "ckplus"), True),
        (("jaffe", "jaffe"), True),
        (("folder", "folder"), False),
        (("csv", "folder"), False),
        (("sfew", "rafdb"), False),
    ],
)
def test_a_name_is_one_person_in_databases_of_the_same_people_alone(
    databases: tuple[str, str], is_one: bool, tmp_path: Path
) -> None:
    stores = [write_store(tmp_path / str(seed), databases[seed], seed=seed) for seed in (0, 1)]
    both = union(*stores)
    people = [set(both.records["identity"][member.rows]) for member in both.members]
    assert all(len(names) == 4 for names in people)
    assert (people[0] == people[1]) == is_one
    assert bool(people[0] & people[1]) == is_one


def test_who_shows_the_same_face_is_one_person(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "csv", people=("a", "b", "c"))
    faces = np.random.default_rng(9).integers(256, size=(18, 60, 60), dtype=np.uint8)
    faces[6:8] = one.faces[:2]  # of the second person there, and of "a" here
    two = write_store(tmp_path / "two", "folder", people=("x", "y", "z"), faces=faces)
    records = union(one, two).records
    assert set(records["identity"]) == {"csv/a", "csv/b", "csv/c", "folder/x", "folder/z"}
    assert (records["identity"][18 + 6 : 18 + 12] == "csv/a").all()
    fold_of = data_of(one, two, fold=0, folds=4).fold_of
    assert len(set(fold_of[records["identity"] == "csv/a"])) == 1


def test_folders_prepared_in_two_ways_are_known_by_file_and_name(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "folder")
    two = write_store(tmp_path / "two", "folder", landmarks="mediapipe", seed=1)
    both = union(one, two, landmarks="none")
    assert both.names == ("folder_1", "folder_2")
    assert set(both.records["identity"]) == {f"folder_1/{name}" for name in "1234"}
    assert both.again.all()


def test_what_another_store_judges_by_is_left_out_of_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = ("",) * 4
    one = write_store(tmp_path / "one", "fer2013", people=nobody, splits=OFFICIAL)
    faces = np.random.default_rng(9).integers(256, size=(24, 60, 60), dtype=np.uint8)
    faces[[12, 18, 0, 19, 20]] = one.faces[[0, 1, 18, 12, 19]]
    faces[1] = one.faces[2]  # both train with it
    two = write_store(tmp_path / "two", "rafdb", people=nobody, splits=OFFICIAL, faces=faces)
    data = data_of(one, two)
    split, own = data.split, np.concatenate([one.records["split"], two.records["split"]])
    # one's training faces 0, 1 are validated and tested by two; two's 0 is tested by one; one's
    # validation face 12 is tested by two. Face 19 is tested by both, and judges twice.
    assert np.flatnonzero(split != own).tolist() == [0, 1, 12, 24]
    assert (split[[0, 1, 12, 24]] == "").all()
    hashes = data.store.face_hashes
    judged = hashes[split == "test"]
    assert not np.isin(hashes[(split == "train") | (split == "val")], judged).any()
    assert "4 images are left out of training or validation" in caplog.text
    assert "3 of fer2013, 1 of rafdb, such as fer2013/0/anger0.png" in caplog.text
    table = data.split_table()
    assert table.loc[table["split"] == "", "images"].sum() == 4


def test_a_person_whom_another_store_tests_is_left_out_of_training(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "ckplus", splits=OFFICIAL)
    two = write_store(tmp_path / "two", "ck48", splits=(*OFFICIAL[1:], "train"), seed=1)
    data = data_of(one, two)  # 1 to 4: train train val test, and train val test train
    people = data.store.records["identity"].to_numpy(str)
    found = {part: set(people[data.split == part]) for part in ("train", "val", "test", "")}
    assert found[""] == {"ckplus/2", "ckplus/3", "ckplus/4"}
    assert found["train"] == {"ckplus/1"}
    assert not found["train"] & (found["val"] | found["test"])
    assert not found["val"] & found["test"]


def test_pictures_of_fer2013_are_known_however_they_were_registered(tmp_path: Path) -> None:
    stores = []
    for name, landmarks in (("fer2013", "none"), ("ferplus", "mediapipe")):
        store = write_store(tmp_path / name, name, landmarks=landmarks, seed=len(name))
        table = store.records.assign(identity="", split="train")
        table["image"] = [f"{'' if name == 'fer2013' else 'x/'}fer2013.csv#{i}" for i in range(24)]
        if name == "ferplus":
            table.loc[3, "split"] = "test"
            table.loc[4, "split"] = "val"
        table.to_csv(store.folder / "records.csv", index=False)
        write_manifest(store.folder)
        stores.append(Store.open(store.folder))
    both = union(*stores, landmarks="none")
    assert both.again.all()
    assert np.flatnonzero(both.left_out).tolist() == [3, 4]


def test_no_person_and_no_face_is_in_two_parts_of_a_fold(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "ck48")
    two = write_store(tmp_path / "two", "ckplus", people=("3", "4", "5", "6"), seed=1)
    three = write_store(tmp_path / "three", "kdef", seed=2)
    for fold in range(4):
        data = data_of(one, two, three, fold=fold, folds=4)
        people = data.store.records["identity"].to_numpy(str)
        parts = [set(people[data.split == part]) for part in ("train", "val", "test")]
        assert all(parts)
        assert sum(map(len, parts)) == len(set(people)) == 10


def test_a_label_beside_votes_counts_whole(tmp_path: Path) -> None:
    classes = ("neutral", "anger", "fear", "happiness")
    soft = write_store(tmp_path / "soft", "ferplus", classes=classes, target_rule="crossentropy")
    hard = write_store(tmp_path / "hard", "jaffe", seed=1)
    both = union(soft, hard)
    assert both.description.target_rule == "crossentropy"
    assert both.targets is not None
    assert np.allclose(both.targets[:32], soft.targets)
    assert both.targets[32:].sum(1).tolist() == [1.0] * 24
    named = np.array(both.description.classes)[both.targets[32:].argmax(1)]
    assert named.tolist() == hard.records["expression"].tolist()
    assert union(hard, write_store(tmp_path / "more", "kdef", seed=2)).targets is None


@pytest.mark.parametrize("rule", ["", "probability"])
def test_rules_of_targets_that_contradict_are_refused(rule: str, tmp_path: Path) -> None:
    first = "crossentropy" if rule else "multi_target"
    one = write_store(tmp_path / "one", "ferplus", target_rule=first)
    two = write_store(tmp_path / "two", "jaffe", target_rule=rule, seed=1)
    with pytest.raises(DataError, match=f"{first}: .*one; .*--votes crossentropy"):
        union(one, two)


def test_stores_of_different_landmarks_need_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = write_store(tmp_path / "one", "jaffe")
    two = write_store(tmp_path / "two", "kdef", landmarks="mediapipe", seed=1)
    with pytest.raises(DataError, match=r"none: .*one; mediapipe: .*two.*--data\.landmarks"):
        data_of(one, two, fold=0, folds=3)
    data = data_of(one, two, fold=0, folds=3, landmarks="mediapipe")
    assert data.preprocessing.landmarks == "mediapipe"
    assert "were prepared in different ways" in caplog.text
    with pytest.raises(DataError, match="landmarks of none, mediapipe"):
        data_of(one, two, fold=0, folds=3, landmarks="dlib")


def test_sequences_that_vote_in_two_ways_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stills = write_store(tmp_path / "stills", "jaffe", sequence_rule="mean")
    one = write_store(tmp_path / "one", "ckplus", frames=True, seed=1)
    two = write_store(tmp_path / "two", "mmi", frames=True, sequence_rule="mean", seed=2)
    assert union(stills, one).description.sequence_rule == "max"
    assert "vote by" not in caplog.text
    both = union(one, two)
    assert both.description.sequence_rule == "max"
    assert "vote by max in ckplus and by mean in mmi: here all vote by max" in caplog.text
    assert both.records["sequence"].nunique() == 24


def test_what_cannot_be_one_is_refused_by_name(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "jaffe", splits=OFFICIAL)
    copy = Path(shutil.copytree(one.folder, tmp_path / "copy"))
    link = tmp_path / "link"
    link.symlink_to(one.folder)
    other = write_store(tmp_path / "other", "folder", classes=("boredom", "doubt"), seed=1)
    bare = write_store(tmp_path / "bare", "kdef", seed=2)
    with pytest.raises(DataError, match="nowhere: no prepared store"):
        open_stores([one.folder, tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="named twice"):
        open_stores([one.folder, one.folder])
    with pytest.raises(UsageError, match="named twice"):
        open_stores([one.folder, link])
    with pytest.raises(UsageError, match="the same faces and labels as"):
        open_stores([one.folder, copy])
    with pytest.raises(DataError, match="have boredom, doubt: none in common"):
        open_stores([one.folder, other.folder])
    with pytest.raises(UsageError, match=r"no official split: kdef \(.*bare\); give the round"):
        data_of(one, bare)
    with pytest.raises(UsageError, match=r"other|jaffe.*--data\.database null"):
        data_of(one, bare, database="kdef", fold=0, folds=3)
    with pytest.raises(UsageError, match=r"--data\.root .*several stores"):
        data_of(one, bare, root=tmp_path, fold=0, folds=3)
    with pytest.raises(UsageError, match="an empty list"):
        ExpressionDataModule(store=[])


def test_a_store_without_persons_is_named(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "jaffe", splits=OFFICIAL)
    two = write_store(tmp_path / "two", "sfew", people=("",) * 4, splits=OFFICIAL, seed=1)
    with pytest.raises(DataError, match=r"two: 24 of 24 images have no identity"):
        data_of(one, two, fold=0, folds=3)
    tuples = TupleDataModule(store=[one.folder, two.folder], num_workers=0)
    with pytest.raises(DataError, match=r"sfew \(store .*two\) does not name the persons"):
        tuples.setup("fit")


def test_a_list_of_one_store_is_that_store(tmp_path: Path) -> None:
    store = write_store(tmp_path / "one")
    data = data_of(store, fold=0, folds=4)
    assert isinstance(data.store, Store)
    assert data.store_path == store.folder
    assert data.split_table().columns.tolist() == [
        *("split", "fold", "identity", "images", "sequences")
    ]
