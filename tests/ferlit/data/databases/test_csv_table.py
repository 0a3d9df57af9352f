from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferlit.data.databases.csv_table import CSV_TABLE
from ferlit.data.databases.trees.csv_table import write_csv_table
from ferlit.data.faces.landmarks import read_landmarks
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import SETTINGS, damage_each, sample


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("csv") / "tree"
    write_csv_table(root)
    return root


def write_table(root: Path, *lines: str, name: str = "records.csv") -> Path:
    """A table beside the pictures a.png to d.png."""
    for letter in "abcd":
        (root / f"{letter}.png").touch()
    path = root / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_synthetic_table_has_three_people_with_sixteen_pictures(tree: Path) -> None:
    records = CSV_TABLE.read(tree)
    counts = dict.fromkeys(EXPRESSIONS, 6) | {"": 1}
    assert records["expression"].value_counts().to_dict() == counts
    assert records["identity"].value_counts().to_dict() == {"anna": 16, "ben": 16, "carla": 17}
    assert records["split"].value_counts().to_dict() == {"train": 16, "val": 16, "test": 17}
    assert records["sequence"].nunique() == 24 + 1
    assert (records["landmarks"] != "").sum() == 16
    assert read_landmarks(tree / records["landmarks"][0]).shape == (68, 2)


def test_rows_that_cannot_be_used_are_named(tree: Path) -> None:
    assert unread_files(CSV_TABLE.read(tree)) == {
        "records.csv#49": f"unknown expression 'bored'; known are {', '.join(EXPRESSIONS)}",
        "records.csv#50": "there is no file 'faces/nobody.png'",
        "records.csv#51": "'../anna.png' leads out of the database's folder",
    }


def test_image_and_expression_are_enough_in_any_order_and_with_others(tmp_path: Path) -> None:
    # As spreadsheets write it: with a byte order mark.
    write_table(tmp_path, "\ufeffage, Expression,expression, image", "7,x, Smile ,./a.png ", "")
    assert CSV_TABLE.read(tmp_path).loc[0].to_dict() == {
        "image": "a.png",
        "expression": "happiness",
        "identity": "",
        "sequence": "",
        "frame": 0,
        "split": "",
        "landmarks": "",
    }


def of_rows(records: pd.DataFrame) -> dict[str, str]:
    """What is unread of the table itself; pictures that no row takes are unread too."""
    return {name: why for name, why in unread_files(records).items() if "#" in name}


def test_the_table_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    write_table(tmp_path, "image,expression", "a.png,fear", "x,y", name="tables/mine.csv")
    records = CSV_TABLE.read(tmp_path, {"table": "tables/mine.csv"})
    assert records["image"].tolist() == ["a.png"]
    assert list(of_rows(records)) == ["tables/mine.csv#1"]


