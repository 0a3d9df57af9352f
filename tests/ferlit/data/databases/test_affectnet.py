import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from ferlit.data.databases.affectnet import AFFECTNET
from ferlit.data.databases.affectnet.lists import landmarks_of
from ferlit.data.databases.trees.affectnet import write_affectnet
from ferlit.data.media.images import read_image
from ferlit.data.preparation import prepare_store
from ferlit.data.preparation.landmarks import choose_landmarks
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import file_names


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated tree of the old form, which no test may change."""
    root = tmp_path_factory.mktemp("affectnet") / "old"
    write_affectnet(root, form="old")
    return root


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated tree of the new form, which no test may change."""
    root = tmp_path_factory.mktemp("affectnet") / "new"
    write_affectnet(root, form="new")
    return root


def annotate(root: Path, **values: object) -> Path:
    """Empty pictures of the new form with an annotation each."""
    for part in ("images", "annotations"):
        (root / "train_set" / part).mkdir(parents=True)
    for stem, value in values.items():
        (root / "train_set/images" / f"{stem}.jpg").touch()
        np.save(root / "train_set/annotations" / f"{stem}_exp.npy", np.asarray(value))
    return root


@pytest.mark.parametrize("form", ["old", "new"])
def test_both_forms_hold_eight_expressions(form: str, request: pytest.FixtureRequest) -> None:
    records = AFFECTNET.read(request.getfixturevalue(form))
    assert records["split"].value_counts().to_dict() == {"train": 16, "val": 8}
    for split, count in (("train", 2), ("val", 1)):
        shown = records.loc[records["split"] == split, "expression"]
        assert shown.value_counts().to_dict() == dict.fromkeys(EXPRESSIONS, count)
    for column in ("identity", "sequence"):
        assert set(records[column]) == {""}


@pytest.mark.parametrize("form", ["old", "new"])
def test_contempt_may_be_left_out(form: str, request: pytest.FixtureRequest) -> None:
    records = AFFECTNET.read(request.getfixturevalue(form), {"contempt": "no"})
    assert records["split"].value_counts().to_dict() == {"train": 14, "val": 7}
    assert "contempt" not in set(records["expression"])
    with pytest.raises(DataError, match="contempt='maybe'; known are yes, no"):
        AFFECTNET.read(request.getfixturevalue(form), {"contempt": "maybe"})


def test_what_shows_no_expression_is_left_out_and_counted(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        records = AFFECTNET.read(old)
    assert "left out: 1 none, 2 uncertain, 1 non-face" in caplog.text
    assert list(unread_files(records)) == ["Manually_Annotated_file_lists/training.csv#20"]


def test_the_counts_are_compared_by_the_option(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    for contempt, count in (("yes", "24 images; the published database has 291651"), ("no", "21")):
        with caplog.at_level(logging.INFO):
            AFFECTNET.read(old, {"contempt": contempt})
        assert count in caplog.text
    assert "21 images; the published database has 287401" in caplog.text


@pytest.mark.parametrize("value", [7, "7", np.int64(7), 7.0, np.array(["7"]), np.array(b"7")])
def test_an_annotation_is_a_number_in_any_dress(value: object, tmp_path: Path) -> None:
    annotate(tmp_path, a=value)
    assert AFFECTNET.read(tmp_path)["expression"].tolist() == ["contempt"]


def write_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, 3)


def write_huge(path: Path) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<i8", "fortran_order": False, "shape": (2**60,)}
        )


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b""), "it holds no annotation ("),
        (lambda path: path.write_bytes(bytes(range(256))), "it holds no annotation ("),
        (lambda path: path.write_bytes(path.read_bytes()[:70]), "it holds no annotation ("),
        (
            lambda path: np.save(path, np.array([{"code": 3}], dtype=object)),
            "it holds no annotation (",
        ),
        (lambda path: np.save(path, np.array([3, 3])), "it holds no annotation ("),
        (lambda path: np.save(path, np.array([])), "it holds no annotation ("),
        (write_npz, "it holds no annotation ("),
        (write_huge, "it holds no annotation ("),
        (lambda path: np.save(path, np.array("happy")), "the expression 'happy'; known are"),
        (lambda path: np.save(path, np.array(11)), "the expression '11'; known are"),
        (lambda path: np.save(path, np.array(np.nan)), "the expression 'nan'; known are"),
        (Path.unlink, ""),
    ],
)
def test_a_damaged_annotation_is_unread_and_the_rest_is_read(  # type: ignore[no-untyped-def]
    damage, reason: str, tmp_path: Path
) -> None:
    annotate(tmp_path, a=3, b=4)
    path = tmp_path / "train_set/annotations/a_exp.npy"
    damage(path)
    records = AFFECTNET.read(tmp_path)
    assert records["image"].tolist() == ["train_set/images/b.jpg"]
    (place, found) = next(iter(unread_files(records).items()))
    if path.exists():
        assert place == "train_set/annotations/a_exp.npy"
        assert reason in found
    else:
        assert (place, found) == ("train_set/images/a.jpg", "there is no annotation of that name")


