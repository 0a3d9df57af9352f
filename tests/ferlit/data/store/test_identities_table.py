import shutil
from pathlib import Path

import pandas as pd
import pytest

from ferlit.data.records import record_table
from ferlit.data.store import Store
from ferlit.data.store.identities import IDENTITIES, with_identities, write_identities
from ferlit.data.store.manifest import write_manifest
from ferlit.errors import DataError

RECORDS = record_table(
    [
        {"image": "a.png"},
        {"image": "b.png", "identity": "S1"},
        {"image": "c0.png", "sequence": "c"},
        {"image": "c1.png", "sequence": "c", "frame": 1},
    ]
)


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / IDENTITIES
    path.write_text(text, encoding=encoding)
    return path


def test_only_unknown_persons_are_filled_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path, "image,identity\nc1.png, 007 \nc0.png,007\nb.png,S2\n")
    assert with_identities(RECORDS, path)["identity"].tolist() == ["", "S1", "007", "007"]
    assert RECORDS["identity"].tolist() == ["", "S1", "", ""]
    assert "1 images keep the person that the database names" in caplog.text
    assert "such as b.png, which shows S1 and not S2" in caplog.text


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    text = "image,remark,identity\r\na.png,not sure,NA\r\n"
    path = table(tmp_path, text, encoding="utf-8-sig")
    assert with_identities(RECORDS, path)["identity"].iloc[0] == "NA"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_table_in_another_encoding_does_not_merge_persons(encoding: str, tmp_path: Path) -> None:
    text = "image,identity\na.png,Zo\u00eb\nc0.png,Zo\u00e9\nc1.png,Zo\u00e9\n"
    with pytest.raises(DataError, match=r"identities\.csv: line 2 has the byte 0xEB, which is not"):
        with_identities(RECORDS, table(tmp_path, text, encoding))
    found = with_identities(RECORDS, table(tmp_path, text, "utf-16"))["identity"]
    assert found.tolist() == ["Zo\u00eb", "S1", "Zo\u00e9", "Zo\u00e9"]


def test_the_letters_of_a_name_may_be_composed_or_not(tmp_path: Path) -> None:
    text = "image,identity\na.png,Zo\u00eb\nc0.png,Zoe\u0308\nc1.png, Zo\u00eb\n"
    found = with_identities(RECORDS, table(tmp_path, text))["identity"]
    assert found.tolist() == ["Zo\u00eb", "S1", "Zo\u00eb", "Zo\u00eb"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,identity\na.png,1\na.png,1\n", "a.png is listed twice"),
        ("image,identity\nz.png,1\na.png,1\n", r"1 of its 2 images .* such as z\.png"),
        ("image;identity\na.png;1\n", "lacks the column image; it has image;identity"),
        ("image,person\na.png,1\n", "lacks the column identity"),
        ("image,identity\nc0.png,1\nc1.png,2\n", "frames of sequence c show 1, 2"),
        ("image,identity\nc0.png,1\n", "frames of sequence c show nobody, 1"),
        ("", "no table of identities"),
        ('image,identity\n"a.png,1\n', "no table of identities"),
    ],
)
def test_a_wrong_table_is_explained(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        with_identities(RECORDS, table(tmp_path, text))


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_identities(pd.DataFrame({"image": ["a"]}), tmp_path / "missing" / IDENTITIES)
    (tmp_path / IDENTITIES).mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_identities(pd.DataFrame({"image": ["a"]}), tmp_path / IDENTITIES)
    assert [path.name for path in tmp_path.iterdir()] == [IDENTITIES]


def test_opening_a_store_applies_its_table(store: Store, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(store.folder, tmp_path / "store"))
    store.records.assign(identity="").to_csv(folder / "records.csv", index=False)
    write_manifest(folder)
    write_identities(store.records[["image", "identity"]].iloc[::-1], folder / IDENTITIES)
    assert Store.open(folder).records.equals(store.records)
    assert (Store.open(folder, identities=False).records["identity"] == "").all()
