import csv
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferlit.data import ExpressionDataModule
from ferlit.data.databases.ferplus import FERPLUS, PUBLISHED
from ferlit.data.databases.ferplus.votes import COLUMNS, RULES, vote_targets
from ferlit.data.databases.trees.ferplus import FORMS, NO_FACE, UNKNOWN, write_ferplus
from ferlit.data.media.images import read_image
from ferlit.data.preparation import prepare_store
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import SETTINGS, damage_each, sample

HEADER = ",".join(("Usage", "Image name", *COLUMNS))
GOOD = (
    "Training,fer0000000.png,10,0,0,0,0,0,0,0,0,0",
    "PublicTest,fer0000001.png,0,0,0,0,0,0,3,7,0,0",
    "PrivateTest,fer0000002.png,0,10,0,0,0,0,0,0,0,0",
)
# Kept of the synthetic training, validation and test part, see `write_ferplus`.
KEPT = {
    "majority": (24, 4, 8),
    "probability": (32, 4, 8),
    "crossentropy": (32, 4, 8),
    "multi_target": (32, 8, 8),
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ferplus")
    for form in FORMS:
        write_ferplus(folder / form, form=form)
    return {form: folder / form for form in FORMS}


def write_tables(root: Path, *rows: str) -> None:
    """Three faces in FER2013, and the given rows of votes."""
    pixels = " ".join(["0"] * 2304)
    usages = ("Training", "PublicTest", "PrivateTest")
    lines = ["emotion,pixels,Usage", *(f"0,{pixels},{usage}" for usage in usages)]
    (root / "fer2013.csv").write_text("\n".join(lines) + "\n")
    (root / "fer2013new.csv").write_text("\n".join([HEADER, *rows]) + "\n")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
def test_each_rule_keeps_the_faces_with_clear_votes(
    rule: str, form: str, trees: dict[str, Path]
) -> None:
    records = FERPLUS.read(trees[form], {"votes": rule})
    counts = records["split"].value_counts()
    assert (counts["train"], counts["val"], counts["test"]) == KEPT[rule]
    assert unread_files(records) == {}
    of_test = records[records["split"] == "test"]
    assert of_test["expression"].value_counts().to_dict() == dict.fromkeys(EXPRESSIONS, 1)


def test_a_face_is_a_row_of_fer2013(trees: dict[str, Path]) -> None:
    records = FERPLUS.read(trees["csv"])
    rows = [int(image.removeprefix("fer2013/fer2013.csv#")) for image in records["image"]]
    assert rows[0] == 0
    assert not {NO_FACE, UNKNOWN} & set(rows)
    assert records[records["split"] == "train"]["expression"].tolist() == [*COLUMNS[:8]] * 3


@pytest.mark.parametrize("rule", RULES)
def test_both_forms_hold_the_same_labels_for_the_same_pixels(
    rule: str, trees: dict[str, Path]
) -> None:
    tables = [FERPLUS.read(trees[form], {"votes": rule}) for form in FORMS]
    assert tables[0]["expression"].tolist() == tables[1]["expression"].tolist()
    for images in zip(*(table["image"] for table in tables), strict=True):
        pictures = [read_image(trees[form], name) for form, name in zip(FORMS, images, strict=True)]
        np.testing.assert_array_equal(*pictures)


def test_the_expression_has_the_most_votes_and_the_usage_is_the_split(tmp_path: Path) -> None:
    write_tables(
        tmp_path,
        "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0",
        "PublicTest,fer0000001.png,0,0,0,0,0,0,3,7,0,0",
        "PrivateTest,,0,0,0,0,0,0,0,0,0,10",
    )
    records = FERPLUS.read(tmp_path, {"votes": "crossentropy"})
    assert records[["image", "expression", "split"]].to_numpy().tolist() == [
        ["fer2013.csv#0", "neutral", "train"],
        ["fer2013.csv#1", "contempt", "val"],
    ]
    assert FERPLUS.read(tmp_path)["expression"].tolist() == ["contempt"]


def test_the_pictures_may_be_those_of_the_challenge(tmp_path: Path) -> None:
    write_tables(tmp_path, *GOOD)
    text = (tmp_path / "fer2013.csv").read_text()
    (tmp_path / "fer2013.csv").unlink()
    (tmp_path / "fer2013").mkdir()
    header = text.replace("emotion,pixels,Usage", "emotion, pixels, Usage")
    (tmp_path / "fer2013" / "icml_face_data.csv").write_text(header)
    assert FERPLUS.read(tmp_path)["image"].tolist() == [
        f"fer2013/icml_face_data.csv#{row}" for row in range(3)
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("PublicTest,1.png,0,9,1,0,0,0,0,0,0,0", "the image name '1.png', expected one as fer00"),
        ("PublicTest,../../fer0000001.png,0,9,1,0,0,0,0,0,0,0", "the image name '../../fer0"),
        ("PublicTest,fer0000001.png,0,9,x,0,0,0,0,0,0,0", "the votes '0,9,x,0,0,0,0,0,0,0', expec"),
        ("PublicTest,fer0000001.png,0,9,-1,0,0,0,0,0,0,0", "the votes '0,9,-1,"),
        ("PublicTest,fer0000001.png,0,9", "the votes '0,9,,,"),
        ("PublicTest,fer0000001.png,0,0,0,0,0,0,0,0,0,0", "nobody voted on fer0000001.png"),
    ],
)
def test_a_wrong_row_of_votes_is_named(row: str, reason: str, tmp_path: Path) -> None:
    write_tables(tmp_path, GOOD[0], row, GOOD[2])
    records = FERPLUS.read(tmp_path)
    assert records["image"].tolist() == ["fer2013.csv#0", "fer2013.csv#2"]
    ((place, why),) = unread_files(records).items()
    assert place == "fer2013new.csv#1"
    assert why.startswith(reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('fer0000009.png,"(0, 0, 48, 48)",10,0,0,0,0,0,0,0,0,0', "there is no file 'FER2013Valid/"),
        ('../fer0000000.png,"(0, 0, 48, 48)",10,0,0,0,0,0,0,0,0,0', "the image name '../fer00"),
        ("fer0000001.png,10,0", "the votes '0', expected 10 numbers"),
        ("fer0000000.png", "the image name ''"),
    ],
)
def test_a_wrong_row_of_a_label_file_is_named(row: str, reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "FER2013Valid"
    folder.mkdir()
    (folder / "fer0000001.png").touch()
    good = 'fer0000001.png,"(0, 0, 48, 48)",0,10,0,0,0,0,0,0,0,0'
    (folder / "label.csv").write_text(f"{good}\n{row}\n")
    records = FERPLUS.read(tmp_path)
    assert records[["image", "expression", "split"]].to_numpy().tolist() == [
        ["FER2013Valid/fer0000001.png", "happiness", "val"]
    ]
    ((place, why),) = unread_files(records).items()
    assert place == "FER2013Valid/label.csv#1"
    assert why.startswith(reason)


def test_rows_on_one_picture_that_agree_count_once_and_others_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "FER2013Valid"
    folder.mkdir()
    for number in range(3):
        (folder / f"fer000000{number}.png").touch()
    rows = [f'fer000000{k}.png,"(0, 0, 48, 48)",0,10,0,0,0,0,0,0,0,0' for k in (0, 0, 1)]
    rows.append(rows[2].replace("10,0", "0,10"))
    (folder / "label.csv").write_text("\n".join(rows) + "\n")
    records = FERPLUS.read(tmp_path)
    assert records["image"].tolist() == ["FER2013Valid/fer0000000.png"]
    assert unread_files(records) == {
        "FER2013Valid/label.csv#1": "fer0000000.png is there again with the same votes",
        "FER2013Valid/fer0000001.png": "there are 2 rows of votes on it",
        "FER2013Valid/fer0000002.png": "label.csv has no votes on it",
    }


def test_the_form_that_is_not_used_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tables(tmp_path, *GOOD)
    for part in ("FER2013Train", "FER2013Valid"):
        (tmp_path / part).mkdir()
    assert len(FERPLUS.read(tmp_path)) == 3
    assert "fer2013new.csv with fer2013.csv is read; not used: FER2013Train, FER20" in caplog.text


def test_a_folder_without_labels_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    write_ferplus(tmp_path / "tree", form="folders")
    (tmp_path / "tree" / "data" / "FER2013Test" / "label.csv").unlink()
    records = FERPLUS.read(tmp_path / "tree")
    assert records["split"].value_counts().to_dict() == {"train": 24, "val": 4}
    assert list(unread_files(records)) == ["data/FER2013Test/label.csv"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"there is no FER\+, that is fer2013new\.csv beside fer20"):
        FERPLUS.read(tmp_path)
    (tmp_path / "fer2013new.csv").write_text(HEADER + "\n")
    with pytest.raises(DataError, match=r"fer2013new\.csv has the votes, but the pictures are not"):
        FERPLUS.read(tmp_path)
    write_tables(tmp_path, *(f"{row.split(',')[0]},{',0' * 9},10" for row in GOOD))
    with pytest.raises(DataError, match="no faces with votes found"):
        FERPLUS.read(tmp_path)
    write_tables(tmp_path, *(f"{row[: row.index('png')]}png{',0' * 8},10,0" for row in GOOD))
    with pytest.raises(DataError, match="votes=majority keeps none of the 3 faces"):
        FERPLUS.read(tmp_path)
    (tmp_path / "fer2013new.csv").write_text("Usage,Image name\n")
    with pytest.raises(DataError, match=r"fer2013new\.csv: there is no column neutral"):
        FERPLUS.read(tmp_path)


def test_an_unknown_rule_is_an_error(trees: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="votes='best'; known are majority, probability"):
        FERPLUS.read(trees["csv"], {"votes": "best"})


def test_the_published_counts_are_those_of_the_default(
    trees: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert sum(PUBLISHED.splits.values()) == PUBLISHED.total
    with caplog.at_level(logging.INFO, logger="ferlit.data.databases.counts"):
        FERPLUS.read(trees["csv"], {"votes": "multi_target"})
        assert caplog.text == ""
        FERPLUS.read(trees["csv"])
    assert "ferplus: 36 images; the published database has 31412" in caplog.text


def test_the_faces_are_aligned_and_nobody_is_named(trees: dict[str, Path]) -> None:
    assert FERPLUS.is_aligned
    assert not FERPLUS.has_identities
    assert FERPLUS.classes == EXPRESSIONS
    assert set(FERPLUS.read(trees["csv"])["identity"]) == {""}


def test_damaged_tables_are_errors_that_name_them(trees: dict[str, Path]) -> None:
    for outcome in damage_each(FERPLUS, trees["csv"], sample(trees["csv"], "*.csv")):
        assert Path(outcome.file).name in outcome.error or outcome.kind == "truncated"
        assert len(outcome.lost) in ((36,) if outcome.error else range(1, 30))


def test_damaged_labels_cost_their_own_part(trees: dict[str, Path]) -> None:
    for outcome in damage_each(FERPLUS, trees["folders"], sample(trees["folders"], "label.csv")):
        folder = outcome.file.removesuffix("label.csv")
        assert outcome.error == ""
        assert all(image.startswith(folder) for image in outcome.lost)
        assert outcome.is_named or outcome.kind == "truncated"  # between two rows
    for outcome in damage_each(FERPLUS, trees["folders"], sample(trees["folders"], "*.png", 2)):
        assert (outcome.error, outcome.lost, outcome.unread) == ("", set(), {})


@SETTINGS
@given(data=st.binary(max_size=200) | st.text(alphabet='fer0123.png,"\n()', max_size=60))
def test_no_bytes_of_a_label_file_stop_the_reader(
    trees: dict[str, Path], data: bytes | str
) -> None:
    path = trees["folders"] / "data" / "FER2013Valid" / "label.csv"
    content = path.read_bytes()
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    try:
        records = FERPLUS.read(trees["folders"])
        assert set(records["split"]) >= {"train", "test"}
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("rule", ["probability", "crossentropy", "multi_target"])
def test_training_learns_what_the_people_saw(
    rule: str, trees: dict[str, Path], tmp_path: Path
) -> None:
    store = prepare_store(
        FERPLUS, trees["csv"], tmp_path / "store", options={"votes": rule}, progress=False
    )
    assert store.description.target_rule == rule
    assert store.targets is not None
    votes = [
        [int(row[name]) for name in COLUMNS]
        for row in csv.DictReader((trees["csv"] / "ferplus/fer2013new.csv").open())
    ]
    rows = [int(image.partition("#")[2]) for image in store.records["image"]]
    expected = vote_targets([votes[row] for row in rows], rule)
    np.testing.assert_allclose(store.targets, expected, rtol=1e-6)

    data = ExpressionDataModule(store=tmp_path / "store", num_workers=0, batch_size=8)
    data.setup("fit")
    assert data.target_rule == rule
    draws: dict[int, set[int]] = {}
    for epoch in range(10):
        loader = data.train_dataloader()
        loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
        for batch in loader:
            if rule == "probability":
                assert batch.target is None
                for row, label in zip(batch.row.tolist(), batch.label.tolist(), strict=True):
                    draws.setdefault(row, set()).add(label)
            else:
                np.testing.assert_array_equal(batch.target, store.targets[batch.row])
    is_train = (store.records["split"] == "train").to_numpy()
    if rule == "probability":  # each label is drawn sooner or later, and none that nobody saw
        seen = {row: set(np.flatnonzero(store.targets[row])) for row in np.flatnonzero(is_train)}
        assert draws.keys() == seen.keys()
        assert all(labels <= seen[row] for row, labels in draws.items())
        assert sum(len(labels) > 1 for labels in draws.values()) > 4
    assert all(batch.target is None for batch in data.val_dataloader())


def test_the_majority_is_learned_as_a_label(trees: dict[str, Path], tmp_path: Path) -> None:
    store = prepare_store(FERPLUS, trees["csv"], tmp_path / "store", progress=False)
    assert store.targets is None
    assert not (tmp_path / "store" / "targets.npy").exists()
