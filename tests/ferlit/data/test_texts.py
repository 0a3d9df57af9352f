from pathlib import Path

import pytest

from ferlit.data.databases.fer2013 import FER2013
from ferlit.data.databases.ferplus import FERPLUS
from ferlit.data.records import record_table, unread_files
from ferlit.data.texts import composed, csv_header, csv_rows, encoding_of, read_text
from ferlit.errors import DataError

TEXT = "name,Usage\nZo\u00eb,a\nZo\u00e9,b\n"
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


@pytest.mark.parametrize("encoding", UNICODE)
def test_unicode_with_its_mark_is_read_as_it_is(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TEXT, encoding=encoding)
    assert read_text(path) == TEXT
    assert csv_header(path) == ["name", "Usage"]
    rows = list(csv_rows(path, ("Usage", "name")))
    assert rows == [("a", "Zo\u00eb"), ("b", "Zo\u00e9")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("latin-1"), r"a\.csv: line 2 has the byte 0xEB, which is not UTF-8; save"),
        (TEXT.encode("cp1252").replace(b"Zo\xeb", b"Zoe"), r"line 3 has the byte 0xE9"),
        (b"na\xefme,Usage\n", "line 1 has the byte 0xEF"),
        (b"\xff\xfea", "the file begins as UTF-16 does and goes on otherwise"),
    ],
)
def test_other_encodings_are_refused_with_the_place(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_text(path)
    with pytest.raises(DataError, match=message):
        list(csv_rows(path, ("name",)))


def test_an_empty_file_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert (encoding_of(tmp_path / "a.csv"), read_text(tmp_path / "a.csv")) == ("utf-8-sig", "")


def test_names_of_people_have_one_form_in_every_table() -> None:
    assert composed("\u00e9") != composed("\u00eb")
    rows = [
        {"image": f"{k}", "identity": name} for k, name in enumerate(("Zoe\u0308 ", "Zo\u00eb"))
    ]
    assert set(record_table(rows)["identity"]) == {"Zo\u00eb"}


def test_the_table_of_fer2013_may_be_utf_16(tmp_path: Path) -> None:
    text = f"emotion,pixels,Usage\n3,{'7 ' * 2303}7,Training\n"
    (tmp_path / "fer2013.csv").write_text(text, encoding="utf-16")
    assert FER2013.read(tmp_path)["expression"].tolist() == ["happiness"]


def test_labels_of_ferplus_in_another_encoding_are_named(tmp_path: Path) -> None:
    for part in ("FER2013Train", "FER2013Valid"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "fer0000001.png").touch()
        row = f'fer0000001.png,"(0, 0, 48, 48)",10{",0" * 9}'
        (tmp_path / part / "label.csv").write_text(row)
    with (tmp_path / "FER2013Valid/label.csv").open("ab") as labels:
        labels.write(b"\n\xe9")
    records = FERPLUS.read(tmp_path)
    assert records["image"].tolist() == ["FER2013Train/fer0000001.png"]
    ((name, reason),) = unread_files(records).items()
    assert name == "FER2013Valid/label.csv"
    assert reason.startswith("line 2 has the byte 0xE9, which is not UTF-8")


@pytest.mark.parametrize("header", ["emotion,Usage,emotion", "emotion, Usage,Usage"])
def test_a_column_that_is_there_twice_is_an_error(header: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n3,Training,4\n")
    with pytest.raises(DataError, match="is there more than once; keep the one that is right"):
        list(csv_rows(tmp_path / "t.csv", ("emotion", "Usage")))


def test_csv_rows_strips_names_and_values(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeffemotion, Usage\n0, Training\n\n NA ,PublicTest\n")
    assert csv_header(tmp_path / "t.csv") == ["emotion", "Usage"]
    rows = list(csv_rows(tmp_path / "t.csv", ("Usage", "emotion")))
    assert rows == [("Training", "0"), ("PublicTest", "NA")]
    with pytest.raises(DataError, match="no column age and no column sex"):
        list(csv_rows(tmp_path / "t.csv", ("age", "emotion", "sex")))
