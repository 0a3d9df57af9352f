import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ferlit.data.databases import DATABASES
from ferlit.data.faces import maker
from ferlit.data.faces.detection import plausible_faces
from ferlit.data.faces.detection.mediapipe import MediaPipeDetector
from ferlit.data.faces.landmarks import read_landmarks, select_49
from ferlit.data.faces.registration import register
from ferlit.data.media.images import read_image
from ferlit.data.preparation import parts, prepare_store
from ferlit.data.preparation.landmarks import choose_landmarks
from ferlit.data.preparation.summary import print_summary
from ferlit.data.store import Store
from ferlit.data.synthetic import Person, Pose, draw_face
from ferlit.errors import DataError

CKPLUS = DATABASES["ckplus"]


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "tree"))


def last_image(root: Path) -> str:
    return str(CKPLUS.read(root)["image"].iloc[-1])


def test_a_store_holds_the_registered_face_of_every_record(tree: Path, store: Store) -> None:
    records = CKPLUS.read(tree)
    assert store.records["image"].tolist() == records["image"].tolist()
    assert store.faces.shape == (len(records), 60, 60)
    for row in (0, len(records) - 1):
        record = records.iloc[row]
        points = select_49(read_landmarks(tree / record["landmarks"]))
        np.testing.assert_array_equal(
            store.faces[row], register(read_image(tree, record["image"]), points)
        )
    assert store.description.classes == CKPLUS.classes
    assert store.description.found == len(records)


def test_the_store_of_the_same_files_is_not_made_again(tree: Path, store: Store) -> None:
    before = (store.folder / "faces.npy").stat().st_mtime_ns
    prepare_store(CKPLUS, tree, store.folder, progress=False)
    assert (store.folder / "faces.npy").stat().st_mtime_ns == before


def test_one_truncated_image_is_named_and_the_rest_goes_on(
    copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = last_image(copy)
    content = (copy / image).read_bytes()
    (copy / image).write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        store = prepare_store(CKPLUS, copy, tmp_path / "store", progress=False)
    assert Path(image).name in caplog.text
    assert list(store.description.dropped) == [image]
    assert store.description.found == len(store.records) + 1 == len(store.faces) + 1
    assert image not in store.records["image"].tolist()


def test_missing_landmarks_drop_the_image_with_the_reason(copy: Path, tmp_path: Path) -> None:
    image = last_image(copy)
    landmarks = CKPLUS.read(copy)["landmarks"].iloc[-1]
    (copy / landmarks).unlink()
    store = prepare_store(CKPLUS, copy, tmp_path / "store", progress=False)
    assert store.description.dropped == {image: "it has no landmarks"}


def test_a_tree_without_any_landmarks_is_refused(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / "Landmarks")
    with pytest.raises(DataError, match="no landmark files found"):
        prepare_store(CKPLUS, copy, tmp_path / "store", landmarks="database", progress=False)


def test_landmarks_are_chosen_by_what_the_database_brings(tree: Path) -> None:
    records = CKPLUS.read(tree)
    bare = records.assign(landmarks="")
    assert choose_landmarks(CKPLUS, records, "auto") == "database"
    assert choose_landmarks(CKPLUS, bare, "auto") == "mediapipe"
    assert choose_landmarks(CKPLUS, bare, "dlib") == "dlib"
    assert choose_landmarks(DATABASES["ck48"], bare, "auto") == "none"
    rafdb = DATABASES["rafdb"]
    assert choose_landmarks(rafdb.with_options({"image": "original"}), bare, "auto") == "mediapipe"
    with pytest.raises(DataError, match="landmarks='dlb'; known are auto, database, mediapipe"):
        choose_landmarks(CKPLUS, records, "dlb")


def test_models_that_are_not_there_are_named_before_anything_is_made(
    tree: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"face_detection_short_range\.tflite"):
        prepare_store(
            CKPLUS,
            tree,
            tmp_path / "store",
            landmarks="mediapipe",
            landmark_models=tmp_path,
            progress=False,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("detector")
def test_faces_are_found_where_no_landmarks_come_with_them(tree: Path, tmp_path: Path) -> None:
    """And lie where the database's own landmarks put them, but for a pixel or two."""
    own = prepare_store(CKPLUS, tree, tmp_path / "own", progress=False)
    found = prepare_store(CKPLUS, tree, tmp_path / "found", landmarks="mediapipe", progress=False)
    assert found.description.landmarks == "mediapipe"
    assert len(found.records) >= 0.98 * len(own.records)
    rows = own.records["image"].isin(found.records["image"]).to_numpy()
    pairs = zip(own.faces[rows], found.faces, strict=True)
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]
    assert np.median(alike) > 0.8


def test_nothing_is_left_when_no_image_can_be_read(copy: Path, tmp_path: Path) -> None:
    for image in CKPLUS.read(copy)["image"]:
        (copy / image).write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"none of the .* images could be prepared"):
        prepare_store(CKPLUS, copy, tmp_path / "store", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]