def test_rows_and_frames_of_a_file_are_images(tmp_path: Path) -> None:
    (tmp_path / "clip.avi").touch()
    write_table(tmp_path, "image,expression", "clip.avi#3:left,fear", "clip.avi#4,fear")
    records = CSV_TABLE.read(tmp_path)
    assert records["image"].tolist() == ["clip.avi#3:left", "clip.avi#4"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",fear,,,,,", "the row names no image"),
        ("b.png,bored,,,,,", "unknown expression 'bored'"),
        ("e.png,fear,,,,,", "there is no file 'e.png'"),
        (".,fear,,,,,", "there is no file '.'"),
        ("/etc/passwd,fear,,,,,", "'/etc/passwd' leads out of the database's folder"),
        ("x/../../b.png,fear,,,,,", "'x/../../b.png' leads out of the database's folder"),
        (f"{'b' * 5000}.png,fear,,,,,", "there is no file 'bbb"),
        ("b\0.png,fear,,,,,", "there is no file 'b\\x00.png'"),
        ("b.png,fear,,,,,no.txt", "there is no file 'no.txt'"),
        ("b.png,fear,,,,,../no.txt", "'../no.txt' leads out of the database's folder"),
        ("b.png,fear,,,third,,", "the frame 'third' is no number"),
        ("b.png,fear,,,-1,,", "the frame '-1' is no number"),
        ("b.png,fear,,,99999999999999999999,,", "the frame '99999999999999999999' is no number"),
        ("b.png,fear,,,,dev,", "the split 'dev'; known are train, val and test"),
        ("a.png,angry,S1,,,training,", "the image a.png is in an earlier row too"),
        ("b.png,fear,S1,s,2,train,", "the sequence s has the expression 'fear' here and 'anger'"),
        ("b.png,anger,S2,s,2,train,", "the sequence s has the identity 'S2' here and 'S1'"),
        ("b.png,anger,S1,s,2,,", "the sequence s has the split '' here and 'train' in an earlier"),
        ("b.png", "the row has not as many values as the header has names; it may be cut off"),
        ("b.png,,,,,,", None),
        ("b.png,fear,S1,t,2.0,validation,c.png", None),
    ],
)
def test_a_wrong_row_is_named_and_the_rest_is_read(
    row: str, reason: str | None, tmp_path: Path
) -> None:
    header = "image,expression,identity,sequence,frame,split,landmarks"
    write_table(tmp_path, header, "a.png,anger,S1,s,1,train,", row, "d.png,anger,S1,s,3,train,")
    records = CSV_TABLE.read(tmp_path)
    unread = of_rows(records)
    if reason is None:
        assert unread == {}
        assert records["image"].tolist() == ["a.png", "b.png", "d.png"]
    else:
        assert records["image"].tolist() == ["a.png", "d.png"]
        assert list(unread) == ["records.csv#1"]
        assert unread["records.csv#1"].startswith(reason)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["image,emotion", "a.png,fear"],
            r"csv: there is no column expression; the first line",
        ),
        (
            ["a.png;fear"],
            "no column image and no column expression; .* is 'a.png;fear'",
        ),
        ([""], "no column image"),
        (["image,expression"], r"records\.csv: no row can be used"),
        (["image,expression", "no.png,fear"], r"no row can be used; records\.csv#0: there is no f"),
        (["image,expression", f'a.png,"{"x" * 200_000}'], r"records\.csv: the CSV file cannot be"),
    ],
)
def test_a_table_that_cannot_be_used_is_an_error(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    write_table(tmp_path, *lines)
    with pytest.raises(DataError, match=message):
        CSV_TABLE.read(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("./a.png,fear,S1,train", "row 2 .* gives a.png the expression 'fear', row 0 'anger'"),
        ("a.png,anger,S2,train", "row 2 .* gives a.png the identity 'S2', row 0 'S1'"),
        ("a.png,anger,S1,test", "row 2 .* gives a.png the split 'test', row 0 'train'"),
    ],
)
def test_two_rows_that_contradict_each_other_on_a_picture_are_an_error(
    row: str, message: str, tmp_path: Path
) -> None:
    rows = ("a.png,anger,S1,train", "b.png,fear,S1,train", row)
    write_table(tmp_path, "image,expression,identity,split", *rows)
    with pytest.raises(DataError, match=message):
        CSV_TABLE.read(tmp_path)


def test_a_file_is_found_however_its_letters_are_composed(tmp_path: Path) -> None:
    (tmp_path / "zoe\u0308.png").touch()
    write_table(tmp_path, "image,expression", "zo\u00eb.png,fear")
    (image,) = CSV_TABLE.read(tmp_path)["image"]
    assert (tmp_path / image).is_file()


@pytest.mark.parametrize("row", ["b.png,fear", "b.png,fear,ben,val,1"])
def test_a_row_with_fewer_or_more_values_than_the_header_is_named(row: str, tmp_path: Path) -> None:
    write_table(tmp_path, "image,expression,identity,split", "a.png,fear,anna,train", row)
    records = CSV_TABLE.read(tmp_path)
    assert records["image"].tolist() == ["a.png"]
    assert "not as many values as the header" in unread_files(records)["records.csv#1"]


def test_columns_are_known_in_capitals_and_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_table(tmp_path, "Image,EXPRESSION,Identity,person", "a.png,fear,anna,ben")
    assert CSV_TABLE.read(tmp_path)["identity"].tolist() == ["anna"]
    assert "columns that are not used: 'person'" in caplog.text


def test_a_column_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    write_table(tmp_path, "image,Expression,EXPRESSION", "a.png,fear,anger")
    with pytest.raises(DataError, match="column expression is there more than once"):
        CSV_TABLE.read(tmp_path)


def test_a_quote_that_is_not_closed_is_an_error(tmp_path: Path) -> None:
    write_table(tmp_path, "image,expression", "a.png,fear", 'b.png,"fear', "c.png,fear")
    with pytest.raises(DataError, match="cannot be read"):
        CSV_TABLE.read(tmp_path)


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "records.csv").mkdir()
    with pytest.raises(DataError, match=r"no table records\.csv; write one with at least"):
        CSV_TABLE.read(tmp_path)


