import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ferlit.data import synthetic
from ferlit.data.databases import DATABASES
from ferlit.data.databases.ckplus import CODES
from ferlit.data.faces.landmarks import read_landmarks
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from ferlit.data.synthetic import EXPRESSIONS, Person, Pose, draw_face, landmarks, write_ckplus
from ferlit.data.synthetic.tree import SUBJECTS
from ferlit.errors import DataError

PERSON = Person.random(np.random.default_rng(3))


def files(root: Path, part: str, pattern: str) -> list[Path]:
    found = [path for path in (root / part).rglob("*") if path.is_file()]
    return [path for path in found if re.fullmatch(pattern, path.name)]


def test_the_tree_has_the_layout_of_ckplus(tree: Path) -> None:
    images = files(tree, "cohn-kanade-images", r"S\d{3}_\d{3}_\d{8}\.png")
    points = files(tree, "Landmarks", r"S\d{3}_\d{3}_\d{8}_landmarks\.txt")
    assert len(images) == len(points) == 8 * (6 * 4 + 3)
    for path in images:
        subject, number, _ = path.stem.split("_")
        assert path.parent == tree / "cohn-kanade-images" / subject / number
        landmark_file = tree / "Landmarks" / subject / number / f"{path.stem}_landmarks.txt"
        assert read_landmarks(landmark_file).shape == (68, 2)
    facs = files(tree, "FACS", r"S\d{3}_\d{3}_\d{8}_facs\.txt")
    assert len(facs) == 8 * 7
    line = r"( {3}\d\.\d{7}e[+-]\d\d){2}\n"
    assert all(re.fullmatch(f"({line})+", path.read_text()) for path in facs)


def test_the_labels_are_at_the_peaks_and_one_an_expression(tree: Path) -> None:
    labels = files(tree, "Emotion", r"S\d{3}_\d{3}_\d{8}_emotion\.txt")
    assert len(labels) == 8 * 6
    shown = []
    for path in labels:
        assert re.fullmatch(r" {3}[1-7]\.0{7}e\+00\n", path.read_text())
        stem = path.name.removesuffix("_emotion.txt")
        peaks = sorted((tree / "cohn-kanade-images").rglob(f"{stem[:8]}_*.png"))
        assert peaks[-1].stem == stem
        shown.append((stem[:4], CODES[int(float(path.read_text()))]))
    assert len(set(shown)) == len(shown)


def test_the_quirks_of_the_database_are_there(tree: Path) -> None:
    sequences = {p.relative_to(tree / "FACS").parent for p in (tree / "FACS").rglob("*.txt")}
    unlabelled = [s for s in sequences if not list((tree / "Emotion" / s).glob("*_emotion.txt"))]
    missing = [s for s in unlabelled if not (tree / "Emotion" / s).exists()]
    assert len(unlabelled) == 8
    assert 0 < len(missing) < 8  # the others are empty folders
    assert (tree / "cohn-kanade-images" / ".DS_Store").is_file()
    assert "   0.0000000e+00\n" in "".join(p.read_text() for p in (tree / "FACS").rglob("*.txt"))


def test_the_default_is_24_people_with_at_least_140_sequences() -> None:
    assert sum(5 + number % 3 for number in range(24)) == 144
    assert len(SUBJECTS) == len(set(SUBJECTS)) == 118


def test_the_same_seed_draws_the_same_tree(tmp_path: Path) -> None:
    options = {"subjects": 2, "expressions_per_subject": 1, "frames": 3}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_ckplus(tmp_path / name, seed=seed, **options)

    def contents(name: str) -> dict[str, bytes]:
        root = tmp_path / name
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file()
        }

    assert contents("a") == contents("b") != contents("c")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_landmarks_follow_the_movement_and_the_pose(expression: str) -> None:
    pose = Pose(x=20, y=-10, angle=0.1, scale=0.9)
    picture, points = draw_face(PERSON, PERSON.movement(expression), pose)
    height, width = picture.shape
    assert ((points >= 0) & (points < (width, height))).all()
    np.testing.assert_allclose(points, pose.place(landmarks(PERSON, PERSON.movement(expression))))
    pupil = points[36:42].mean(axis=0).round().astype(int)
    assert picture[pupil[1], pupil[0]] < picture[int(points[30, 1]), int(points[30, 0]) - 12]


def test_action_units_move_what_they_should() -> None:
    rest = landmarks(PERSON, {})

    def moved(unit: int, point: int) -> np.ndarray:
        return landmarks(PERSON, {unit: 1.0})[point] - rest[point]

    assert moved(1, 21)[1] < -0.1  # inner brow up
    assert moved(2, 18)[1] < -0.05  # outer brow up
    assert moved(4, 21)[1] > 0.05  # brows down
    assert moved(5, 37)[1] < -0.02  # upper lid up
    assert moved(26, 57)[1] > 0.2  # jaw drops
    for unit, sign in ((12, -1), (15, 1)):  # lip corners up, down
        assert sign * moved(unit, 48)[1] > 0.05
        assert sign * moved(unit, 54)[1] > 0.05
    corners = [abs(moved(14, 48)[1]), abs(moved(14, 54)[1])]  # one-sided
    assert min(corners) == 0
    assert max(corners) > 0.05


def nearest_neighbours(store: Store) -> tuple[float, float]:
    """How often the nearest face of another sequence shares identity, and expression."""
    pixels = store.faces.reshape(len(store.faces), -1).astype(np.float64)
    squares = (pixels**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * pixels @ pixels.T
    records = store.records
    sequence = records["sequence"].to_numpy()
    distances[sequence[:, None] == sequence] = np.inf
    nearest = distances.argmin(axis=1)
    shares = [
        float((records[column].to_numpy() == records[column].to_numpy()[nearest]).mean())
        for column in ("identity", "expression")
    ]
    return shares[0], shares[1]


def test_identity_changes_the_picture_more_than_expression(store: Store) -> None:
    identity, expression = nearest_neighbours(store)
    assert identity > 0.8
    assert expression < 0.3


def test_a_missing_root_is_drawn_and_read_by_the_real_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(root: Path, **options: object) -> None:
        write_ckplus(root, subjects=2, expressions_per_subject=2, frames=3)

    monkeypatch.setattr(synthetic, "write_ckplus", small)
    store = prepare_store(
        DATABASES["synthetic"], tmp_path / "new", tmp_path / "store", progress=False
    )
    assert store.description.database == "synthetic"
    counts = store.records.groupby("identity")["sequence"].nunique()
    pd.testing.assert_index_equal(counts.index, pd.Index(["S005", "S010"], name="identity"))
    assert counts.tolist() == [2, 2]


def test_a_folder_with_content_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="is not an empty folder"):
        write_ckplus(tmp_path, subjects=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic.tree, "draw_face", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_ckplus(tmp_path / "root", subjects=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option", [{"subjects": 0}, {"subjects": 119}, {"expressions_per_subject": 8}, {"frames": 2}]
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, option: dict[str, int]) -> None:
    name, value = next(iter(option.items()))
    with pytest.raises(ValueError, match=f"{name}={value}"):
        write_ckplus(tmp_path / "root", **option)  # type: ignore[arg-type]