def test_an_annotation_without_a_picture_is_unread(tmp_path: Path) -> None:
    annotate(tmp_path, a=3, b=4)
    (tmp_path / "train_set/images/a.jpg").unlink()
    records = AFFECTNET.read(tmp_path)
    assert len(records) == 1
    assert unread_files(records) == {
        "train_set/annotations/a_exp.npy": "there is no picture of that name"
    }


def test_the_valence_of_the_new_form_is_held_against_the_codes(tmp_path: Path) -> None:
    stems = {f"{code}{letter}": code for code in (1, 2) for letter in "abcdefghijklmnopqrst"}
    annotate(tmp_path, **stems)
    for stem, code in stems.items():
        valence = np.array("0.6" if code == 1 else "-0.5")
        np.save(tmp_path / f"train_set/annotations/{stem}_val.npy", valence)
    assert len(AFFECTNET.read(tmp_path)) == 40
    for stem, code in stems.items():  # as if the codes counted from 1
        np.save(tmp_path / f"train_set/annotations/{stem}_exp.npy", np.array(3 - code))
    with pytest.raises(DataError, match=r"mean valence of -0\.50, those of 2, sadness, 0\.60"):
        AFFECTNET.read(tmp_path)


def test_the_form_that_is_not_used_is_named(
    new: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = Path(shutil.copytree(new, tmp_path / "tree"))
    (root / "training.csv").touch()
    assert len(AFFECTNET.read(root)) == 24
    assert "train_set with val_set is read; not used: training.csv" in caplog.text


def test_stray_files_are_passed_over(tmp_path: Path) -> None:
    annotate(tmp_path, a=3)
    for part in ("images", "annotations"):
        for name in (".DS_Store", "Thumbs.db", "README", "._a.jpg", "._a_exp.npy"):
            (tmp_path / "train_set" / part / name).touch()
    records = AFFECTNET.read(tmp_path)
    assert len(records) == 1
    assert unread_files(records) == {}


@settings(deadline=None, max_examples=50)
@given(name=file_names.filter(lambda name: name != "b"))
def test_any_name_of_a_picture_leaves_the_others_alone(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = annotate(tmp_path_factory.mktemp("names"), b=3)
    (root / "train_set/images" / f"{name}.jpg").touch()
    (root / "train_set/annotations" / f"{name}_exp.npy").write_bytes(b"")
    records = AFFECTNET.read(root)
    assert records["image"].tolist() == ["train_set/images/b.jpg"]


@pytest.mark.parametrize("part", ["images", "annotations"])
def test_a_set_without_one_of_its_folders_is_an_error(part: str, tmp_path: Path) -> None:
    shutil.rmtree(annotate(tmp_path, a=3) / "train_set" / part)
    with pytest.raises(DataError, match=f"there is no folder {part}; unpack the whole archive of"):
        AFFECTNET.read(tmp_path)


def test_a_folder_without_affectnet_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="there is no AffectNet, that is Manually_Annotated_file"):
        AFFECTNET.read(tmp_path)


@pytest.mark.parametrize("form", ["old", "new"])
def test_damage_to_any_other_file_costs_its_own_picture_at_most(
    form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    root = tmp_path / "tree"
    shutil.copytree(request.getfixturevalue(form), root)
    before = unread_files(AFFECTNET.read(root))
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".csv")
    for path in rng.choice(np.array(files), 24, replace=False):
        whole = path.read_bytes()
        place = path.relative_to(root).as_posix()
        named = {place} if place.endswith("_exp.npy") else set()
        for damage in (b"", rng.bytes(2_000), whole[: len(whole) // 2]):
            path.write_bytes(damage)
            records = AFFECTNET.read(root)
            assert unread_files(records).keys() - before.keys() == named
            assert len(records) == 24 - len(named)
        path.write_bytes(whole)


def test_faces_of_the_new_form_are_prepared_without_landmarks(new: Path, tmp_path: Path) -> None:
    assert not AFFECTNET.is_aligned
    assert not AFFECTNET.has_identities
    with pytest.raises(DataError, match="or none if the pictures are aligned faces"):
        prepare_store(AFFECTNET, new, tmp_path / "store", landmarks="database", progress=False)
    options = {"contempt": "no"}
    store = prepare_store(
        AFFECTNET, new, tmp_path / "store", landmarks="none", options=options, progress=False
    )
    assert store.faces.shape == (21, 60, 60)
    assert store.description.classes == tuple(name for name in EXPRESSIONS if name != "contempt")


def test_faces_of_the_old_form_are_registered_by_their_own_landmarks(
    old: Path, new: Path, tmp_path: Path
) -> None:
    records = AFFECTNET.read(old)
    assert choose_landmarks(AFFECTNET, records, "auto") == "database"
    assert choose_landmarks(AFFECTNET, AFFECTNET.read(new), "auto") == "mediapipe"
    store = prepare_store(AFFECTNET, old, tmp_path / "store", landmarks="database", progress=False)
    assert len(store.faces) == len(records)
    # The true landmarks bring the eyes of all faces to one place, where the skin around is lighter.
    eyes = [store.faces[:, 17:23, x - 3 : x + 3].mean() for x in (20, 39)]
    assert max(eyes) < store.faces[:, 28:34, [10, 49]].mean() - 10


def test_the_landmarks_are_those_of_the_pictures_own_row(old: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(old, tmp_path / "tree"))
    path = root / "Manually_Annotated_file_lists/training.csv"
    header, *lines = path.read_text().splitlines()
    fields = [line.split(",") for line in lines]
    for number, row in enumerate(fields):
        row[5] = ";".join(str(number + k / 100) for k in range(136))
    path.write_text("\n".join([header, "", *(",".join(row) for row in fields)]))
    records = AFFECTNET.read(root)
    by_name = {row[0]: number for number, row in enumerate(fields)}
    for record in records[records["split"] == "train"].itertuples():
        points = landmarks_of(root, str(record.landmarks))
        number = by_name[str(record.image).removeprefix("Manually_Annotated_Images/")]
        np.testing.assert_allclose(points.ravel(), number + np.arange(136) / 100)


def test_the_pictures_have_the_sizes_of_their_form(old: Path, new: Path) -> None:
    for root, shape in ((old, (490, 640)), (new, (224, 224))):
        assert read_image(root, AFFECTNET.read(root).loc[0, "image"]).shape == shape


@pytest.mark.parametrize("form", ["old", "new"])
def test_the_tree_is_fixed_by_its_seed(
    form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    write_affectnet(tmp_path / "again", form=form)  # type: ignore[arg-type]
    first = AFFECTNET.read(request.getfixturevalue(form))
    assert first["image"].tolist() == AFFECTNET.read(tmp_path / "again")["image"].tolist()
    with pytest.raises(DataError, match="exists"):
        write_affectnet(tmp_path / "again")