def test_a_damaged_table_is_named_and_other_files_do_not_matter(tree: Path) -> None:
    for outcome in damage_each(CSV_TABLE, tree, [tree / "records.csv"]):
        assert "records.csv" in outcome.error or outcome.kind == "truncated"
    for outcome in damage_each(CSV_TABLE, tree, sample(tree, "*.[pt][nx][gt]")):
        assert (outcome.error, outcome.lost, len(outcome.unread)) == ("", set(), 3)


@SETTINGS
@given(data=st.binary(max_size=200) | st.text(max_size=100))
def test_no_bytes_after_the_first_row_give_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes | str
) -> None:
    root = tmp_path_factory.mktemp("csv")
    path = write_table(root, "image,expression,identity,sequence,frame", "a.png,fear,S1,s,1")
    path.write_bytes(path.read_bytes() + (data if isinstance(data, bytes) else data.encode()))
    try:
        data.decode() if isinstance(data, bytes) else data
    except UnicodeDecodeError:
        with pytest.raises(DataError, match=r"records\.csv: line \d+ has the byte 0x"):
            CSV_TABLE.read(root)
    else:
        assert CSV_TABLE.read(root)["image"].tolist() == ["a.png"]


PEOPLE = "image,expression,identity\na.png,fear,Zo\u00eb\nb.png,fear,Zo\u00e9\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_table_that_tells_its_encoding_keeps_its_people_apart(
    encoding: str, tmp_path: Path
) -> None:
    write_table(tmp_path).write_text(PEOPLE, encoding=encoding)
    assert CSV_TABLE.read(tmp_path)["identity"].tolist() == ["Zo\u00eb", "Zo\u00e9"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac-roman", "cp437"])
def test_a_table_in_an_encoding_that_it_does_not_tell_is_refused_with_the_place(
    encoding: str, tmp_path: Path
) -> None:
    write_table(tmp_path).write_bytes(PEOPLE.encode(encoding))
    byte = "\u00eb".encode(encoding)[0]
    message = (
        rf"records\.csv: line 2 has the byte 0x{byte:02X}, which is not UTF-8; save the file as"
    )
    with pytest.raises(DataError, match=message):
        CSV_TABLE.read(tmp_path)


def test_a_name_is_one_person_however_its_letters_are_composed(tmp_path: Path) -> None:
    rows = (f"{letter}.png,fear,{name}" for letter, name in zip("abcd", NAMES, strict=True))
    write_table(tmp_path, "image,expression,identity", *rows)
    assert CSV_TABLE.read(tmp_path)["identity"].tolist() == ["Zo\u00eb", "Zo\u00eb", "Zoe", ""]


NAMES = (" Zoe\u0308", "Zo\u00eb ", "Zoe", "  ")


def test_identities_are_texts_and_those_that_look_alike_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ["a.png,fear,01", "b.png,fear,1", "c.png,fear,1.0", "d.png,fear,S2"]
    write_table(tmp_path, "image,expression,identity", *rows)
    assert CSV_TABLE.read(tmp_path)["identity"].tolist() == ["01", "1", "1.0", "S2"]
    assert "'01', '1', '1.0' are taken for different persons" in caplog.text
    assert "S2" not in caplog.text


def test_a_person_in_two_splits_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ("a.png,fear,anna,train", "b.png,fear,ben,train", "c.png,fear,anna,test")
    write_table(tmp_path, "image,expression,identity,split", *rows)
    assert len(CSV_TABLE.read(tmp_path)) == 3
    assert "1 persons are in several splits, such as anna (test and train)" in caplog.text


@SETTINGS
@given(
    row=st.tuples(
        st.sampled_from(["a.png", "b.png", "../a.png", "", "c", "x/", "C:\\a.png", "~/a.png"]),
        st.sampled_from(["fear", "Happy", "", "bored"]),
        st.sampled_from(["S1", "S2", ""]),
        st.sampled_from(["s", "t", ""]),
        st.sampled_from(["1", "", "-1", "1.5", "nan"]),
        st.sampled_from(["train", "valid", "", "x"]),
    )
)
def test_a_row_of_any_values_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, row: tuple[str, ...]
) -> None:
    root = tmp_path_factory.mktemp("csv")
    header = "image,expression,identity,sequence,frame,split"
    write_table(root, header, "d.png,fear,S1,s,1,train", ",".join(row))
    records = CSV_TABLE.read(root)
    assert len(records) + len(of_rows(records)) == 2