def test_an_interrupted_preparation_goes_on_with_its_finished_parts(
    tree: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_PART", 10)
    made: list[str] = []

    def interrupt(root: Path, name: str) -> object:
        made.append(name)
        if len(made) == 25:
            raise KeyboardInterrupt
        return read_image(root, name)

    monkeypatch.setattr(maker, "read_image", interrupt)
    output = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        prepare_store(CKPLUS, tree, output, workers=1, progress=False)
    assert not output.exists()
    before = len(made)
    resumed = prepare_store(CKPLUS, tree, output, workers=1, resume=True, progress=False)
    assert len(made) - before == len(resumed.records) - 20
    np.testing.assert_array_equal(resumed.faces, store.faces)
    assert sorted(path.name for path in output.iterdir()) == [
        "contact_sheet.png",
        "faces.npy",
        "manifest.sha256",
        "records.csv",
        "report.json",
        "store.json",
    ]


def test_of_several_faces_the_largest_is_taken_and_their_number_is_kept(
    tmp_path: Path, detector: MediaPipeDetector, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [Person.random(np.random.default_rng(seed)) for seed in (0, 1)]
    small, large = (
        draw_face(person, person.movement("happiness"), pose)[0]
        for person, pose in zip(people, (Pose(scale=0.7), None), strict=True)
    )
    both = np.hstack([small[:, 120:520], large[:, 120:520]])
    noise = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8)
    (tmp_path / "root" / "happy").mkdir(parents=True)
    for name, picture in (("alone", large), ("both", both), ("noise", noise)):
        Image.fromarray(picture).save(tmp_path / "root" / "happy" / f"{name}.png")
    store = prepare_store(
        DATABASES["folder"],
        tmp_path / "root",
        tmp_path / "store",
        landmarks="mediapipe",
        progress=False,
    )
    assert store.description.several == {"happy/both.png": 2}
    assert store.description.dropped == {"happy/noise.png": "no face was found in it"}
    taken, alone = (
        register(picture, plausible_faces(detector, picture)[0].points) for picture in (both, large)
    )
    np.testing.assert_array_equal(store.faces, [alone, taken])
    assert np.corrcoef(alone.ravel(), taken.ravel())[0, 1] > 0.9
    report = json.loads((store.folder / "report.json").read_text())
    assert report["several_faces"] == 1
    print_summary(store, Console())
    assert "several faces: 1 pictures, the largest taken" in capsys.readouterr().out


def test_a_store_of_an_earlier_version_is_still_read(store: Store, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(store.folder, tmp_path / "store"))
    description = json.loads((folder / "store.json").read_text())
    for new in ("unread", "several", "target_rule"):
        del description[new]
    (folder / "store.json").write_text(json.dumps(description))
    assert Store.open(folder).description == store.description


def test_the_report_counts_what_was_made_and_dropped(copy: Path, tmp_path: Path) -> None:
    records = CKPLUS.read(copy)
    empty, missing = records["image"].iloc[[0, 5]]
    (copy / empty).write_bytes(b"")
    (copy / records["landmarks"].iloc[5]).unlink()
    store = prepare_store(CKPLUS, copy, tmp_path / "store", progress=False)
    report = json.loads((store.folder / "report.json").read_text())
    assert (report["found"], report["prepared"]) == (len(records), len(records) - 2)
    assert report["dropped"] == {"the file is empty": 1, "it has no landmarks": 1}
    kept = records[~records["image"].isin([empty, missing])]
    for expression, counts in report["classes"].items():
        rows = kept[kept["expression"] == expression]
        assert counts["images"] == len(rows)
        assert counts["subjects"] == rows["identity"].nunique()
    first = kept["identity"].iloc[0]
    own = kept[kept["identity"] == first]
    assert report["images_by_subject"][first]["fear"] == (own["expression"] == "fear").sum()
    assert report["images_per_second"] > 0


def test_the_contact_sheet_shows_the_last_frame_of_each_class_and_subject(store: Store) -> None:
    sheet = np.asarray(Image.open(store.folder / "contact_sheet.png"))
    records = store.records
    subject = sorted(records["identity"].unique())[2]
    own = records[(records["identity"] == subject) & (records["expression"] == "anger")]
    row = store.description.classes.index("anger")
    left, top = 84 + 2 * 62, 14 + row * 62
    shown = sheet[top : top + 60, left : left + 60]
    if own.empty:
        assert (shown == 255).all()
    else:
        np.testing.assert_array_equal(shown, store.faces[own["frame"].idxmax()])


def test_a_store_of_other_files_is_not_overwritten(copy: Path, tmp_path: Path) -> None:
    output = tmp_path / "store"
    prepare_store(CKPLUS, copy, output, progress=False)
    (copy / last_image(copy)).unlink()
    with pytest.raises(DataError, match="made from other files"):
        prepare_store(CKPLUS, copy, output, progress=False)
    renewed = prepare_store(CKPLUS, copy, output, replace=True, progress=False)
    assert len(renewed.faces) == len(CKPLUS.read(copy))


def test_a_store_of_another_database_is_not_taken_for_it(copy: Path, tmp_path: Path) -> None:
    """Even where both readers make the same table of the same files."""
    output = tmp_path / "store"
    prepare_store(CKPLUS, copy, output, progress=False)
    with pytest.raises(DataError, match="made from other files or settings"):
        prepare_store(replace(CKPLUS, name="other"), copy, output, progress=False)


def test_a_renewed_store_keeps_the_identities_that_a_person_corrected(
    copy: Path, tmp_path: Path
) -> None:
    output = tmp_path / "store"
    store = prepare_store(CKPLUS, copy, output, progress=False)
    (output / "identities.csv").write_text(f"image,identity\n{store.records['image'].iloc[0]},x\n")
    (copy / last_image(copy)).unlink()
    renewed = prepare_store(CKPLUS, copy, output, replace=True, progress=False)
    assert (output / "identities.csv").is_file()
    assert len(renewed.records) == len(CKPLUS.read(copy))


def test_an_interrupted_renewal_leaves_a_whole_store(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "store"
    store = prepare_store(CKPLUS, copy, output, progress=False)
    (output / "identities.csv").write_text(f"image,identity\n{store.records['image'].iloc[0]},x\n")
    (copy / last_image(copy)).unlink()

    def interrupted(folder: Path, **_: object) -> None:
        if (folder / "identities.csv").exists():
            (folder / "store.json").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_store(CKPLUS, copy, output, replace=True, progress=False)
    again = prepare_store(CKPLUS, copy, output, progress=False)
    assert len(again.records) == len(CKPLUS.read(copy))
    assert (output / "identities.csv").is_file()
    (copy / last_image(copy)).unlink()
    prepare_store(CKPLUS, copy, output, replace=True, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"store", "tree"}


def test_images_without_landmark_files_are_warned_of(
    copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (copy / CKPLUS.read(copy)["landmarks"].iloc[-1]).unlink()
    store = prepare_store(CKPLUS, copy, tmp_path / "store", progress=False)
    assert "1 of " in caplog.text
    assert "--landmarks mediapipe finds landmarks in all pictures" in caplog.text
    report = json.loads((store.folder / "report.json").read_text())
    assert any("come without landmarks" in warning for warning in report["warnings"])


def test_a_folder_that_is_no_store_is_left_alone(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="is not a store"):
        prepare_store(CKPLUS, tree, tmp_path, replace=True, progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "store.json").unlink(), "no prepared store"),
        (lambda folder: (folder / "store.json").write_text("{"), "not the description"),
        (lambda folder: (folder / "faces.npy").write_bytes(b"x"), "cannot be read"),
        (lambda folder: (folder / "records.csv").unlink(), "no record table"),
    ],
)
def test_a_damaged_store_is_named(
    store: Store, tmp_path: Path, damage: object, message: str
) -> None:
    folder = Path(shutil.copytree(store.folder, tmp_path / "store"))
    damage(folder)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        Store.open(folder)


def test_the_description_is_plain_json(store: Store) -> None:
    description = json.loads((store.folder / "store.json").read_text())
    assert description["database"] == "ckplus"
    assert description["landmarks"] == "database"
